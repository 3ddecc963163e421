"""Several processes at one training, as torchrun or `accelerate launch` start them: each takes a share of every step.

A process that was started alone is the first of one, and nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, distributed


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Meet the other processes that torchrun started, if it did."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        yield
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


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
    if place()[1] == 1:
        return word
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    said = torch.tensor([int(word)], device=device)
    distributed.all_reduce(said)
    return bool(said.item())


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
    total = torch.tensor([loss], dtype=torch.float64, device=next(iter(masters.values())).device)
    distributed.all_reduce(total)
    return float(total), whole
