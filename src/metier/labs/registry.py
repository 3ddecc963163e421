"""The labs by name: simulators of calls, and readers of public data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from metier.labs import lener, mts_dialog, sroie, support
from metier.labs.corpora import Corpus
from metier.labs.telecom import traffic as telecom


class Lab(Protocol):
    def __call__(
        self, n_calls: int, seed: int = 0, *, days: float = 30.0, difficulty: float = 0.4
    ) -> Iterator[dict[str, Any]]:
        """`n_calls` calls of a log (source `openai-log`) in the order of their time; the same for the same arguments."""
        ...


@dataclass(frozen=True)
class Reader:
    """Public data in `folder` (below METIER_DATA), and what makes labelled chats of it, given that folder and a seed."""

    folder: str
    read: Callable[[Path, int], Corpus]


LABS: dict[str, Lab] = {"telecom": telecom.simulate, "support": support.simulate}
CORPORA: dict[str, Reader] = {
    "sroie": Reader("sroie", sroie.labelled),
    "mts-sections": Reader("mts-dialog", mts_dialog.sections),
    "mts-notes": Reader("mts-dialog", mts_dialog.notes),
    "lener": Reader("lener-br", lener.labelled),
}
