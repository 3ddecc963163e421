"""What the training loop asks of a network, whichever computes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor

from metier.progress import Progress
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.plan import SoftLabels


class Engine(Protocol):
    """A model whose `masters`, float32 tensors by name, are tuned. `packs`: examples go through it together, up to
    `micro_tokens` of them; otherwise one by one, whatever `micro_tokens` is."""

    packs: bool
    masters: dict[str, Tensor]
    precision: str
    notes: list[str]

    def prepare(self, train: Sequence[Encoded], tune: Sequence[Encoded], progress: Progress) -> None:
        """Compute once what stays the same over all steps."""
        ...

    def gradients(
        self, train: Sequence[Encoded], examples: Sequence[int], micro_tokens: int, soft: SoftLabels | None
    ) -> tuple[float, dict[str, Tensor]]:
        """Of the loss summed over the answer tokens of these examples: negative log-likelihood in nats, and the gradients
        of the whole loss by the masters."""
        ...

    def losses(self, encoded: Sequence[Encoded], micro_tokens: int) -> float:
        """Negative log-likelihood of all answers in nats, summed."""
        ...

    def refresh(self) -> None:
        """The masters have changed: compute with the new ones from now on."""
        ...

    def reset(self) -> None:
        """Put the masters back to where the training began."""
        ...

    def write(self, source: Path, model: Path, adapter: Path | None) -> None:
        """The tuned model, and its adapter alone, in Hugging Face layout; both folders are there and empty."""
        ...
