"""Rates of what can go wrong in writing, and means of scores in [0, 1], with bounds that hold at 0 of n too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metier.statistics.arrays import Groups, as_correct, as_finite, group_codes
from metier.statistics.bootstrap import N_RESAMPLES, mean_interval
from metier.statistics.intervals import Interval, clopper_pearson, effective_sample, normal_quantile


def exact_rate(hits: ArrayLike, groups: Groups | None = None, level: float = 0.95) -> Interval:
    """Share of True in `hits` (n,) with bounds that cover at least at `level`.

    Clopper-Pearson (1934); items in groups count with their effective sample size, reduced for the degrees of freedom of
    the groups (Korn & Graubard, 1998). NaN with the bounds 0 and 1 where there is no item.
    """
    values = as_correct(hits).astype(np.float64)
    n = len(values)
    codes, n_groups = group_codes(groups, n)
    if n == 0:
        return Interval(float("nan"), 0.0, 1.0, level, 0, 0, "none: no items")
    share = float(values.mean())
    if n_groups == n:
        lower, upper = clopper_pearson(float(values.sum()), n, level)
        return Interval(share, lower, upper, level, n, n, "Clopper-Pearson")
    size = effective_sample(values, codes, n_groups).n_effective
    if 0.0 < share < 1.0 and n_groups > 1:
        size *= (normal_quantile(0.5 + level / 2) / float(special.stdtrit(n_groups - 1, 0.5 + level / 2))) ** 2
    lower, upper = clopper_pearson(share * size, size, level)
    return Interval(share, lower, upper, level, n, n_groups, "Clopper-Pearson on effective sample size")


def mean_score(
    scores: ArrayLike,
    groups: Groups | None = None,
    *,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean of scores (n,) in [0, 1], bootstrapped over groups; where all are 0 or all 1, with exact bounds."""
    values = as_finite(scores, "scores")
    if len(values) and np.isin(values, (0.0, 1.0)).all() and values.min() == values.max():
        found = exact_rate(values, groups, level)
        return replace(found, method=f"{found.method}, as nothing varies to resample")
    return mean_interval(values, groups, level=level, n_resamples=n_resamples, seed=seed)
