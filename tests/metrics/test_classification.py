"""Classification scores against scikit-learn, and the rules for absent classes."""

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from metier.metrics.classification import class_scores, confusions, macro_f1, macro_f1_difference, score_classification


@pytest.fixture
def labelled():
    rng = np.random.default_rng(0)
    y_true = rng.choice(list("abcde"), 400, p=[0.4, 0.3, 0.2, 0.08, 0.02])
    return y_true, np.where(rng.random(400) < 0.8, y_true, rng.choice(list("abcde"), 400))


def test_agrees_with_scikit_learn(labelled):
    scores = score_classification(*labelled)
    precision, recall, f1, support = precision_recall_fscore_support(*labelled, labels=list("abcde"))
    assert scores.accuracy.estimate == accuracy_score(*labelled)
    assert scores.macro_f1.estimate == pytest.approx(f1_score(*labelled, average="macro"))
    assert [c.precision for c in scores.classes] == pytest.approx(precision.tolist())
    assert [c.recall for c in scores.classes] == pytest.approx(recall.tolist())
    assert [c.f1 for c in scores.classes] == pytest.approx(f1.tolist())
    assert [c.support for c in scores.classes] == support.tolist()
    assert scores.n_errors == (labelled[0] != labelled[1]).sum()
    assert scores.macro_f1.lower < scores.macro_f1.estimate < scores.macro_f1.upper


def test_a_class_without_truth_is_left_out_and_not_scored():
    y_true, y_pred = ["a", "a", "b"], ["a", "invented", "b"]
    by_label = {c.label: c for c in class_scores(y_true, y_pred)}
    assert math.isnan(by_label["invented"].recall)
    assert math.isnan(by_label["invented"].f1)
    assert by_label["invented"].precision == 0.0
    assert macro_f1(y_true, y_pred).estimate == pytest.approx((2 / 3 + 1) / 2)
    assert macro_f1(y_true, y_pred).estimate == pytest.approx(
        f1_score(y_true, y_pred, labels=["a", "b"], average="macro")
    )


def test_a_class_never_answered_has_no_precision_and_no_f1():
    never = class_scores(["a", "b"], ["a", "a"])[1]
    assert math.isnan(never.precision)
    assert (never.recall, never.f1) == (0.0, 0.0)


def test_confusions_come_most_frequent_first():
    y_true = ["a"] * 10 + ["b"] * 5
    y_pred = ["a"] * 6 + ["b"] * 3 + ["c"] + ["a"] * 2 + ["b"] * 3
    found = confusions(y_true, y_pred, 2)
    assert [(c.true, c.predicted, c.n) for c in found] == [("a", "b", 3), ("b", "a", 2)]
    assert (found[0].share_of_class, found[0].share_of_errors) == (0.3, 0.5)
    assert confusions(["a"], ["a"]) == ()


def test_groups_reach_both_intervals(labelled):
    once = score_classification(*labelled)
    copied = score_classification(*(np.repeat(side, 3) for side in labelled), groups=np.repeat(np.arange(400), 3))
    for name in ("accuracy", "macro_f1"):
        ours, theirs = getattr(copied, name), getattr(once, name)
        assert (ours.n, ours.n_groups) == (1200, 400)
        assert ours.upper - ours.lower == pytest.approx(theirs.upper - theirs.lower, rel=0.1)


def test_difference_of_macro_f1_is_paired(labelled):
    y_true, y_pred = labelled
    same = macro_f1_difference(y_true, y_pred, y_pred)
    assert (same.estimate, same.lower, same.upper) == (0.0, 0.0, 0.0)
    better = macro_f1_difference(y_true, y_true, y_pred)
    assert better.estimate == pytest.approx(1 - f1_score(y_true, y_pred, average="macro"))
    assert better.lower > 0


def test_no_items_are_refused():
    with pytest.raises(ValueError, match="no items"):
        score_classification([], [])
    with pytest.raises(ValueError, match="differ in length"):
        score_classification(["a"], ["a", "b"])


def test_macro_f1_covers():
    rng = np.random.default_rng(0)
    right = np.linspace(0.8, 0.98, 6)
    truth = np.mean(2 * right / (1 + right + np.roll(1 - right, 1)))
    covered = []
    for draw in range(2000):
        y = rng.integers(0, 6, 300)
        interval = macro_f1(y, np.where(rng.random(300) < right[y], y, (y + 1) % 6), n_resamples=500, seed=draw)
        covered.append(interval.lower <= truth <= interval.upper)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)
