"""Accuracy, macro-F1 and the confusions that matter, each score with its interval.

Macro-F1 is the plain mean of F1 over the classes that occur in ``y_true``: a class without a single test item has no
recall and is left out (scikit-learn's ``f1_score(labels=numpy.unique(y_true), average="macro")``). An answer outside
the known classes (a failure, a schema violation, an invented label) is an ordinary wrong answer: it lowers the recall
of the true class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.statistics.arrays import FloatArray, Groups, IntArray, group_codes, same_length
from metier.statistics.bootstrap import N_RESAMPLES, bootstrap_interval
from metier.statistics.intervals import Interval, proportion
from metier.statistics.paired import paired_statistic_bootstrap

Labels = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: precision (NaN when never answered), recall and F1 (NaN without a true item), counts."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    n_predicted: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """Items of ``true`` answered ``predicted``: their number, their share of that class and of all mistakes."""

    true: str
    predicted: str
    n: int
    share_of_class: float
    share_of_errors: float


@dataclass(frozen=True, slots=True)
class ClassificationScores:
    """All of it for one set of answers; ``classes`` sorted by label, ``confusions`` most frequent first."""

    accuracy: Interval
    macro_f1: Interval
    classes: tuple[ClassScore, ...]
    confusions: tuple[Confusion, ...]
    n: int
    n_errors: int


@dataclass(frozen=True, slots=True)
class _Counts:
    """Answers as whole numbers: classes 0 … k-1 are those of ``y_true``, others follow."""

    labels: tuple[str, ...]
    true: IntArray
    predicted: IntArray
    n_true_classes: int


def score_classification(
    y_true: Labels,
    y_pred: Labels,
    *,
    groups: Groups | None = None,
    level: float = 0.95,
    n_confusions: int = 20,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> ClassificationScores:
    """Score labels (n,) against truth (n,); intervals respect ``groups`` (n,). Raises ValueError on a length mismatch
    or no items.
    """
    counts = _encode(y_true, y_pred)
    n_errors = int((counts.true != counts.predicted).sum())
    return ClassificationScores(
        accuracy=accuracy(y_true, y_pred, groups=groups, level=level),
        macro_f1=macro_f1(y_true, y_pred, groups=groups, level=level, n_resamples=n_resamples, seed=seed),
        classes=_class_scores(counts),
        confusions=_confusions(counts, n_confusions),
        n=len(counts.true),
        n_errors=n_errors,
    )


def accuracy(y_true: Labels, y_pred: Labels, *, groups: Groups | None = None, level: float = 0.95) -> Interval:
    """Share answered right, Wilson interval (on the effective sample size when ``groups`` repeat)."""
    counts = _encode(y_true, y_pred)
    return proportion(counts.true == counts.predicted, groups, level)


def macro_f1(
    y_true: Labels,
    y_pred: Labels,
    *,
    groups: Groups | None = None,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean F1 over the classes of ``y_true``, BCa interval over groups (over items without ``groups``).

    A class absent from a resample is left out of that resample's mean, as it would be from a test set.
    """
    counts = _encode(y_true, y_pred)
    codes, n_groups = group_codes(groups, len(counts.true))
    sums = _f1_sums(counts, codes, n_groups)
    return bootstrap_interval(
        sums, _macro_f1_of_totals, n=len(counts.true), level=level, n_resamples=n_resamples, seed=seed
    )


def macro_f1_difference(
    y_true: Labels,
    candidate: Labels,
    reference: Labels,
    *,
    groups: Groups | None = None,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Macro-F1 of ``candidate`` minus that of ``reference`` on the same items, paired BCa interval over groups."""
    codes, n_groups = group_codes(groups, same_length(y_true=y_true, candidate=candidate, reference=reference))
    ours = _f1_sums(_encode(y_true, candidate), codes, n_groups)
    theirs = _f1_sums(_encode(y_true, reference), codes, n_groups)
    return paired_statistic_bootstrap(
        ours, theirs, _macro_f1_of_totals, n=len(codes), level=level, n_resamples=n_resamples, seed=seed
    )


def class_scores(y_true: Labels, y_pred: Labels) -> tuple[ClassScore, ...]:
    """Precision, recall, F1 and counts of every class that occurs in truth or answers, sorted by label."""
    return _class_scores(_encode(y_true, y_pred))


def confusions(y_true: Labels, y_pred: Labels, n_confusions: int = 20) -> tuple[Confusion, ...]:
    """Return the ``n_confusions`` most frequent (true, predicted) pairs that differ; ties in label order."""
    return _confusions(_encode(y_true, y_pred), n_confusions)


def _encode(y_true: Labels, y_pred: Labels) -> _Counts:
    n = same_length(y_true=y_true, y_pred=y_pred)
    if n == 0:
        raise ValueError("no items to score; give at least one answer with its expected label")
    truth = [str(label) for label in y_true]
    answers = [str(label) for label in y_pred]
    known = sorted(set(truth))
    labels = (*known, *sorted(set(answers) - set(known)))
    code = {label: index for index, label in enumerate(labels)}
    return _Counts(
        labels,
        np.fromiter((code[label] for label in truth), dtype=np.int64, count=n),
        np.fromiter((code[label] for label in answers), dtype=np.int64, count=n),
        len(known),
    )


def _f1_sums(counts: _Counts, codes: IntArray, n_groups: int) -> FloatArray:
    """Per group and class of truth: true positives, then 2 tp + fp + fn, then support; (n_groups, 3 k)."""
    k = counts.n_true_classes
    sums = np.zeros((n_groups, 3 * k))
    right = counts.true == counts.predicted
    np.add.at(sums, (codes[right], counts.true[right]), 1)
    np.add.at(sums, (codes, k + counts.true), 1)
    known = counts.predicted < k
    np.add.at(sums, (codes[known], k + counts.predicted[known]), 1)
    np.add.at(sums, (codes, 2 * k + counts.true), 1)
    return sums


def _macro_f1_of_totals(totals: FloatArray) -> FloatArray:
    hits, denominators, support = np.split(totals, 3, axis=1)
    f1 = np.divide(2 * hits, denominators, out=np.zeros_like(hits), where=denominators > 0)
    present = support > 0
    n_present = present.sum(axis=1)
    total = np.where(present, f1, 0.0).sum(axis=1)
    return np.asarray(np.where(n_present > 0, total / np.maximum(n_present, 1), np.nan))


def _class_scores(counts: _Counts) -> tuple[ClassScore, ...]:
    k = len(counts.labels)
    support = np.bincount(counts.true, minlength=k)
    predicted = np.bincount(counts.predicted, minlength=k)
    hits = np.bincount(counts.true[counts.true == counts.predicted], minlength=k)
    scores = [
        ClassScore(
            label=label,
            precision=_share(hit, n_predicted),
            recall=_share(hit, n_true),
            f1=2 * hit / (n_true + n_predicted) if n_true else float("nan"),
            support=n_true,
            n_predicted=n_predicted,
        )
        for label, hit, n_true, n_predicted in zip(
            counts.labels, hits.tolist(), support.tolist(), predicted.tolist(), strict=True
        )
    ]
    return tuple(sorted(scores, key=lambda score: score.label))


def _confusions(counts: _Counts, n_confusions: int) -> tuple[Confusion, ...]:
    wrong = counts.true != counts.predicted
    n_errors = int(wrong.sum())
    k = len(counts.labels)
    support = np.bincount(counts.true, minlength=k)
    pairs, numbers = np.unique(counts.true[wrong] * k + counts.predicted[wrong], return_counts=True)
    order = np.argsort(-numbers, kind="stable")[:n_confusions]
    return tuple(
        Confusion(
            true=counts.labels[pair // k],
            predicted=counts.labels[pair % k],
            n=number,
            share_of_class=number / int(support[pair // k]),
            share_of_errors=number / n_errors,
        )
        for pair, number in zip(pairs[order].tolist(), numbers[order].tolist(), strict=True)
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
