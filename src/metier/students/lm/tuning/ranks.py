"""Several processes at one training: each takes a share of every step.

They are started by torchrun or `accelerate launch`, or by metier itself (`launching`). A process that was started alone is
the first of one, and nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Meet the other processes that torchrun started, if it did."""
    if n_started() == 1 or distributed.is_initialized():
        yield
        return
    _join(device)
    try:
        yield
    finally:
        part()


def meet(device: torch.device, at: Path, place: int, count: int) -> None:
    """Meet the other processes of this machine at a file that is not there yet, and see that they answer."""
    store = distributed.FileStore(str(at), count)  # type: ignore[attr-defined]
    _join(device, store=store, rank=place, world_size=count)
    wait()


def part() -> None:
    """Leave the other processes."""
    distributed.destroy_process_group()


def _join(device: torch.device, **meeting: Any) -> None:
    if device.type == "cuda":
        # NCCL takes the current GPU, which is the first one in every process until it is told otherwise.
        torch.cuda.set_device(device)
        distributed.init_process_group("nccl", device_id=device, **meeting)
    else:
        distributed.init_process_group("gloo", **meeting)


def n_started() -> int:
    """How many processes torchrun started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_place() -> int:
    """This process's place among those on this machine: that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def place() -> tuple[int, int]:
    """This process's place, and how many there are."""
    if not distributed.is_available() or not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def is_first() -> bool:
    return place()[0] == 0


def wait() -> None:
    if place()[1] > 1:
        distributed.barrier()


def any_says(word: bool) -> bool:
    """Whether any process says so: what hangs on a clock must be decided for all of them, or one waits for ever."""
    return added(float(word)) > 0


def added(figure: float) -> float:
    """The sum of all processes' figures, the same in each of them."""
    if place()[1] == 1:
        return figure
    total = torch.tensor([figure], dtype=torch.float64, device=_own_device())
    distributed.all_reduce(total)
    return float(total)


def _own_device() -> torch.device:
    """Where this process's figures are summed."""
    if distributed.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def share(examples: Sequence[int]) -> list[int]:
    """The examples of a step that are this process's."""
    mine, count = place()
    return list(examples[mine::count])


def summed(
    loss: float, gradients: Mapping[str, Tensor], masters: Mapping[str, Tensor]
) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients summed over all processes."""
    if place()[1] == 1:
        return loss, dict(gradients)
    whole = {}
    for name, master in masters.items():
        gradient = gradients.get(name)
        whole[name] = torch.zeros_like(master) if gradient is None else gradient
        distributed.all_reduce(whole[name])
    return added(loss), whole
