"""What a tuning is asked to do, and what a teacher may add to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from metier.errors import BadInput, TrainingFailed

Method = Literal["full", "lora"]
Precision = Literal["auto", "bfloat16", "float32"]


class PassFailed(TrainingFailed):
    """A pass came to nothing and would again, with the reason; the model that it began from is as good as before."""


@dataclass(frozen=True)
class TuningPlan:
    """How a model is tuned; the defaults suit some hundreds to some thousands of examples on a laptop.

    `method` "full" tunes the matrices of the layers, "lora" low-rank changes of them of this `rank`, scaled by
    `alpha` / `rank`. `layers` are the layers tuned, counted from the top (0: all); what lies below stays as it was and
    is computed once for all epochs while it fits into `cache_gib`. Embeddings and norms are never changed.
    `rate` is the top of the learning rate's schedule: a rise over the share `warm_up` of the steps, then a cosine down
    to a tenth. A step sees examples with `step_tokens` answer tokens or a little more. The tune split is measured
    `evaluations` times an epoch; after `patience` of them in a row without a better one it ends (0: never). Over the last
    share `averaged` of the steps, but not in the first hundred, the mean of the weights is what is measured and kept (0:
    each state by itself).
    `micro_tokens` bounds what goes through the network at once, where it takes more than one example; `threads` 0 uses
    every core. `precision` "auto" is bfloat16 where the processor multiplies it. `device` "auto" is a GPU, else the CPU.
    `processes` share every step, each on a GPU of its own, or with its share of the threads (0: as many as there are GPUs,
    on a processor one).
    """

    method: Method = "lora"
    epochs: int = 4
    rate: float = 1e-3
    rank: int = 32
    alpha: float = 32.0
    layers: int = 0
    step_tokens: int = 1024
    warm_up: float = 0.05
    weight_decay: float = 0.0
    clip: float = 1.0
    evaluations: int = 1
    patience: int = 2
    averaged: float = 0.6
    micro_tokens: int = 0
    cache_gib: float = 1.0
    precision: Precision = "auto"
    device: str = "auto"
    threads: int = 0
    processes: int = 0
    checkpoint_every_s: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "rank", "step_tokens", "evaluations"):
            if getattr(self, name) < 1:
                raise BadInput(f"The tuning plan's {name} is {getattr(self, name)}; give 1 or more.")
        for name in ("rate", "alpha", "clip"):
            if not getattr(self, name) > 0:
                raise BadInput(f"The tuning plan's {name} is {getattr(self, name)}; give a figure above 0.")
        for name in ("layers", "patience", "micro_tokens", "threads", "processes", "cache_gib", "weight_decay"):
            if getattr(self, name) < 0:
                raise BadInput(f"The tuning plan's {name} is {getattr(self, name)}; give 0 or more.")
        if not 0 <= self.warm_up < 1:
            raise BadInput(f"The tuning plan's warm_up is {self.warm_up}; give a share of the steps in [0, 1).")
        if not 0 <= self.averaged <= 1:
            raise BadInput(f"The tuning plan's averaged is {self.averaged}; give a share of the steps in [0, 1].")
        if self.method not in ("full", "lora"):
            raise BadInput(f"The tuning method {self.method!r} is not known; it is 'full' or 'lora'.")


@dataclass(frozen=True)
class SoftLabels:
    """A teacher's opinion of every answer token of the train split, in its order; teacher and student share the tokens.

    tokens (n_answer, k) int64: the teacher's k likeliest tokens; logprobs (n_answer, k): their natural log-probabilities,
    given the same prompt and the answer so far. `weight` in [0, 1] is the share of the loss that follows the teacher.
    """

    tokens: tuple[npt.NDArray[np.int64], ...]
    logprobs: tuple[npt.NDArray[np.float32], ...]
    weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise BadInput(f"The weight of soft labels is {self.weight}; give a share in [0, 1].")
        if len(self.tokens) != len(self.logprobs):
            raise BadInput(f"{len(self.tokens)} examples have soft tokens, {len(self.logprobs)} log-probabilities.")
        for place, (tokens, logprobs) in enumerate(zip(self.tokens, self.logprobs, strict=True)):
            if tokens.shape != logprobs.shape or tokens.ndim != 2:
                raise BadInput(f"Soft labels {place}: tokens {tokens.shape} and log-probabilities {logprobs.shape}.")

    def take(self, places: Sequence[int]) -> SoftLabels:
        """The labels of the examples at these places."""
        return replace(
            self,
            tokens=tuple(self.tokens[place] for place in places),
            logprobs=tuple(self.logprobs[place] for place in places),
        )
