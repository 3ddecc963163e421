"""Area under the ROC curve by placements: what its variance rests on, and whether one score ranks better than another.

DeLong, DeLong & Clarke-Pearson (1988); mid-ranks after Sun & Xu (2014); groups after Obuchowski (1997).
"""

import numpy as np
import scipy  # its stats and optimize take long to load: at their first use
from numpy.typing import ArrayLike

from metier.statistics.arrays import FloatArray, Groups, as_finite, group_codes, group_sums, in_unit_interval
from metier.statistics.intervals import Interval, normal_quantile


def placements(low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Of each of the scores ``high`` (n_high,) the share of ``low`` (n_low,) below it, and of each of ``low`` the share of
    ``high`` above it; ties count half. The mean of either is P(high > low) + half the ties."""
    n_high = len(high)
    ranks = scipy.stats.rankdata(np.concatenate([high, low]))
    below = (ranks[:n_high] - scipy.stats.rankdata(high)) / len(low)
    above = 1 - (ranks[n_high:] - scipy.stats.rankdata(low)) / n_high
    return below, above


def placements_variance(shares: FloatArray, codes: np.ndarray, n_units: int, n_high: int) -> float:
    """DeLong's variance of a sum of placements, centred and divided by the size of their side: ``shares`` (n,), the first
    ``n_high`` of them those of ``high``. With groups (``codes`` (n,) below ``n_units``) it is a sum over their totals."""
    n_low = len(shares) - n_high
    if n_units == len(shares):
        high, low = shares[:n_high], shares[n_high:]
        return float((high**2).sum() * n_high / max(n_high - 1, 1) + (low**2).sum() * n_low / max(n_low - 1, 1))
    totals = group_sums(shares, codes, n_units)
    return float((totals**2).sum() * n_units / max(n_units - 1, 1))


def auroc_difference(
    first: ArrayLike, second: ArrayLike, positive: ArrayLike, *, groups: Groups | None = None, level: float = 0.95
) -> Interval:
    """AUROC of the scores ``first`` (n,) less that of ``second`` (n,) for the same items, of which ``positive`` (n,) says
    which should be high, with DeLong's interval for paired areas; items of ``groups`` (n,) are summed first.

    Raises ValueError without a positive and a negative item, or on scores that are not finite.
    """
    in_unit_interval(level=level)
    scores = as_finite(first, "first"), as_finite(second, "second")
    high = np.asarray(positive, dtype=np.bool_)
    n, n_high = len(high), int(high.sum())
    if not 0 < n_high < n:
        raise ValueError(f"{n_high} positive items of {n}; both kinds need at least one")
    (high_first, low_first), (high_second, low_second) = (placements(one[~high], one[high]) for one in scores)
    of_high, of_low = high_first - high_second, low_first - low_second
    difference = float(of_high.mean())
    codes, n_units = group_codes(groups, n)
    shares = np.concatenate([(of_high - difference) / n_high, (of_low - difference) / (n - n_high)])
    variance = placements_variance(shares, np.concatenate([codes[high], codes[~high]]), n_units, n_high)
    half = normal_quantile(0.5 + level / 2) * float(np.sqrt(variance))
    return Interval(difference, difference - half, difference + half, level, n, n_units, "DeLong, paired")
