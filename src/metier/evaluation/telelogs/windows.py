"""Drive-test windows in texts: which questions share one, and whether a window is nearly one that was trained on.

A window is known by its rows, wherever they stand in the text: rows that begin with a time. This reads less than the view
does and never refuses, for a question that the view cannot read still belongs to its cluster.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_TIME = re.compile(r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})[ T]\d{1,2}:\d{2}")
_SPACES = re.compile(r"\s+")
_N_COLUMNS = 19
# Places in the published row of speed, RSRP, SINR, throughput and resource blocks, and how far apart two of each may be in
# rows that are taken for one: about half of what the published decimals and a receiver's repeatability tell apart.
_MEASURED = {3: 0.5, 5: 0.05, 6: 0.05, 7: 0.5, 18: 0.5}
_TOLERANCE = np.array(list(_MEASURED.values()))
# Stands for "not measured" where a number should be: equal to itself and far from every value.
_ABSENT = -1e6
NEAR_SHARE = 0.5
_FEWEST_ROWS = 3


@dataclass(frozen=True)
class NearDuplicates:
    """Of `n_windows` distinct test windows with readable rows, `n_near` have half of their rows or more in one of
    `n_training` training windows, within the tolerance of every measured value; `largest_share` is the most that any test
    window has in one training window (NaN where nothing could be compared)."""

    n_windows: int
    n_training: int
    n_near: int
    largest_share: float


def window_rows(text: str) -> list[list[str]]:
    """The cells of the rows that begin with a time, in their order."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) > 1 and _TIME.match(cells[0]):
            found.append(cells)
    return found


def window_key(text: str) -> str:
    """The same for questions about one window: a hash of its rows, white space and their order apart. A text without such
    rows is its own window."""
    rows = window_rows(text)
    lines = sorted("|".join(_SPACES.sub(" ", cell) for cell in row) for row in rows) or [_SPACES.sub(" ", text).strip()]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def near_duplicates(test: Sequence[str], training: Sequence[str]) -> NearDuplicates:
    """How many of the test texts' windows are nearly one of the training texts'."""
    from scipy.spatial import cKDTree

    ours, theirs = _measured(test), _measured(training)
    if not ours or not theirs:
        return NearDuplicates(len(ours), len(theirs), 0, math.nan)
    owners = np.repeat(np.arange(len(theirs)), [len(window) for window in theirs])
    tree = cKDTree(np.concatenate(theirs) / _TOLERANCE)
    shares = []
    for window in ours:
        near = tree.query_ball_point(window / _TOLERANCE, r=1.0, p=np.inf)
        counts = Counter(owner for hits in near for owner in set(owners[hits].tolist()))
        shares.append(max(counts.values(), default=0) / len(window))
    return NearDuplicates(len(ours), len(theirs), sum(share >= NEAR_SHARE for share in shares), max(shares))


def _measured(texts: Sequence[str]) -> list[FloatArray]:
    """What was measured in each distinct window, (rows, 5); windows of too few readable rows are left out."""
    distinct = {window_key(text): text for text in texts}
    found = []
    for text in distinct.values():
        rows = [row for row in window_rows(text) if len(row) == _N_COLUMNS]
        if len(rows) >= _FEWEST_ROWS:
            found.append(np.array([[_number(row[place]) for place in _MEASURED] for row in rows]))
    return found


def _number(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        return _ABSENT
    return value if math.isfinite(value) else _ABSENT
