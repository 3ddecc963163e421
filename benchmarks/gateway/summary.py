"""Figures over repetitions: a median with the least and the most beside it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Spread:
    """The median of `n` repetitions, the least and the most."""

    median: float
    least: float
    most: float
    n: int

    def show(self, digits: int = 0, factor: float = 1.0) -> str:
        median, least, most = (f"{value * factor:,.{digits}f}" for value in (self.median, self.least, self.most))
        return f"{median} ({least}–{most})"


def spread(values: Iterable[float]) -> Spread:
    found = list(values)
    return Spread(statistics.median(found), min(found), max(found), len(found))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plain(value: object) -> object:
    """For json.dumps: spreads as objects."""
    if isinstance(value, Spread):
        return asdict(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
