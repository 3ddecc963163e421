"""The labs by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from metier.labs import support


class Lab(Protocol):
    def __call__(
        self, n_calls: int, seed: int = 0, *, days: float = 30.0, difficulty: float = 0.4
    ) -> Iterator[dict[str, Any]]:
        """`n_calls` calls of a log (source `openai-log`) in the order of their time; the same for the same arguments."""
        ...


LABS: dict[str, Lab] = {"support": support.simulate}
