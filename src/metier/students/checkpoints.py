"""States of a training on disk: safetensors and JSON only, each written whole or not at all. Needs torch."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from metier.errors import TrainingFailed

STATE = "state.safetensors"
BEST = "best.safetensors"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def room(folder: Path) -> Iterator[None]:
    """Raise TrainingFailed where the disk is full while `folder` is written into."""
    try:
        yield
    except (OSError, SafetensorError) as problem:
        number = problem.errno if isinstance(problem, OSError) else None
        if number not in _FULL and not any(
            words in str(problem) for words in ("No space left", "quota exceeded", "File too large")
        ):
            raise
        free_mib = shutil.disk_usage(folder).free / 2**20
        raise TrainingFailed(
            f"The disk of {folder} is full ({free_mib:,.0f} MiB free). What was saved before is whole: make room and run "
            "the same command again, and the training goes on from there."
        ) from problem


def write(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Tensors and a JSON state in one rename. Raises TrainingFailed where the disk is full; nothing is lost then."""
    part = path.with_name(path.name + ".part")
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with room(path.parent):
            save_file(kept, part, metadata={"state": json.dumps(state)})
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read(path: Path, recipe: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and the state, or None where there are none of this recipe, or the file is damaged."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as stored:
            state: dict[str, Any] = json.loads((stored.metadata() or {}).get("state", "{}"))
            if state.get("recipe") != recipe:
                return None
            return {name: stored.get_tensor(name) for name in stored.keys()}, state  # noqa: SIM118
    except (SafetensorError, ValueError):
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
