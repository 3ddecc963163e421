"""What a preference pass is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metier.errors import BadInput

Precision = Literal["auto", "bfloat16", "float32"]

# What a pair costs beside a tuning example: its answers go forward twice (once for the reference) and back once, on one
# prompt that both share.
_PAIR_COST = 1.6


@dataclass(frozen=True)
class PreferencePlan:
    """One pass of DPO with low-rank changes (LoRA) of all linear layers; the defaults suit some hundred pairs.

    `beta` is how firmly the model is held to where it started (Rafailov et al., 2023, eq. 7); `sft_weight` that of
    the chosen answer's negative log-likelihood a token, without which DPO may lower the likelihood of both answers
    (Pang et al., 2024, eq. 2). `rate` is the top of a warm-up over the share `warm_up` of the steps and a cosine to
    zero; a step sees `step_pairs` pairs. With fewer than `min_pairs` nothing is learnt. `max_tokens` bounds a prompt
    with its longer answer: longer pairs are left out and counted. `precision` "auto" is bfloat16 where the processor
    multiplies it; `device` "auto" the first GPU, else the CPU; `threads` 0 all cores.
    """

    beta: float = 0.1
    sft_weight: float = 1.0
    rate: float = 1e-4
    rank: int = 16
    step_pairs: int = 8
    warm_up: float = 0.1
    clip: float = 1.0
    min_pairs: int = 8
    max_tokens: int = 4096
    precision: Precision = "auto"
    device: str = "auto"
    threads: int = 0
    checkpoint_every_s: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rank", "step_pairs", "min_pairs", "max_tokens"):
            if getattr(self, name) < 1:
                raise BadInput(f"The preference plan's {name} is {getattr(self, name)}; give 1 or more.")
        for name in ("beta", "rate", "clip"):
            if not getattr(self, name) > 0:
                raise BadInput(f"The preference plan's {name} is {getattr(self, name)}; give a figure above 0.")
        if self.sft_weight < 0:
            raise BadInput(f"The preference plan's sft_weight is {self.sft_weight}; give 0 or more.")
        if not 0 <= self.warm_up < 1:
            raise BadInput(f"The preference plan's warm_up is {self.warm_up}; give a share of the steps in [0, 1).")


def affordable_pairs(n_examples_seen: int, share: float = 0.15) -> int:
    """The pairs that a pass may use to take at most `share` of the time of a tuning that saw so many examples (an example
    seen in three epochs counts three times). A count, not a clock, so that the same run makes the same model."""
    return int(share * n_examples_seen / _PAIR_COST)
