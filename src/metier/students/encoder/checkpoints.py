"""Checkpoints in safetensors: the parameters, AdamW's moments and where the training stood. Needs torch."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"


def write_checkpoint(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors and a JSON state in one rename: a kill leaves the last checkpoint whole."""
    part = path.with_name(path.name + ".part")
    kept = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(kept, part, metadata={"state": json.dumps(state)})
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def read_checkpoint(path: Path, recipe: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and the state, or None where there is none of this recipe."""
    if not path.exists():
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
    """AdamW's state of every parameter by its place."""
    return {
        f"adamw.{i}.{name}": value
        for i, parameter in enumerate(parameters)
        for name, value in optimiser.state[parameter].items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer, parameters: Sequence[Tensor], tensors: dict[str, Tensor]
) -> None:
    """Put back what `optimiser_tensors` gave."""
    for i, parameter in enumerate(parameters):
        prefix = f"adamw.{i}."
        optimiser.state[parameter] = {
            name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)
        }
