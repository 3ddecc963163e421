"""Two sets of answers on the same items: exact McNemar, Tango's interval, the non-inferiority test, and their grouped
versions.

Throughout, the difference is candidate minus reference, ``b`` counts items only the candidate got right and ``c``
items only the reference got right, so the estimate is (b - c) / n.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy  # its stats and optimize take long to load: at their first use
from numpy.typing import ArrayLike
from scipy import special

from metier.statistics.arrays import (
    FloatArray,
    Groups,
    IntArray,
    as_correct,
    as_finite,
    group_codes,
    group_sums,
    in_unit_interval,
    same_length,
)
from metier.statistics.bootstrap import N_RESAMPLES, bootstrap_interval, ratio
from metier.statistics.intervals import Interval, normal_quantile

_BERGER_BOOS_GAMMA = 1e-4  # spent on bounding the nuisance parameter, added back to the p-value
_NUISANCE_GRID = 60
_BISECTIONS = 60
_WINDOW_SDS = 7.0  # binomial mass outside is below 1e-9 and is added to the p-value


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """The paired 2x2 table. ``n_groups`` equals ``n`` when items are independent."""

    both: int
    only_candidate: int
    only_reference: int
    neither: int
    n: int
    n_groups: int


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """A candidate against a reference on the same items; p-values are not yet adjusted for the number of candidates.

    ``p_different`` is two-sided (exact McNemar, or its group sign-flip version), ``p_non_inferior`` tests difference
    <= -margin, ``p_inferior`` tests difference >= -margin, both one-sided.
    """

    counts: PairedCounts
    difference: Interval
    margin: float
    p_different: float
    p_non_inferior: float
    p_inferior: float
    design_effect: float


def paired_counts(candidate: ArrayLike, reference: ArrayLike, groups: Groups | None = None) -> PairedCounts:
    """Count the four outcomes of two binary arrays (n,). Raises ValueError on NaN or a length mismatch."""
    ours, theirs = as_correct(candidate, "candidate"), as_correct(reference, "reference")
    n = same_length(candidate=ours, reference=theirs, groups=groups)
    return PairedCounts(
        both=int((ours & theirs).sum()),
        only_candidate=int((ours & ~theirs).sum()),
        only_reference=int((~ours & theirs).sum()),
        neither=int((~ours & ~theirs).sum()),
        n=n,
        n_groups=group_codes(groups, n)[1],
    )


def mcnemar_exact(only_candidate: int, only_reference: int) -> float:
    """Two-sided exact McNemar p-value: a fair coin on the discordant items (McNemar 1947; conditional exact form)."""
    discordant = only_candidate + only_reference
    if discordant == 0:
        return 1.0
    return min(1.0, 2 * float(special.bdtr(min(only_candidate, only_reference), discordant, 0.5)))


def sign_flip_test(differences: ArrayLike, groups: Groups | None = None) -> float:
    """Two-sided exact p-value that flips the sign of whole groups; McNemar's exact test when every group is one item.

    ``differences`` (n,) are integers, candidate minus reference an item. Valid when, under the null, swapping the two
    within a group changes nothing (Fisher 1935 randomisation applied to groups). The null distribution is computed by
    convolution, not sampled.
    """
    values = as_finite(differences, "differences")
    if not (values == np.rint(values)).all():
        raise ValueError("differences must be whole numbers; use paired_bootstrap for other scores")
    codes, n_groups = group_codes(groups, len(values))
    totals = np.rint(group_sums(values, codes, n_groups)).astype(np.int64)
    magnitudes, counts = np.unique(np.abs(totals[totals != 0]), return_counts=True)
    if len(magnitudes) == 0:
        return 1.0
    pmf = np.ones(1)
    for magnitude, count in zip(magnitudes.tolist(), counts.tolist(), strict=True):
        step = np.zeros(magnitude * count + 1)
        step[::magnitude] = scipy.stats.binom.pmf(np.arange(count + 1), count, 0.5)
        pmf = np.convolve(pmf, step)
    span = len(pmf) - 1
    distance = np.abs(2 * np.arange(span + 1) - span)
    observed = abs(int(totals.sum()))
    return min(1.0, float(pmf[distance >= observed].sum()))


def tango_z(b: ArrayLike, c: ArrayLike, n: ArrayLike, difference: ArrayLike) -> FloatArray:
    """Score statistic for a paired difference equal to ``difference`` (Tango 1998); arguments
    broadcast.

    Zero where numerator and variance both vanish.
    """
    b, c, n, d = (np.asarray(x, dtype=np.float64) for x in (b, c, n, difference))
    linear = -b - c + (2 * n - b + c) * d
    root = np.sqrt(np.maximum(linear**2 + 8 * n * c * d * (1 - d), 0.0))
    restricted = (root - linear) / (4 * n)
    variance = n * np.maximum(2 * restricted + d * (1 - d), 0.0)
    numerator = b - c - n * d
    settled = variance <= 1e-15
    at_the_limit = np.where(np.abs(numerator) < 1e-12, 0.0, np.copysign(np.inf, numerator))
    return np.asarray(np.where(settled, at_the_limit, numerator / np.sqrt(np.where(settled, 1.0, variance))))


def tango_bounds(b: ArrayLike, c: ArrayLike, n: ArrayLike, quantile: float) -> tuple[FloatArray, FloatArray]:
    """Bounds at which Tango's statistic equals +-``quantile``; vectorised bisection, accurate to 1e-12."""
    b, c, n = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (b, c, n)))
    estimate = (b - c) / n

    def solve(outer: float, keep_above: bool) -> FloatArray:
        low = np.full_like(estimate, -1.0) if outer < 0 else estimate.copy()
        high = estimate.copy() if outer < 0 else np.full_like(estimate, 1.0)
        target = quantile if keep_above else -quantile
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            above = tango_z(b, c, n, middle) > target
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return np.asarray((low + high) / 2)

    return solve(-1.0, True), solve(1.0, False)


def tango_p_greater(b: float, c: float, n: float, null_difference: float) -> float:
    """Asymptotic one-sided p-value for difference <= ``null_difference`` from Tango's score statistic."""
    return float(special.ndtr(-tango_z(b, c, n, null_difference)))


def exact_p_greater(b: int, c: int, n: int, null_difference: float) -> float:
    """Exact unconditional one-sided p-value for difference <= ``null_difference``, ordered by Tango's statistic.

    The chance under the null of a statistic at least as large, maximised over the nuisance probability of c within its
    1 - 1e-4 Clopper-Pearson bounds, plus 1e-4 (Berger & Boos 1994; Sidik 2003). Never below the true error for any n.
    The boundary of the null suffices because the region is monotone in b and c (Roehmel & Mansmann 1999). The maximum
    is over a grid of 60 points.
    """
    if n == 0:
        return 1.0
    observed = float(tango_z(b, c, n, null_difference))
    critical = _critical_b(np.arange(n + 1), n, null_difference, observed)
    low = max(0.0, -null_difference, float(special.betaincinv(c, n - c + 1, _BERGER_BOOS_GAMMA / 2)) if c else 0.0)
    high = min(
        (1 - null_difference) / 2, float(special.betaincinv(c + 1, n - c, 1 - _BERGER_BOOS_GAMMA / 2)) if c < n else 1.0
    )
    if low > high:
        return _BERGER_BOOS_GAMMA
    nuisance = np.linspace(np.sqrt(low), np.sqrt(high), _NUISANCE_GRID) ** 2
    return min(1.0, float(_rejection_probability(nuisance, critical, n, null_difference).max()) + _BERGER_BOOS_GAMMA)


def _critical_b(c: IntArray, n: int, null_difference: float, observed: float) -> IntArray:
    """Smallest b for each c whose statistic reaches ``observed``; n - c + 1 where none does."""
    low, high = np.zeros_like(c), n - c + 1
    while (low < high).any():
        middle = (low + high) // 2
        reached = tango_z(middle, c, n, null_difference) >= observed - 1e-9
        done = low >= high
        high = np.where(reached & ~done, middle, high)
        low = np.where(~reached & ~done, middle + 1, low)
    return low


def _rejection_probability(nuisance: FloatArray, critical: IntArray, n: int, null_difference: float) -> FloatArray:
    """P(b >= critical(c)) for c ~ Binomial(n, nuisance), b | c ~ Binomial(n - c, (nuisance + difference) / (1 -
    nuisance)).
    """
    spread = _WINDOW_SDS * np.sqrt(n * nuisance * (1 - nuisance)) + 20
    width = int(np.ceil(2 * spread.max())) + 1
    starts = np.clip(np.floor(n * nuisance - spread), 0, max(0, n - width)).astype(np.int64)
    c = np.minimum(starts[:, None] + np.arange(width), n)
    fresh = np.diff(c, axis=1, prepend=-1) > 0  # the clipped tail repeats n: count it once
    q = nuisance[:, None]
    mass = np.where(fresh, scipy.stats.binom.pmf(c, n, q), 0.0)
    rate = np.clip((q + null_difference) / np.maximum(1 - q, 1e-300), 0.0, 1.0)
    needed, left = critical[c], n - c
    tail = np.where(needed <= 0, 1.0, scipy.stats.binom.sf(needed - 1, left, rate))
    outside = np.maximum(0.0, 1 - mass.sum(axis=1))
    return np.asarray((mass * tail).sum(axis=1) + outside)


def grouped_p_greater(signed: FloatArray, codes: IntArray, n_groups: int, null_difference: float) -> float:
    """One-sided p-value for mean of ``signed`` (n,) <= ``null_difference`` when items come in groups.

    The larger of two: Tango's statistic on the effective sample size, right where differences are few; and Student's t
    on the group totals with Hall's (1992) monotone correction for skewness, right where losses pile up in a few
    groups, which inflates the first. Both on (groups - 1) degrees of freedom. One group proves nothing: 1.
    """
    if n_groups < 2:
        return 1.0
    n, effect = len(signed), paired_design_effect(signed, codes, n_groups)
    b, c = float((signed > 0).sum()) / effect, float((signed < 0).sum()) / effect
    tango = float(tango_z(b, c, n / effect, null_difference))
    excess = group_sums(signed - null_difference, codes, n_groups)
    spread = float(excess.std(ddof=1))
    if spread == 0.0:
        return float(special.stdtr(n_groups - 1, -tango))
    t = (
        float(excess.mean()) / float(np.sqrt((excess**2).mean())) * np.sqrt(n_groups)
    )  # spread about the null, as in a score test
    skewness = float((((excess - excess.mean()) / spread) ** 3).mean())
    bend = skewness / (3 * np.sqrt(n_groups))
    corrected = t + bend * t**2 + bend**2 * t**3 / 3 + bend / 2
    return float(special.stdtr(n_groups - 1, -min(tango, corrected)))


def paired_design_effect(differences: FloatArray, codes: IntArray, n_groups: int) -> float:
    """Variance of the mean difference over groups against that of independent items, floored at 1; worst case when no
    item is discordant.

    The grouped variance is the linearised one of Obuchowski (1998) / Cochran (1977).
    """
    n = len(differences)
    if n_groups == n:
        return 1.0
    sizes = np.bincount(codes, minlength=n_groups).astype(np.float64)
    worst = float((sizes**2).sum() / n)
    mean = float(differences.mean())
    plain = float(((differences - mean) ** 2).sum()) / n**2
    if plain == 0.0 or n_groups < 2:
        return worst
    residuals = group_sums(differences - mean, codes, n_groups)
    return max(1.0, n_groups / (n_groups - 1) * float((residuals**2).sum()) / n**2 / plain)


def paired_difference(
    candidate: ArrayLike, reference: ArrayLike, *, groups: Groups | None = None, level: float = 0.95
) -> Interval:
    """Difference of two paired proportions with Tango's (1998) score interval; on the effective sample size when
    ``groups`` repeat.
    """
    in_unit_interval(level=level)
    counts = paired_counts(candidate, reference, groups)
    return _difference(counts, _design_effect(candidate, reference, groups), level)


def compare(
    candidate: ArrayLike, reference: ArrayLike, *, margin: float, groups: Groups | None = None, level: float = 0.95
) -> PairedComparison:
    """Compare two binary arrays (n,) on the same items against a margin declared before looking.

    Independent items: exact McNemar, exact unconditional non-inferiority p-values, Tango's interval. Items in groups:
    sign-flip test over groups, ``grouped_p_greater``, and Tango's interval on the effective sample size with Student's
    t on (groups - 1) degrees of freedom. Raises ValueError when margin is outside (0, 1), arrays are empty, differ in
    length or hold NaN.
    """
    in_unit_interval(margin=margin, level=level)
    counts = paired_counts(candidate, reference, groups)
    if counts.n == 0:
        raise ValueError("no items to compare; give at least one item scored for both sides")
    effect = _design_effect(candidate, reference, groups)
    b, c, n = counts.only_candidate, counts.only_reference, counts.n
    if counts.n_groups == n:
        p_different = mcnemar_exact(b, c)
        p_non_inferior = exact_p_greater(b, c, n, -margin)
        p_inferior = exact_p_greater(c, b, n, margin)
    else:
        signed = as_correct(candidate).astype(np.float64) - as_correct(reference).astype(np.float64)
        p_different = sign_flip_test(signed, groups)
        codes, n_groups = group_codes(groups, n)
        p_non_inferior = grouped_p_greater(signed, codes, n_groups, -margin)
        p_inferior = grouped_p_greater(-signed, codes, n_groups, margin)
    return PairedComparison(
        counts, _difference(counts, effect, level), margin, p_different, p_non_inferior, p_inferior, effect
    )


def paired_bootstrap(
    candidate: ArrayLike,
    reference: ArrayLike,
    *,
    groups: Groups | None = None,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean difference of two paired scores of any kind (n,), BCa interval resampling groups; for scores that are not
    right/wrong.
    """
    ours, theirs = as_finite(candidate, "candidate"), as_finite(reference, "reference")
    n = same_length(candidate=ours, reference=theirs, groups=groups)
    codes, n_groups = group_codes(groups, n)
    sums = group_sums(np.stack([ours - theirs, np.ones(n)], axis=1), codes, n_groups)
    return bootstrap_interval(sums, ratio, n=n, level=level, n_resamples=n_resamples, seed=seed)


def paired_statistic_bootstrap(
    candidate_sums: FloatArray,
    reference_sums: FloatArray,
    statistic: Callable[[FloatArray], FloatArray],
    *,
    n: int,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Difference of one statistic (macro-F1, say) on two sides sharing their groups; rows of both (n_groups, p) are
    resampled together.
    """
    same_length(candidate_sums=candidate_sums, reference_sums=reference_sums)
    width = candidate_sums.shape[1]

    def difference(totals: FloatArray) -> FloatArray:
        return statistic(totals[:, :width]) - statistic(totals[:, width:])

    both = np.concatenate([candidate_sums, reference_sums], axis=1)
    return bootstrap_interval(both, difference, n=n, level=level, n_resamples=n_resamples, seed=seed)


def _design_effect(candidate: ArrayLike, reference: ArrayLike, groups: Groups | None) -> float:
    signed = as_correct(candidate).astype(np.float64) - as_correct(reference).astype(np.float64)
    codes, n_groups = group_codes(groups, len(signed))
    return paired_design_effect(signed, codes, n_groups) if len(signed) else 1.0


def _difference(counts: PairedCounts, design_effect: float, level: float) -> Interval:
    b, c, n = counts.only_candidate, counts.only_reference, counts.n
    if n == 0:
        return Interval(float("nan"), -1.0, 1.0, level, 0, 0, "none: no items")
    if counts.n_groups == n:
        quantile, method = normal_quantile(0.5 + level / 2), "Tango score"
    else:
        quantile = float(special.stdtrit(max(counts.n_groups - 1, 1), 0.5 + level / 2))
        method = "Tango score on effective sample size"
    lower, upper = tango_bounds(b / design_effect, c / design_effect, n / design_effect, quantile)
    return Interval((b - c) / n, float(lower), float(upper), level, n, counts.n_groups, method)
