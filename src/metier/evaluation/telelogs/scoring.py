"""From a specialist's answers to its scores by form of question, each with n and an interval over drive windows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metier.artefacts.benchmarks import CauseScore, FormScore, KeptScore
from metier.artefacts.estimates import Estimate, not_scored
from metier.artefacts.evaluations import Confusion
from metier.artefacts.policies import Policy
from metier.evaluation.comparing import estimate
from metier.evaluation.telelogs.answering import Given
from metier.evaluation.telelogs.grading import content, is_exact, is_right, majority
from metier.evaluation.telelogs.options import FORMS, Options, read_options
from metier.evaluation.telelogs.windows import window_key
from metier.sources.exams import ExamQuestion
from metier.statistics.bootstrap import mean_interval
from metier.statistics.intervals import proportion

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

ALL = "all"
NO_CAUSE = "none"


@dataclass(frozen=True)
class Item:
    """One question with what is known of it: its options, the window it is about, and the cause that is its truth (the
    accepted label itself where its options name no cause)."""

    question: ExamQuestion
    options: Options
    cluster: str
    truth: str


@dataclass(frozen=True)
class Graded:
    """k samples of answers to n items: what their boxes hold, and whether that is right. `contents` is k tuples of n,
    `right` and `exact` (k, n), `majority` (n,), `causes` (k, n) what each answer means."""

    contents: tuple[tuple[str | None, ...], ...]
    right: BoolArray
    exact: BoolArray
    majority: BoolArray
    causes: tuple[tuple[str, ...], ...]
    kept: BoolArray | None


@dataclass(frozen=True)
class Doubt:
    """How intervals are made: level, resamples and their seed."""

    level: float
    n_resamples: int
    seed: int


def item_of(question: ExamQuestion) -> Item:
    """A question with its options, window and cause."""
    options = read_options(question.text)
    truth = question.accepted[0]
    return Item(question, options, window_key(question.text), cause_of(truth.casefold(), options) or truth)


def cause_of(given: str | None, options: Options) -> str | None:
    """The cause that an answer names: by its label, or by the number in it where labels are numbers behind a letter."""
    if given is None or (cause := options.cause(given)) is not None:
        return None if given is None else cause
    same = [label for label in options.causes if is_right(given, (label,))]
    return options.cause(same[0]) if len(same) == 1 else None


def grade(items: Sequence[Item], given: Given, policy: Policy | None) -> Graded:
    """Every answer against its question's accepted ones. A failure has no box, and is wrong."""
    contents = tuple(tuple(content(written) for written in one) for one in given.written)
    accepted = [item.question.accepted for item in items]
    kept = None
    if policy is not None and policy.certificate is not None:
        kept = policy.keeps(given.scores, given.ood_scores)
    return Graded(
        contents,
        np.array([[is_right(one, truth) for one, truth in zip(row, accepted, strict=True)] for row in contents]),
        np.array([[is_exact(one, truth) for one, truth in zip(row, accepted, strict=True)] for row in contents]),
        np.array(
            [
                is_right(majority(votes), truth)
                for votes, truth in zip(zip(*contents, strict=True), accepted, strict=True)
            ]
        ),
        tuple(tuple(_named(one, item.options) for one, item in zip(row, items, strict=True)) for row in contents),
        kept,
    )


def score_forms(
    items: Sequence[Item], given: Given, graded: Graded, policy: Policy | None, doubt: Doubt
) -> tuple[FormScore, ...]:
    """The scores of all items, and, where there are several forms of question, of each."""
    forms = [form for form in FORMS if any(item.options.form == form for item in items)]
    places = {ALL: np.arange(len(items))}
    places |= {form: np.flatnonzero([item.options.form == form for item in items]) for form in forms}
    return tuple(_score(form, at, items, given, graded, policy, doubt) for form, at in places.items())


def _score(
    form: str,
    at: NDArray[np.int64],
    items: Sequence[Item],
    given: Given,
    graded: Graded,
    policy: Policy | None,
    doubt: Doubt,
) -> FormScore:
    chosen = [items[place] for place in at]
    clusters = [item.cluster for item in chosen]
    truths = [item.truth for item in chosen]
    first = [_cause_or_truth(graded, 0, place, items[place]) for place in at]
    failed = sum(row[place] is not None for row in given.failures for place in at)
    unboxed = sum(
        row[place] is None and why[place] is None
        for row, why in zip(graded.contents, given.failures, strict=True)
        for place in at
    )
    return FormScore(
        form=form,
        n=len(chosen),
        n_clusters=len(set(clusters)),
        pass_at_1=_mean(graded.right[:, at].mean(axis=0), clusters, doubt),
        exact=_mean(graded.exact[:, at].mean(axis=0), clusters, doubt),
        majority=_mean(graded.majority[at].astype(np.float64), clusters, doubt),
        n_unboxed=unboxed,
        n_failed=failed,
        causes=_causes(truths, first, graded.right[0, at], clusters, doubt),
        confusions=_confusions(truths, first),
        kept=_kept(graded, at, clusters, policy, doubt),
    )


def _named(given: str | None, options: Options) -> str:
    """The cause an answer names, or its own text where the question offers no such option."""
    return cause_of(given, options) or given or NO_CAUSE


def _cause_or_truth(graded: Graded, sample: int, place: int, item: Item) -> str:
    """A right answer names the truth, also where several are accepted."""
    return item.truth if graded.right[sample, place] else graded.causes[sample][place]


def _causes(
    truths: Sequence[str], answers: Sequence[str], right: BoolArray, clusters: Sequence[str], doubt: Doubt
) -> tuple[CauseScore, ...]:
    given = Counter(answers)
    found = []
    for cause in sorted(set(truths)):
        at = [place for place, truth in enumerate(truths) if truth == cause]
        recall = _mean(right[at].astype(np.float64), [clusters[place] for place in at], doubt)
        n_given = given[cause]
        found.append(
            CauseScore(cause, len(at), recall, n_given, int(right[at].sum()) / n_given if n_given else math.nan)
        )
    return tuple(found)


def _confusions(truths: Sequence[str], answers: Sequence[str]) -> tuple[Confusion, ...]:
    support = Counter(truths)
    pairs = Counter(zip(truths, answers, strict=True))
    return tuple(Confusion(truth, answer, n, n / support[truth]) for (truth, answer), n in sorted(pairs.items()))


def _kept(
    graded: Graded, at: NDArray[np.int64], clusters: Sequence[str], policy: Policy | None, doubt: Doubt
) -> KeptScore | None:
    if graded.kept is None or policy is None or policy.certificate is None:
        return None
    kept = graded.kept[at]
    wrong = (~graded.right[0, at][kept]).astype(np.float64)
    coverage = _mean(kept.astype(np.float64), clusters, doubt)
    certificate = policy.certificate
    return KeptScore(
        alpha=certificate.alpha,
        delta=certificate.delta,
        threshold=certificate.threshold,
        n_kept=int(kept.sum()),
        coverage=coverage,
        escalated=1 - coverage.value,
        error=_mean(wrong, [cluster for cluster, keep in zip(clusters, kept, strict=True) if keep], doubt),
    )


def _mean(values: FloatArray, clusters: Sequence[str], doubt: Doubt) -> Estimate:
    """Mean with a bootstrap interval over clusters; where nothing varies to resample, that of a proportion."""
    if not len(values):
        return not_scored()
    if len(set(clusters)) > 1 and not np.all(values == values[0]):
        return estimate(
            mean_interval(values, list(clusters), level=doubt.level, n_resamples=doubt.n_resamples, seed=doubt.seed)
        )
    if not np.isin(values, (0.0, 1.0)).all():
        value = float(values.mean())
        return Estimate(
            value, math.nan, math.nan, len(set(clusters)), doubt.level, "none: one window, or nothing varies"
        )
    found = estimate(proportion(values == 1.0, list(clusters), doubt.level))
    return replace(found, method=f"{found.method}, as nothing varies to resample")
