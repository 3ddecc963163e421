"""Specialists against the generalist, or against the teacher's recorded answers: paired, with Holm over all candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metier.artefacts.estimates import Estimate
from metier.artefacts.evaluations import Basis, Comparison, Verdict
from metier.statistics.intervals import Interval
from metier.statistics.verdict import Judgement, judge_candidates

BoolArray = NDArray[np.bool_]

TEACHER_NAME = "the teacher (recorded answers)"
PROMOTED = (Verdict.SUPERIOR, Verdict.NON_INFERIOR)


@dataclass(frozen=True)
class Rules:
    """Declared before looking: margin, family-wise error, power of the plans, level of the intervals."""

    margin: float
    alpha: float
    power: float
    level: float


def estimate(interval: Interval) -> Estimate:
    """The artefact's form of an interval; `n` counts the independent units."""
    return Estimate(
        interval.estimate, interval.lower, interval.upper, interval.n_groups, interval.level, interval.method
    )


def compare_with_generalist(
    correct: Mapping[str, BoolArray],
    generalist: str,
    generalist_correct: BoolArray,
    groups: Sequence[str],
    rules: Rules,
    note: str = "",
    secondary: Mapping[str, tuple[tuple[str, Estimate], ...]] | None = None,
) -> tuple[Comparison, ...]:
    """One comparison a specialist, on items (n,) that both sides were asked, against the truth. n >= 1.

    `secondary` holds differences of other scores by specialist; they are described, not tested.
    """
    judged = _judge(correct, generalist_correct, groups, rules)
    return tuple(
        replace(_comparison(judgement, generalist, rules, "truth", note), secondary=(secondary or {}).get(name, ()))
        for name, judgement in judged.items()
    )


def compare_with_teacher(
    correct: Mapping[str, BoolArray], groups: Sequence[str], rules: Rules, note: str = ""
) -> tuple[Comparison, ...]:
    """Agreement with labels (n,) that are the teacher's: is the share of disagreement at most the margin? n >= 1.

    The teacher stands as right on every item, so the paired test becomes a one-sample test of the error against it.
    """
    n = len(groups)
    judged = _judge(correct, np.ones(n, dtype=np.bool_), groups, rules)
    note = "; ".join(part for part in ("agreement with the teacher, not accuracy", note) if part)
    return tuple(_comparison(judgement, TEACHER_NAME, rules, "teacher", note) for judgement in judged.values())


def non_inferior_to_best(correct: Mapping[str, BoolArray], groups: Sequence[str], rules: Rules) -> frozenset[str]:
    """The specialists that are non-inferior to the most accurate one, itself included."""
    best = max(correct, key=lambda name: (float(correct[name].mean()), name))
    others = {name: values for name, values in correct.items() if name != best}
    if not others:
        return frozenset({best})
    judged = _judge(others, correct[best], groups, rules)
    return frozenset({best, *(name for name, judgement in judged.items() if judgement.verdict in PROMOTED)})


def _judge(
    correct: Mapping[str, BoolArray], reference: BoolArray, groups: Sequence[str], rules: Rules
) -> dict[str, Judgement]:
    return judge_candidates(
        correct, reference, margin=rules.margin, alpha=rules.alpha, power=rules.power, groups=groups, level=rules.level
    )


def _comparison(judgement: Judgement, generalist: str, rules: Rules, basis: Basis, note: str) -> Comparison:
    comparison = judgement.comparison
    counts = comparison.counts
    against_truth = basis == "truth"
    better = comparison.difference.estimate > 0
    needed = judgement.items_needed
    return Comparison(
        specialist=judgement.candidate,
        generalist=generalist,
        n=counts.n,
        margin=rules.margin,
        alpha=rules.alpha,
        difference=estimate(comparison.difference),
        n_only_specialist_right=counts.only_candidate,
        n_only_generalist_right=counts.only_reference,
        p_mcnemar=comparison.p_different if against_truth else math.nan,
        p_non_inferior=comparison.p_non_inferior,
        p_non_inferior_holm=judgement.adjusted_p_non_inferior,
        p_superior_holm=(judgement.adjusted_p_different if better else 1.0) if against_truth else math.nan,
        p_inferior_holm=judgement.adjusted_p_inferior,
        verdict=judgement.verdict,
        items_to_settle=needed.items if needed else None,
        note=note,
        basis=basis,
    )
