"""Intervals for one proportion, with and without groups.

``proportion`` is the one to use: Wilson (1927) on independent items, and Wilson on the effective sample size
(Korn & Graubard 1998) when items come in groups. Clopper-Pearson and Jeffreys stand beside it for bounds that must be
conservative and for posterior-like summaries.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metier.statistics.arrays import FloatArray, Groups, IntArray, as_correct, group_codes, group_sums, in_unit_interval


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its two-sided interval.

    ``n`` counts items, ``n_groups`` the independent units behind them (equal to ``n`` when items are independent).
    With ``n`` = 0 the estimate is NaN and the bounds are the whole range.
    """

    estimate: float
    lower: float
    upper: float
    level: float
    n: int
    n_groups: int
    method: str


@dataclass(frozen=True, slots=True)
class EffectiveSample:
    """Sample size after the design effect (Kish 1965): ``n_effective`` = n / ``design_effect``."""

    n: int
    n_groups: int
    design_effect: float
    n_effective: float


def normal_quantile(probability: float) -> float:
    """Return the standard normal quantile."""
    return float(special.ndtri(probability))


def wilson(successes: float, n: float, level: float = 0.95, *, quantile: float | None = None) -> tuple[float, float]:
    """Score bounds of Wilson (1927); ``n`` may be an effective, fractional size. ``quantile`` replaces the
    normal one.
    """
    in_unit_interval(level=level)
    if n <= 0:
        return 0.0, 1.0
    z = normal_quantile(0.5 + level / 2) if quantile is None else quantile
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    lower = 0.0 if successes <= 0 else max(0.0, centre - half)
    upper = 1.0 if successes >= n else min(1.0, centre + half)
    return lower, upper


def clopper_pearson(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Exact bounds of Clopper & Pearson (1934) by beta quantiles: never cover less than ``level``, conservative by
    design.
    """
    in_unit_interval(level=level)
    tail = (1 - level) / 2
    return clopper_pearson_lower(successes, n, 1 - tail), clopper_pearson_upper(successes, n, 1 - tail)


def clopper_pearson_upper(successes: float, n: float, confidence: float) -> float:
    """One-sided exact upper bound with the given confidence."""
    if n <= 0 or successes >= n:
        return 1.0
    return float(special.betaincinv(successes + 1, n - successes, confidence))


def clopper_pearson_lower(successes: float, n: float, confidence: float) -> float:
    """One-sided exact lower bound with the given confidence."""
    if n <= 0 or successes <= 0:
        return 0.0
    return float(special.betaincinv(successes, n - successes + 1, 1 - confidence))


def jeffreys(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Equal-tailed Beta(s + 1/2, n - s + 1/2) bounds, ends set to 0 or 1 at s = 0 or n (Brown, Cai & DasGupta 2001)."""
    in_unit_interval(level=level)
    if n <= 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    a, b = successes + 0.5, n - successes + 0.5
    lower = 0.0 if successes <= 0 else float(special.betaincinv(a, b, tail))
    upper = 1.0 if successes >= n else float(special.betaincinv(a, b, 1 - tail))
    return lower, upper


def effective_sample(values: FloatArray, codes: IntArray, n_groups: int) -> EffectiveSample:
    """Effective size of grouped 0/1 ``values`` (n,) from the linearised variance of a ratio of group sums (Cochran
    1977).

    The design effect is floored at 1. Where it cannot be estimated (all values equal, or a single group) it is the
    largest possible one, that of answers identical within a group: sum(n_g^2) / n.
    """
    n = len(values)
    sizes = np.bincount(codes, minlength=n_groups).astype(np.float64)
    worst = float((sizes**2).sum() / n) if n else 1.0
    p = float(values.mean()) if n else 0.0
    if n_groups == n:
        return EffectiveSample(n, n_groups, 1.0, float(n))
    if n_groups < 2 or p in (0.0, 1.0):
        return EffectiveSample(n, n_groups, worst, n / worst if n else 0.0)
    residuals = group_sums(values - p, codes, n_groups)
    variance = n_groups / (n_groups - 1) * float((residuals**2).sum()) / n**2
    design_effect = max(1.0, variance / (p * (1 - p) / n))
    return EffectiveSample(n, n_groups, design_effect, n / design_effect)


def proportion(correct: ArrayLike, groups: Groups | None = None, level: float = 0.95) -> Interval:
    """Share of True in ``correct`` (n,) with its interval.

    Independent items: Wilson. Items in ``groups`` (n,): Wilson on the effective sample size with Student's t on
    (groups - 1) degrees of freedom (Korn & Graubard 1998; compared by Dean & Pagano 2015).
    Raises ValueError on NaN or non-binary entries.
    """
    hits = as_correct(correct).astype(np.float64)
    n = len(hits)
    codes, n_groups = group_codes(groups, n)
    if n == 0:
        return Interval(float("nan"), 0.0, 1.0, level, 0, 0, "none: no items")
    if n_groups == n:
        lower, upper = wilson(float(hits.sum()), n, level)
        return Interval(float(hits.mean()), lower, upper, level, n, n, "Wilson")
    sample = effective_sample(hits, codes, n_groups)
    quantile = float(special.stdtrit(max(n_groups - 1, 1), 0.5 + level / 2))
    p = float(hits.mean())
    lower, upper = wilson(p * sample.n_effective, sample.n_effective, level, quantile=quantile)
    return Interval(p, lower, upper, level, n, n_groups, "Wilson on effective sample size")
