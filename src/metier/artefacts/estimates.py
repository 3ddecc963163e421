"""A figure with its n and its interval: no score exists without them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator


def _null_is_nan(value: object) -> object:
    return math.nan if value is None else value


# JSON has no NaN: "not scored" is written as null and read back as NaN, never as 0.
Score = Annotated[float, BeforeValidator(_null_is_nan)]


@dataclass(frozen=True)
class Estimate:
    """A point estimate with a two-sided interval.

    `n` is the number of independent items behind it (clusters where items repeat), `level` the nominal coverage of
    [low, high], `method` the name of the interval's method ("wilson", "cluster bootstrap", ...). NaN means not scored.
    """

    value: Score
    low: Score
    high: Score
    n: int
    level: float = 0.95
    method: str = ""

    @property
    def scored(self) -> bool:
        return not math.isnan(self.value)


def not_scored(n: int = 0) -> Estimate:
    """An estimate that says nothing was measured."""
    return Estimate(math.nan, math.nan, math.nan, n, method="not scored")
