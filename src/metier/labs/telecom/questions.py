"""The randomised variant of the questions: other labels, another order, fewer options, tables swapped, rows shuffled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metier.labs.telecom import text
from metier.labs.telecom.parts import CAUSES, Windows

# How the options of one question may be called, by their place from 0.
_LABELS: tuple[Callable[[int], str], ...] = (
    lambda place: str(place + 1),
    lambda place: "ABCDEFGH"[place],
    lambda place: f"Z{place + 1}",
)
MIN_OPTIONS = 4


@dataclass(frozen=True)
class Randomised:
    """One question; `answer` is the label its own options give to the true cause, `cause` that cause ("C1" to "C8")."""

    text: str
    answer: str
    cause: str


def randomised(windows: Windows, seed: int) -> list[Randomised]:
    """Every window's question with its options reordered, renamed and thinned (MIN_OPTIONS to 8, the true one always
    among them), the engineering rows shuffled, and in half of them the tables swapped. The same seed gives the same."""
    rng = np.random.default_rng(seed)
    drives, cells = text.drive_tables(windows.drives), text.cell_tables(windows.cells)
    rows = zip(windows.cause.tolist(), drives, cells, strict=True)
    return [_question(rng, cause, drive, cell) for cause, drive, cell in rows]


def _question(rng: np.random.Generator, cause: int, drive: list[str], cells: list[str]) -> Randomised:
    others = rng.permutation([place for place in range(len(CAUSES)) if place != cause])
    offered = rng.permutation([cause, *others[: rng.integers(MIN_OPTIONS - 1, len(CAUSES))]])
    label = _LABELS[rng.integers(len(_LABELS))]
    options = [(label(place), text.OPTIONS[CAUSES[option]]) for place, option in enumerate(offered)]
    shuffled = [cells[place] for place in rng.permutation(len(cells))]
    asked = text.question(options, drive, shuffled, cells_first=bool(rng.integers(2)))
    return Randomised(asked, label(offered.tolist().index(cause)), CAUSES[cause])
