"""Cluster bootstrap of any statistic that is a function of sums over items.

Accuracy, macro-F1, a mean, a ratio, and paired differences of these are all functions of column totals. Resampling
groups then reweights per-group sums, so one matrix product gives every resample: no Python loop over resamples, and a
statistic is written once, on totals.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metier.statistics.arrays import (
    FloatArray,
    Groups,
    as_finite,
    group_codes,
    group_sums,
    in_unit_interval,
    same_length,
)
from metier.statistics.intervals import Interval

Statistic = Callable[[FloatArray], FloatArray]
"""Maps totals (b, p) to values (b,)."""

Method = Literal["bca", "percentile"]

N_RESAMPLES = 2000
_CHUNK_ENTRIES = 4_000_000  # weights held in memory at once: 16 MB in float32
_N_JACKKNIFE = 2000  # more groups than this are jackknifed in blocks: the acceleration needs no more


def resample_weights(n_groups: int, n_resamples: int, rng: np.random.Generator) -> FloatArray:
    """Return (n_resamples, n_groups) multinomial counts: how often each group is drawn in each resample."""
    draws = rng.integers(0, n_groups, size=(n_resamples, n_groups))
    draws += np.arange(n_resamples)[:, None] * n_groups
    counts = np.bincount(draws.ravel(), minlength=n_resamples * n_groups)
    return counts.reshape(n_resamples, n_groups).astype(np.float64)


def resample(sums: FloatArray, statistic: Statistic, n_resamples: int, rng: np.random.Generator) -> FloatArray:
    """Return (n_resamples,) values of ``statistic`` on groups drawn with replacement; ``sums`` is (n_groups, p)."""
    n_groups = len(sums)
    chunk = max(1, _CHUNK_ENTRIES // max(n_groups, sums.shape[1]))
    values = []
    for start in range(0, n_resamples, chunk):
        weights = resample_weights(n_groups, min(chunk, n_resamples - start), rng)
        values.append(statistic(weights @ sums))
    return np.concatenate(values)


def jackknife(sums: FloatArray, statistic: Statistic) -> FloatArray:
    """Return the statistic with each group (or block of groups, beyond 2,000 groups) left out."""
    n_blocks = min(len(sums), _N_JACKKNIFE)
    edges = np.linspace(0, len(sums), n_blocks + 1).astype(np.int64)
    blocks = np.add.reduceat(sums, edges[:-1], axis=0)
    return statistic(sums.sum(axis=0) - blocks)


def bca_bounds(
    estimate: float, values: FloatArray, left_out: FloatArray, level: float, n_groups: int
) -> tuple[float, float]:
    """Bias-corrected accelerated bounds (Efron 1987); ``values`` are resamples, ``left_out`` jackknifed.

    The normal quantile is widened to Student's with (n_groups - 1) degrees of freedom times sqrt(n / (n - 1)), which
    undoes the bootstrap's narrowness in small samples (Hesterberg 2015, "expanded percentile").
    """
    below = (np.count_nonzero(values < estimate) + 0.5 * np.count_nonzero(values == estimate)) / len(values)
    bias = float(special.ndtri(np.clip(below, 1 / len(values), 1 - 1 / len(values))))
    influence = left_out.mean() - left_out
    scale = float((influence**2).sum())
    acceleration = float((influence**3).sum()) / (6 * scale**1.5) if scale > 0 else 0.0
    tails = np.array([-1.0, 1.0]) * float(special.stdtrit(max(n_groups - 1, 1), (1 + level) / 2))
    tails *= np.sqrt(n_groups / (n_groups - 1))
    shifted = bias + (bias + tails) / (1 - acceleration * (bias + tails))
    lower, upper = np.quantile(values, special.ndtr(shifted))
    return float(lower), float(upper)


def bootstrap_interval(
    sums: FloatArray,
    statistic: Statistic,
    *,
    n: int,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    method: Method = "bca",
) -> Interval:
    """Interval of ``statistic(totals)`` by resampling the rows of ``sums`` (n_groups, p), one row per independent
    group.

    ``n`` is the number of items behind the rows. NaN resamples (statistic undefined) are set aside. With fewer than
    two groups the bounds are NaN: one group says nothing about the next. Raises ValueError when ``level`` is outside
    (0, 1).
    """
    in_unit_interval(level=level)
    n_groups = len(sums)
    estimate = float(statistic(sums.sum(axis=0, keepdims=True))[0]) if n_groups else float("nan")
    name = (
        f"cluster bootstrap ({method}, {n_resamples} resamples)"
        if n_groups != n
        else f"bootstrap ({method}, {n_resamples} resamples)"
    )
    if n_groups < 2 or np.isnan(estimate):
        return Interval(estimate, float("nan"), float("nan"), level, n, n_groups, name)
    values = resample(sums, statistic, n_resamples, np.random.default_rng(seed))
    values = values[~np.isnan(values)]
    if method == "bca":
        left_out = jackknife(sums, statistic)
        lower, upper = bca_bounds(estimate, values, left_out[~np.isnan(left_out)], level, n_groups)
    else:
        lower, upper = (float(q) for q in np.quantile(values, [(1 - level) / 2, (1 + level) / 2]))
    return Interval(estimate, lower, upper, level, n, n_groups, name)


def ratio(totals: FloatArray) -> FloatArray:
    """First total over the second, (b, 2) -> (b,); NaN where the second is 0."""
    defined = totals[:, 1] != 0
    return np.asarray(np.where(defined, totals[:, 0] / np.where(defined, totals[:, 1], 1.0), np.nan))


def mean_interval(
    values: ArrayLike,
    groups: Groups | None = None,
    *,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean of ``values`` (n,), each item weighing the same, with a BCa interval over groups."""
    numbers = as_finite(values)
    codes, n_groups = group_codes(groups, same_length(values=numbers))
    sums = group_sums(np.stack([numbers, np.ones_like(numbers)], axis=1), codes, n_groups)
    return bootstrap_interval(sums, ratio, n=len(numbers), level=level, n_resamples=n_resamples, seed=seed)
