"""From one candidate's answers to its scores, each with n and an interval."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metier.artefacts.estimates import Estimate, not_scored
from metier.artefacts.evaluations import CandidateScore, Confusion, OodScore
from metier.evaluation.answers import CandidateAnswers
from metier.evaluation.comparing import estimate
from metier.metrics.classification import accuracy, confusions, macro_f1
from metier.metrics.ood import ood_detection
from metier.metrics.reliability import reliability

BoolArray = NDArray[np.bool_]

# Stands for "no label was given" among the answers; no label can hold a NUL, importers refuse it.
_FAILED = "\0failed"


def score_candidate(
    one: CandidateAnswers,
    *,
    outputs: Sequence[str],
    groups: Sequence[str],
    ood_groups: Sequence[str],
    judged: BoolArray,
    judgeable: bool,
    level: float,
    n_resamples: int,
    n_confusions: int,
    seed: int,
) -> CandidateScore:
    """Score the answers to the items that are `judged` (n,) and were asked.

    `outputs` and `groups` are (n,), `ood_groups` (m,).
    `judgeable` False leaves accuracy, macro-F1 and confusions unscored: the labels are this candidate's own answers.
    """
    items = np.flatnonzero(judged & one.asked).tolist()
    truth = [outputs[item] for item in items]
    given = [_FAILED if one.answers[item] is None else str(one.answers[item]) for item in items]
    units = [groups[item] for item in items]
    failures = Counter(kind for item in items if (kind := one.failures[item]) is not None)
    scored = judgeable and len(items) > 0
    return CandidateScore(
        name=one.name,
        role=one.role,
        n=len(items),
        n_failed=sum(failures.values()),
        n_not_asked=int((judged & ~one.asked).sum()),
        accuracy=estimate(accuracy(truth, given, groups=units, level=level)) if scored else not_scored(),
        macro_f1=_macro_f1(truth, given, units, level, n_resamples, seed) if scored else not_scored(),
        latency=one.latency,
        input_tokens_mean=one.input_tokens_mean,
        output_tokens_mean=one.output_tokens_mean,
        cost_usd_per_1000=one.cost_usd_per_1000,
        expected_calibration_error=_calibration_error(one, items, truth, given, level, seed) if scored else math.nan,
        ood=_ood(one, groups, ood_groups, level, seed),
        confusions=_confusions(truth, given, n_confusions) if scored else (),
        failures=tuple(sorted(failures.items(), key=lambda pair: (-pair[1], pair[0]))),
        model=one.model,
    )


def _macro_f1(
    truth: list[str], given: list[str], groups: list[str], level: float, n_resamples: int, seed: int
) -> Estimate:
    found = estimate(macro_f1(truth, given, groups=groups, level=level, n_resamples=n_resamples, seed=seed))
    if found.value not in (0.0, 1.0):
        return found
    # All right, or all wrong: resampling sees no doubt where there is some. Accuracy has the same value then.
    bounds = accuracy(truth, given, groups=groups, level=level)
    return replace(found, low=bounds.lower, high=bounds.upper, method=f"{bounds.method}, as nothing varies to resample")


def _calibration_error(
    one: CandidateAnswers, items: list[int], truth: list[str], given: list[str], level: float, seed: int
) -> float:
    if one.scores is None:
        return math.nan
    correct = [right == answer for right, answer in zip(truth, given, strict=True)]
    return reliability(np.clip(one.scores[items], 0.0, 1.0), correct, level=level, seed=seed).ece


def _ood(
    one: CandidateAnswers, groups: Sequence[str], ood_groups: Sequence[str], level: float, seed: int
) -> OodScore | None:
    """On every test item, judged or not: where an input comes from is known without its label."""
    if one.ood_scores is None or one.ood_scores_out is None or not len(one.ood_scores_out) or not len(one.ood_scores):
        return None
    found = ood_detection(
        one.ood_scores, one.ood_scores_out, groups_in=groups, groups_out=ood_groups, level=level, seed=seed
    )
    return OodScore(estimate(found.auroc), estimate(found.fpr_at_tpr), found.n_in, found.n_out)


def _confusions(truth: list[str], given: list[str], n_confusions: int) -> tuple[Confusion, ...]:
    """The most frequent confusions between labels; answers that are no label are counted as failures instead."""
    pairs = [pair for pair in confusions(truth, given, len(truth)) if pair.predicted != _FAILED]
    return tuple(Confusion(pair.true, pair.predicted, pair.n, pair.share_of_class) for pair in pairs[:n_confusions])
