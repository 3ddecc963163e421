"""AdamW (Loshchilov & Hutter, 2019) over the masters, its schedule, and its state as tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

_BETAS = (0.9, 0.99)  # few steps: the second moment must settle within them
_EPSILON = 1e-8
_FLOOR = 0.1


class Optimiser:
    """Steps of AdamW on float32 masters; `step` changes them in place."""

    def __init__(self, masters: Mapping[str, Tensor], weight_decay: float, clip: float) -> None:
        self._masters = dict(masters)
        self._clip = clip
        self._adamw = torch.optim.AdamW(
            list(self._masters.values()), lr=0.0, betas=_BETAS, eps=_EPSILON, weight_decay=weight_decay, fused=True
        )

    def step(self, gradients: Mapping[str, Tensor], rate: float, share: float) -> float:
        """One step down `share` times these gradients, cut to the norm `clip`; the norm before, not finite: no step."""
        for name, master in self._masters.items():
            master.grad = gradients.get(name)
        given = [master.grad for master in self._masters.values() if master.grad is not None]
        norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(given)))) * share
        if math.isfinite(norm):
            torch._foreach_mul_(given, share * min(1.0, self._clip / (norm + 1e-6)))
            for group in self._adamw.param_groups:
                group["lr"] = rate
            self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)
        return norm

    def tensors(self) -> dict[str, Tensor]:
        """The moments, by master."""
        return {
            f"adamw.{name}.{key}": value
            for name, master in self._masters.items()
            for key, value in self._adamw.state[master].items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave; nothing: as at the beginning."""
        self._adamw.state.clear()
        for name, master in self._masters.items():
            prefix = f"adamw.{name}."
            state = {
                key.removeprefix(prefix): value.to(master.device)
                for key, value in tensors.items()
                if key.startswith(prefix)
            }
            if state:
                self._adamw.state[master] = state


def schedule(step: int, total: int, warm_up: float) -> float:
    """The share of the rate at `step` of `total`: a linear rise, then a cosine down to a tenth."""
    rise = warm_up * total
    if step + 1 <= rise:
        return (step + 1) / rise
    through = (step + 1 - rise) / max(1.0, total - rise)
    return _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, through)))
