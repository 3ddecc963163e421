"""The mean of a training's last weights: single states jump about between steps, their mean does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from metier.students.lm.tuning.engines import Engine

_PREFIX = "mean."
# In the first steps the weights go one way, and their mean lags behind them.
_UNSETTLED_STEPS = 100


def is_averaged(step: int, total: int, share: float) -> bool:
    """Whether the weights after a step, counted from 1, belong to the mean: over the last `share` of the steps in `total`,
    but not while they are still under way. A training of a few steps has no mean."""
    return step > max((1 - share) * total, _UNSETTLED_STEPS)


class Average:
    """The mean of an engine's masters over the steps that were added (Polyak and Juditsky, 1992; Izmailov et al., 2018)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._mean: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, n: int) -> None:
        """The masters as they are now: the `n`-th, counted from 1."""
        for name, master in self._engine.masters.items():
            if n == 1:
                self._mean[name] = master.detach().clone()
            else:
                self._mean[name].lerp_(master, 1 / n)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The engine computes with the mean, where there is one, and with the masters afterwards."""
        if not self._mean:
            yield
            return
        masters = self._engine.masters
        kept = {name: master.detach().clone() for name, master in masters.items()}
        self._put(self._mean)
        try:
            yield
        finally:
            self._put(kept)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint has to hold."""
        return {f"{_PREFIX}{name}": tensor for name, tensor in self._mean.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave; nothing: as at the beginning."""
        self._mean = {
            name: tensors[f"{_PREFIX}{name}"].to(master.device, copy=True)
            for name, master in self._engine.masters.items()
            if f"{_PREFIX}{name}" in tensors
        }

    def _put(self, tensors: Mapping[str, Tensor]) -> None:
        for name, master in self._engine.masters.items():
            master.data.copy_(tensors[name])
        self._engine.refresh()
