"""Tensors and a JSON state on disk in one rename. Needs torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


def write(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """A kill leaves the file that was there or this one, and never half of it."""
    part = path.with_name(path.name + ".part")
    save_file(
        {name: one.detach().cpu().contiguous() for name, one in tensors.items()}, part, {"state": json.dumps(state)}
    )
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def read(path: Path, recipe: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What `write` left, or None where there is nothing whole of this recipe."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as stored:
            state: dict[str, Any] = json.loads((stored.metadata() or {}).get("state", "{}"))
            if state.get("recipe") != recipe:
                return None
            return {name: stored.get_tensor(name) for name in stored.keys()}, state  # noqa: SIM118
    except SafetensorError:
        return None


def optimiser_tensors(optimiser: torch.optim.Optimizer, parameters: Sequence[Tensor]) -> dict[str, Tensor]:
    """AdamW's state of every parameter, by its place."""
    return {
        f"adamw.{i}.{name}": value
        for i, parameter in enumerate(parameters)
        for name, value in optimiser.state[parameter].items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer, parameters: Sequence[Tensor], tensors: Mapping[str, Tensor]
) -> None:
    """Put back what `optimiser_tensors` gave."""
    for i, parameter in enumerate(parameters):
        prefix = f"adamw.{i}."
        optimiser.state[parameter] = {
            # AdamW counts its steps on the CPU, wherever the parameter lies.
            name.removeprefix(prefix): tensor if name.endswith(".step") else tensor.to(parameter.device)
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
