"""Packs computed side by side: a thread for each core, every one computing with one core of its own.

Threads beat one computation spread over the cores: small operations are not worth spreading, and nobody waits at the end
of each of them for a core that another program has taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from metier.students.lm.tuning.packs import Pack

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def team(n_workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that compute with one core each."""
    before = torch.get_num_threads()
    with ThreadPoolExecutor(n_workers, "tuning", initializer=_begin) as threads:
        try:
            yield threads
        finally:
            torch.set_num_threads(before)


def _begin() -> None:
    torch.set_num_threads(1)
    # Tiny activations and gradients are denormal numbers, on which a processor is tens of times slower; as zeros they do
    # the same. It made GELU and its derivative four times as fast on a real model.
    torch.set_flush_denormal(True)


def shares(packs: Sequence[Pack], n_workers: int) -> list[list[Pack]]:
    """The packs of each worker, about the same work for all (longest first: Graham, 1969); the same on every run."""
    loads = [0] * n_workers
    mine: list[list[Pack]] = [[] for _ in range(n_workers)]
    for one in sorted(packs, key=lambda p: (-len(p.ids), p.examples)):
        worker = loads.index(min(loads))
        mine[worker].append(one)
        loads[worker] += len(one.ids)
    return mine


def side_by_side(threads: ThreadPoolExecutor, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`work` of every item, in order; all have ended when it returns or raises."""
    futures = [threads.submit(work, item) for item in items]
    problems = [future.exception() for future in futures]
    for problem in problems:
        if problem is not None:
            raise problem
    return [future.result() for future in futures]
