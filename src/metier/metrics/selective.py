"""Answering only when sure: coverage against risk, the area under it, and the best threshold in hindsight."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metier.statistics.arrays import FloatArray, Groups, IntArray, as_correct, as_finite, in_unit_interval, same_length
from metier.statistics.intervals import Interval, proportion


@dataclass(frozen=True, slots=True)
class CoverageRisk:
    """The curve, one point a distinct score, strictest first; at ``thresholds[i]`` answers with score >= it are kept.

    ``coverage`` is the share kept, ``risk`` the share of the kept that is wrong. ``aurc`` is the area under risk
    (Geifman & El-Yaniv 2017): the mean over items of the risk at the coverage that just includes the item; items of
    equal score share one point.
    """

    thresholds: FloatArray
    coverage: FloatArray
    risk: FloatArray
    n_kept: IntArray
    n_errors: IntArray
    n: int
    aurc: float


@dataclass(frozen=True, slots=True)
class HindsightThreshold:
    """The most lenient threshold whose observed risk is at most alpha: what an oracle with all labels would have
    chosen.

    ``threshold`` is None when no threshold reaches alpha; coverage is then 0. ``risk`` is NaN when nothing is kept.
    """

    threshold: float | None
    coverage: float
    risk: float
    n_kept: int
    n: int


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """What a given threshold keeps: coverage and risk with intervals; ``risk.n`` is the number kept."""

    threshold: float
    coverage: Interval
    risk: Interval


def coverage_risk(scores: ArrayLike, correct: ArrayLike) -> CoverageRisk:
    """Curve from scores (n,), higher is surer, and correct (n,). Raises ValueError on NaN or no items."""
    values, hits = as_finite(scores, "scores"), as_correct(correct)
    n = same_length(scores=values, correct=hits)
    if n == 0:
        raise ValueError("no items; a coverage-risk curve needs at least one scored answer")
    order = np.argsort(-values, kind="stable")
    descending, wrong = values[order], ~hits[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(descending)), n - 1)
    n_kept = last_of_tie + 1
    n_errors = np.cumsum(wrong)[last_of_tie]
    risk = n_errors / n_kept
    weights = np.diff(n_kept, prepend=0)
    return CoverageRisk(
        thresholds=descending[last_of_tie],
        coverage=n_kept / n,
        risk=risk,
        n_kept=n_kept.astype(np.int64),
        n_errors=n_errors.astype(np.int64),
        n=n,
        aurc=float((risk * weights).sum() / n),
    )


def best_threshold_in_hindsight(scores: ArrayLike, correct: ArrayLike, alpha: float) -> HindsightThreshold:
    """Largest coverage whose observed risk is at most ``alpha``, any threshold allowed."""
    in_unit_interval(alpha=alpha)
    curve = coverage_risk(scores, correct)
    good = np.flatnonzero(curve.risk <= alpha)
    if len(good) == 0:
        return HindsightThreshold(None, 0.0, float("nan"), 0, curve.n)
    last = int(good[-1])
    return HindsightThreshold(
        float(curve.thresholds[last]),
        float(curve.coverage[last]),
        float(curve.risk[last]),
        int(curve.n_kept[last]),
        curve.n,
    )


def kept_at(
    scores: ArrayLike, correct: ArrayLike, threshold: float, *, groups: Groups | None = None, level: float = 0.95
) -> KeptAnswers:
    """Coverage and risk of keeping scores >= ``threshold``, with intervals that respect ``groups``."""
    values, hits = as_finite(scores, "scores"), as_correct(correct)
    same_length(scores=values, correct=hits, groups=groups)
    keep = values >= threshold
    kept_groups = None if groups is None else np.asarray(groups)[keep]
    return KeptAnswers(threshold, proportion(keep, groups, level), proportion(~hits[keep], kept_groups, level))
