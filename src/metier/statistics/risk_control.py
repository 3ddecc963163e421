"""The certificate: of the answers kept, at most alpha are wrong, with confidence 1 - delta.

Learn then Test (Angelopoulos, Bates, Candes, Jordan & Lei 2021) with fixed-sequence testing. Thresholds are walked
from the strictest downwards; each is tested against H: P(wrong | kept) > alpha with an exact binomial p-value, and the
walk stops at the first one that is not rejected. The last rejected threshold is certified. The walk is fixed before
any calibration answer is looked at: its thresholds are quantiles of the scores of another split, and its start depends
on counts alone.
"""

import math
from dataclasses import dataclass
from typing import Literal

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
from metier.statistics.intervals import Interval, clopper_pearson_upper, proportion
from metier.statistics.label_plans import (
    LIKELY_RISK_SHARE,
    LabelPlan,
    kept_needed,
    largest_passing_errors,
    min_labels,
    plan_labels,
)

GroupRule = Literal["one-per-group", "effective-size"]

N_THRESHOLDS = 1000
_START_POWER = 0.99  # chance that the first, strictest test passes when its true risk is a quarter of alpha
_LARGEST_START = 3  # the walk starts at a third of the calibration items at most, to leave room below
# How many of the calibration items a tune quantile keeps is itself random (about +-15% around 60): a start at the very
# least count would often keep too few, and the walk would end before it began.
_START_RESERVE = 1.5
# Near certainty, because the tune split's risk is itself an estimate: by simulation (tests), 0.99 left 7.5% of calibrations
# without a certificate that this leaves in 3.5%.
_LIKELY_PASS = 0.9999
_N_PLANNED = 25  # coverages at which more labels are planned: neighbours plan alike

_ASSUMPTIONS = {
    "independent": "calibration items are independent draws of the traffic to come",
    "one-per-group": "groups are independent draws; one random item of each was kept, so the rate is per group",
    "effective-size": "groups are independent draws and many; counts were shrunk to their effective size (asymptotic)",
}


@dataclass(frozen=True, slots=True)
class Feasibility:
    """What can be promised at all.

    With base risk mu > alpha at least (mu - alpha) / (1 - alpha) of the traffic must be escalated, even by a score
    that ranks every mistake last. ``min_labels`` is the number of kept, all-right answers below which no test can
    pass: log(delta) / log(1 - alpha).
    """

    base_risk: Interval
    min_escalated: float
    min_labels: int
    enough_labels: bool


@dataclass(frozen=True, slots=True)
class Certificate:
    """The outcome of the walk. ``threshold`` is None when nothing passes: keep no answer, and see ``labels_needed``.

    ``n_kept`` answers of ``n`` scored at or above ``threshold``, ``n_errors`` of them wrong; ``risk_upper`` is the
    exact upper bound on P(wrong | kept) at that threshold with confidence 1 - delta, never above alpha.
    ``labels_needed`` is None when a threshold passed, and also when no number of labels would help (``reason`` says
    which). ``horizon`` is None for a promise about the long run, otherwise the promise is about the next ``horizon``
    items. ``n_items`` counts the items before one-per-group sampling.
    """

    alpha: float
    delta: float
    threshold: float | None
    n: int
    n_items: int
    n_groups: int
    n_kept: int
    n_errors: int
    coverage: Interval
    risk_upper: float
    p_value: float
    n_tested: int
    feasibility: Feasibility
    labels_needed: int | None
    horizon: int | None
    assumption: str
    reason: str


def threshold_walk(
    tune_scores: ArrayLike, n_calibration: int, *, alpha: float, delta: float, n_thresholds: int = N_THRESHOLDS
) -> FloatArray:
    """Strictest-first thresholds: quantiles of the scores of a split that is *not* the calibration split.

    Evenly spaced in coverage, from ``start_coverage`` of ``n_calibration`` items to everything. Returns a strictly
    decreasing array of at most ``n_thresholds`` entries. Raises ValueError on no scores or NaN.
    """
    scores = as_finite(tune_scores, "tune_scores")
    if len(scores) == 0:
        raise ValueError("no scores to place thresholds on; give the scores of the tune split")
    start = start_coverage(n_calibration, alpha, delta)
    wanted = np.linspace(1 - start, 0.0, n_thresholds)
    return np.unique(np.quantile(scores, wanted))[::-1]


def promising_part(
    walk: FloatArray, tune_scores: ArrayLike, tune_correct: ArrayLike, n_calibration: int, *, alpha: float, delta: float
) -> FloatArray:
    """The walk from the strictest threshold that is likely to pass, by the *tune* split's errors (split fixed-sequence
    testing, Angelopoulos et al. 2021, section 3.2: any order that does not look at the calibration split is valid).

    A very strict threshold keeps few answers, so a good student can fail there by bad luck and end the walk. Chosen is the
    strictest whose chance to pass is ``_LIKELY_PASS`` at the tune split's risk, (errors + 1) / (kept + 2); the likeliest
    where none gets there. Raises ValueError on NaN or lengths that differ.
    """
    scores, hits = as_finite(tune_scores, "tune_scores"), as_correct(tune_correct)
    n_tune = same_length(scores=scores, correct=hits)
    kept, errors = counts_at(scores, hits, walk)
    expected = np.round(kept * n_calibration / max(n_tune, 1)).astype(int)
    counts, which = np.unique(expected, return_inverse=True)
    passing = np.array([largest_passing_errors(int(n), alpha, delta) for n in counts])[which]
    # Where not even no error passes (-1), there is no chance.
    chances = np.where(passing < 0, 0.0, special.bdtr(np.maximum(passing, 0), expected, (errors + 1) / (kept + 2)))
    likely = np.flatnonzero(chances >= _LIKELY_PASS)
    start = int(likely[0]) if len(likely) else int(chances.argmax())
    return walk[start:]


def start_coverage(n_calibration: int, alpha: float, delta: float) -> float:
    """Share kept at the first threshold: as strict as leaves enough answers to pass the test when the score is good.

    Enough is the smallest n whose test passes with probability 0.99 at a true risk of alpha / 4, and never less than
    one and a half times the count at which a perfect record passes. With few calibration items the start is at a third
    of them, or at all.
    """
    in_unit_interval(alpha=alpha, delta=delta)
    comfortable = kept_needed(alpha * LIKELY_RISK_SHARE, alpha, delta, _START_POWER)
    least = min_labels(alpha, delta)
    wanted = max(math.ceil(_START_RESERVE * least), min(comfortable or least, n_calibration // _LARGEST_START))
    return min(1.0, wanted / max(n_calibration, 1))


def binomial_p_values(n_errors: ArrayLike, n_kept: ArrayLike, alpha: float) -> FloatArray:
    """P(Binomial(n_kept, alpha) <= n_errors), elementwise; effective (fractional) counts allowed; 1 where nothing is
    kept.
    """
    errors, kept = np.broadcast_arrays(np.asarray(n_errors, dtype=np.float64), np.asarray(n_kept, dtype=np.float64))
    left = kept - errors
    tail = special.betainc(np.where(left > 0, left, 1.0), errors + 1, 1 - alpha)
    return np.asarray(np.where(left > 0, tail, 1.0))


def horizon_p_values(n_errors: ArrayLike, n_kept: ArrayLike, n_next: ArrayLike, alpha: float) -> FloatArray:
    """p-values for "of the next ``n_next`` kept answers more than alpha are wrong", from ``n_errors`` of ``n_kept`` so
    far.

    With both batches exchangeable the errors so far are hypergeometric given the total; the smallest total that breaks
    the promise is the hardest to tell apart, so p = P(Hypergeometric(kept + next, errors + floor(alpha next) + 1,
    kept) <= errors). Tends to the binomial p-value as ``n_next`` grows.
    """
    errors, kept, ahead = np.broadcast_arrays(*(np.asarray(x, dtype=np.int64) for x in (n_errors, n_kept, n_next)))
    total_errors = errors + np.floor(alpha * ahead + 1e-9).astype(np.int64) + 1
    possible = total_errors <= kept + ahead
    tail = scipy.stats.hypergeom.cdf(errors, kept + ahead, np.minimum(total_errors, kept + ahead), kept)
    return np.asarray(np.where((kept > 0) & possible, tail, 1.0))


def feasibility(
    correct: ArrayLike, *, alpha: float, delta: float, groups: Groups | None = None, level: float = 0.95
) -> Feasibility:
    """Test first whether the promise can be kept at all; ``correct`` (n,) covers every calibration item, kept or not."""
    hits = as_correct(correct)
    in_unit_interval(alpha=alpha, delta=delta)
    base_risk = proportion(~hits, groups, level)
    mu = base_risk.estimate
    least = min_labels(alpha, delta)
    return Feasibility(
        base_risk=base_risk,
        min_escalated=max(0.0, (mu - alpha) / (1 - alpha)) if len(hits) else float("nan"),
        min_labels=least,
        enough_labels=int(hits.sum()) >= least,
    )


def certify(
    scores: ArrayLike,
    correct: ArrayLike,
    thresholds: ArrayLike,
    *,
    alpha: float = 0.05,
    delta: float = 0.05,
    groups: Groups | None = None,
    group_rule: GroupRule = "one-per-group",
    horizon: int | None = None,
    power: float = 0.8,
    level: float = 0.95,
    seed: int = 0,
) -> Certificate:
    """Walk ``thresholds`` down and certify the last that passes.

    Parameters
    ----------
    scores, correct
        (n,) of the calibration split, which nothing else may have used; an answer is kept when its score >= threshold.
    thresholds
        Strictly decreasing and fixed without looking at this split: see ``threshold_walk``.
    groups
        (n,) or None. Where groups repeat, ``group_rule`` decides: "one-per-group" draws one item a group (``seed``)
        and stays exact;
        "effective-size" uses every item with counts divided by the design effect of the errors kept (asymptotic).
    horizon
        None promises the long-run rate. A number promises the rate among the kept of the next ``horizon`` items
        instead, which
        needs a wider margin; each test is exact, the walk over them is checked by simulation (docs/statistics.md).

    Raises ValueError on NaN, lengths that differ, thresholds that are not strictly decreasing, or no items.
    """
    in_unit_interval(alpha=alpha, delta=delta, power=power, level=level)
    walk = _checked_walk(thresholds)
    values, hits = as_finite(scores, "scores"), as_correct(correct)
    n_items = same_length(scores=values, correct=hits, groups=groups)
    if n_items == 0:
        raise ValueError("no calibration items; a certificate needs labelled answers")
    if horizon is not None and horizon < 1:
        raise ValueError(f"horizon = {horizon}; give a positive number of items or None for the long run")
    possible = feasibility(hits, alpha=alpha, delta=delta, groups=groups, level=level)
    codes, n_groups = group_codes(groups, n_items)
    rule: str = "independent" if n_groups == n_items else group_rule
    if rule == "one-per-group":
        chosen = one_per_group(codes, n_groups, seed)
        values, hits, codes = values[chosen], hits[chosen], np.arange(n_groups, dtype=np.int64)
    kept, errors = counts_at(values, hits, walk)
    effects = (
        _error_design_effects(values, hits, walk, codes, n_groups) if rule == "effective-size" else np.ones(len(walk))
    )
    p_values = _p_values(errors, kept, effects, len(values), alpha, horizon)
    n_passed = _fixed_sequence(p_values, delta)
    last = n_passed - 1
    threshold = float(walk[last]) if n_passed else None
    keep = values >= threshold if threshold is not None else np.zeros(len(values), dtype=np.bool_)
    n_kept, n_errors = int(keep.sum()), int((keep & ~hits).sum())
    effect = float(effects[last]) if n_passed else 1.0
    plan = None if n_passed else _plan(values, hits, codes, n_groups, alpha, delta, power, possible)
    return Certificate(
        alpha=alpha,
        delta=delta,
        threshold=threshold,
        n=len(values),
        n_items=n_items,
        n_groups=n_groups,
        n_kept=n_kept,
        n_errors=n_errors,
        coverage=proportion(keep, codes if rule == "effective-size" else None, level),
        risk_upper=clopper_pearson_upper(n_errors / effect, n_kept / effect, 1 - delta) if n_passed else float("nan"),
        p_value=float(p_values[last]) if n_passed else float(p_values[0]),
        n_tested=min(n_passed + 1, len(walk)),
        feasibility=possible,
        labels_needed=plan.labels if plan else None,
        horizon=horizon,
        assumption=_ASSUMPTIONS[rule],
        reason=_reason(n_passed, plan, possible),
    )


def counts_at(scores: FloatArray, correct: ArrayLike, thresholds: FloatArray) -> tuple[IntArray, IntArray]:
    """Kept answers and errors among them at each threshold; two (n_thresholds,) arrays."""
    order = np.argsort(scores, kind="stable")
    ascending = scores[order]
    wrong_from = np.concatenate([np.cumsum(~as_correct(correct)[order][::-1])[::-1], [0]]).astype(np.int64)
    starts = np.searchsorted(ascending, thresholds, side="left")
    return (len(scores) - starts).astype(np.int64), wrong_from[starts]


def one_per_group(codes: IntArray, n_groups: int, seed: int) -> IntArray:
    """Index of one item drawn at random from each group, (n_groups,)."""
    shuffled = np.random.default_rng(seed).permutation(len(codes))
    _, first = np.unique(codes[shuffled], return_index=True)
    chosen = shuffled[first]
    if len(chosen) != n_groups:
        raise ValueError(f"codes name {len(chosen)} groups, not {n_groups}")
    return np.asarray(chosen, dtype=np.int64)


def _checked_walk(thresholds: ArrayLike) -> FloatArray:
    walk = as_finite(thresholds, "thresholds")
    if len(walk) == 0 or (np.diff(walk) >= 0).any():
        raise ValueError(
            "thresholds must be a strictly decreasing, non-empty array: the walk goes from strict to lenient"
        )
    return walk


def _p_values(
    errors: IntArray, kept: IntArray, effects: FloatArray, n: int, alpha: float, horizon: int | None
) -> FloatArray:
    if horizon is None:
        return binomial_p_values(errors / effects, kept / effects, alpha)
    ahead = np.floor(horizon * kept / n).astype(np.int64)
    shrunk_kept = np.floor(kept / effects).astype(np.int64)
    shrunk_errors = np.minimum(np.ceil(errors / effects).astype(np.int64), shrunk_kept)
    return horizon_p_values(shrunk_errors, shrunk_kept, np.floor(ahead / effects).astype(np.int64), alpha)


def _fixed_sequence(p_values: FloatArray, delta: float) -> int:
    """Number of leading thresholds rejected before the first that is not."""
    failed = np.flatnonzero(p_values > delta)
    return int(failed[0]) if len(failed) else len(p_values)


def _error_design_effects(
    scores: FloatArray, correct: ArrayLike, walk: FloatArray, codes: IntArray, n_groups: int
) -> FloatArray:
    """Design effect of the error rate among the kept, at each threshold; the worst case where errors are none or all."""
    wrong = ~as_correct(correct)
    effects = np.ones(len(walk))
    if n_groups == len(scores):
        return effects
    for index, threshold in enumerate(walk):
        kept = scores >= threshold
        n_kept = int(kept.sum())
        if n_kept == 0:
            continue
        sizes = group_sums(kept.astype(np.float64), codes, n_groups)
        occupied = int((sizes > 0).sum())
        rate = float(wrong[kept].mean())
        if rate in (0.0, 1.0) or occupied < 2:
            effects[index] = float((sizes**2).sum() / n_kept)
            continue
        residuals = group_sums(np.where(kept, wrong - rate, 0.0), codes, n_groups)
        variance = occupied / (occupied - 1) * float((residuals**2).sum()) / n_kept**2
        effects[index] = max(1.0, variance / (rate * (1 - rate) / n_kept))
    return effects


def _plan(
    scores: FloatArray, correct: ArrayLike, codes: IntArray, n_groups: int, alpha: float, delta: float, power: float,
    possible: Feasibility,
) -> LabelPlan | None:  # fmt: skip
    """The plan at 25 coverages of the calibration split itself, stricter ones than the walk's included."""
    planned = np.unique(np.quantile(scores, np.linspace(0, 1, _N_PLANNED), method="higher"))
    kept, errors = counts_at(scores, correct, planned)
    effects = _error_design_effects(scores, correct, planned, codes, n_groups)
    few = not possible.enough_labels
    return plan_labels(errors, kept, effects, len(scores), alpha=alpha, delta=delta, power=power, may_hope=few)


def _reason(n_passed: int, plan: LabelPlan | None, possible: Feasibility) -> str:
    if n_passed:
        return "certified"
    if plan is not None and not plan.is_hoped:
        return f"no threshold passed; about {plan.labels:,} calibration labels in all would let one pass"
    if not possible.enough_labels:
        hoped = (
            f"; if answers as sure as the {plan.n_kept:,} surest here, all of them right, turn out as good as that, about "
            f"{plan.labels:,} calibration labels in all would do"
            if plan is not None
            else ""
        )
        least = f"at least {possible.min_labels} right answers must be kept for any test to pass"
        return f"too few labels to plan on: {least}{hoped}"
    return (
        f"no threshold's error came below alpha (base risk {possible.base_risk.estimate:.3f}); "
        "more labels alone would not help: improve the student or its score, or raise alpha"
    )
