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
from metier.artefacts.tasks import OutputKind
from metier.evaluation.answers import CandidateAnswers, Job
from metier.evaluation.comparing import estimate
from metier.evaluation.written import score_records, score_texts, score_writing
from metier.metrics.classification import accuracy, confusions, macro_f1
from metier.metrics.fields import Doubt
from metier.metrics.ood import ood_detection
from metier.metrics.reliability import reliability
from metier.statistics.intervals import proportion

BoolArray = NDArray[np.bool_]

# Stands for "no label was given" among the answers; no label can hold a NUL, importers refuse it.
_FAILED = "\0failed"


def score_candidate(
    one: CandidateAnswers,
    *,
    outputs: Sequence[str],
    inputs: Sequence[str],
    groups: Sequence[str],
    ood_groups: Sequence[str],
    judged: BoolArray,
    judgeable: bool,
    job: Job,
    level: float,
    n_resamples: int,
    n_confusions: int,
    seed: int,
) -> CandidateScore:
    """Score the answers to the items that are `judged` (n,) and were asked.

    `outputs`, `inputs` and `groups` are (n,), `ood_groups` (m,).
    `judgeable` False leaves accuracy, macro-F1 and all that goes with them unscored: the outputs are this candidate's own.
    """
    asked = judged & one.asked
    items = np.flatnonzero(asked).tolist()
    truth = [outputs[item] for item in items]
    answers = [one.answers[item] for item in items]
    correct = one.correct(outputs, job.kind)[items]
    units = [groups[item] for item in items]
    failures = Counter(kind for item in items if (kind := one.failures[item]) is not None)
    scored = judgeable and len(items) > 0
    base = CandidateScore(
        name=one.name,
        role=one.role,
        n=len(items),
        n_failed=sum(failures.values()),
        n_not_asked=int((judged & ~one.asked).sum()),
        accuracy=estimate(proportion(correct, units, level)) if scored else not_scored(),
        macro_f1=not_scored(),
        latency=one.latency,
        input_tokens_mean=one.input_tokens_mean,
        output_tokens_mean=one.output_tokens_mean,
        cost_usd_per_1000=one.cost_usd_per_1000,
        expected_calibration_error=_calibration_error(one, items, correct, level, seed) if scored else math.nan,
        ood=_ood(one, groups, ood_groups, level, seed),
        confusions=(),
        failures=tuple(sorted(failures.items(), key=lambda pair: (-pair[1], pair[0]))),
        model=one.model,
        writing=score_writing(one, asked, job.kind, groups, level) if job.kind is not OutputKind.LABEL else None,
    )
    if not scored:
        return base
    doubt = Doubt(units, level, n_resamples, seed)
    if job.kind is OutputKind.FIELDS:
        found = score_records(answers, truth, [inputs[item] for item in items], job.schema, doubt)
        return replace(base, records=found, macro_f1=found.macro_f1)
    if job.kind is OutputKind.TEXT:
        texts = score_texts(answers, truth, doubt)
        return replace(base, texts=texts, macro_f1=texts.token_f1)
    given = [_FAILED if answer is None else answer for answer in answers]
    return replace(
        base,
        macro_f1=_macro_f1(truth, given, units, level, n_resamples, seed),
        confusions=_confusions(truth, given, n_confusions),
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


def _calibration_error(one: CandidateAnswers, items: list[int], correct: BoolArray, level: float, seed: int) -> float:
    if one.scores is None:
        return math.nan
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
