"""Scores of records, pinned to hand calculations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from metier.metrics.fields import (
    Doubt,
    count_fields,
    field_f1,
    field_names,
    macro_f1,
    micro_f1,
    micro_f1_difference,
    precision,
    recall,
    share,
    ungrounded_rate,
)

TRUTH = [
    {"company": "ABC", "total": "9.00"},
    {"company": "DEF", "total": "5.00", "date": "25/12/2018"},
    {"company": "GHI", "total": "1.00"},
    {"company": "JKL", "total": "2.00"},
]
GIVEN = [
    {"company": "abc", "total": "RM 9"},  # right but not exact
    {"company": "DEF", "total": "6.00"},  # total wrong, date missed
    {"company": "GHI", "total": "1.00", "date": "1/1/2018"},  # a date that is not there
    None,  # not read
]
NAMES = ("company", "total", "date")
DOUBT = Doubt(n_resamples=400)


def test_the_fields_are_the_schemas_and_then_the_truths() -> None:
    assert field_names(TRUTH, {"properties": {"total": {}, "vat": {}}}) == ("total", "vat", "company", "date")
    assert field_names(TRUTH) == ("company", "date", "total")


def test_counts_by_hand() -> None:
    counts = count_fields(TRUTH, GIVEN, NAMES)
    assert counts.right.sum(axis=0).tolist() == [3, 2, 0]
    assert counts.given.sum(axis=0).tolist() == [3, 3, 1]
    assert counts.wanted.sum(axis=0).tolist() == [4, 4, 1]
    assert counts.exact.mean(axis=0).tolist() == [0.5, 0.25, 0.25]
    assert counts.same.mean(axis=0).tolist() == [0.75, 0.5, 0.25]
    assert counts.whole.tolist() == [True, False, False, False]


def test_precision_recall_and_f1_by_hand() -> None:
    counts = count_fields(TRUTH, GIVEN, NAMES)
    assert precision(counts, 1, DOUBT).estimate == pytest.approx(2 / 3)
    assert recall(counts, 1, DOUBT).estimate == pytest.approx(2 / 4)
    assert field_f1(counts, 1, DOUBT).estimate == pytest.approx(2 * 2 / (3 + 4))
    assert field_f1(counts, 2, DOUBT).estimate == 0.0
    # Micro: 5 right of 7 given and 9 wanted. Macro: mean of 6/7, 4/7 and 0.
    assert micro_f1(counts, DOUBT).estimate == pytest.approx(10 / 16)
    assert macro_f1(counts, DOUBT).estimate == pytest.approx((6 / 7 + 4 / 7 + 0) / 3)
    assert share(counts.whole, DOUBT).estimate == 0.25


def test_of_a_list_every_item_is_a_value() -> None:
    counts = count_fields([{"people": ["Ann", "Bob", "Cy"]}], [{"people": ["BOB", "ann", "Dan", "Bob"]}], ("people",))
    assert (counts.right.sum(), counts.given.sum(), counts.wanted.sum()) == (2, 4, 3)
    assert not counts.same.any()


def test_values_outside_the_fields_lower_precision_and_spoil_the_record() -> None:
    counts = count_fields([{"a": "x"}], [{"a": "x", "b": "made up"}], ("a",))
    assert micro_f1(counts, DOUBT).estimate == pytest.approx(2 / 3)
    assert not counts.whole.any()


def test_a_field_that_the_truth_never_has_is_not_scored_and_not_in_the_mean() -> None:
    counts = count_fields([{"a": "x"}] * 3, [{"a": "x", "b": "y"}] * 3, ("a", "b"))
    assert math.isnan(field_f1(counts, 1, DOUBT).estimate)
    assert math.isnan(recall(counts, 1, DOUBT).estimate)
    assert precision(counts, 1, DOUBT).estimate == 0.0
    assert macro_f1(counts, DOUBT).estimate == 1.0


def test_a_spotless_score_still_has_doubt() -> None:
    counts = count_fields([{"a": "x"}] * 50, [{"a": "x"}] * 50, ("a",))
    for found in (precision(counts, 0, DOUBT), micro_f1(counts, DOUBT), macro_f1(counts, DOUBT)):
        assert found.estimate == found.upper == 1.0
        assert found.lower == pytest.approx(50 / (50 + stats.norm.ppf(0.975) ** 2))  # Wilson at n of n
    nothing = count_fields([{"a": "x"}] * 50, [{"a": "y"}] * 50, ("a",))
    assert micro_f1(nothing, DOUBT).estimate == 0.0
    assert micro_f1(nothing, DOUBT).upper > 0.05


def test_the_interval_widens_where_items_repeat_in_groups() -> None:
    rng = np.random.default_rng(3)
    right = rng.random(60) < 0.7
    given = [{"a": "x" if ok else "y"} for ok in np.repeat(right, 4)]
    truth = [{"a": "x"}] * 240
    counts = count_fields(truth, given, ("a",))
    alone = micro_f1(counts, Doubt(n_resamples=1000))
    grouped = micro_f1(counts, Doubt(groups=np.repeat(np.arange(60), 4).tolist(), n_resamples=1000))
    assert grouped.n_groups == 60
    # Four copies of each answer: the standard error doubles.
    assert (grouped.upper - grouped.lower) / (alone.upper - alone.lower) == pytest.approx(2.0, rel=0.15)


def test_paired_differences_are_surer_than_the_scores_themselves() -> None:
    rng = np.random.default_rng(5)
    hard = rng.random(300) < 0.4
    truth = [{"a": "x"}] * 300
    theirs = [{"a": "y" if wrong else "x"} for wrong in hard]
    ours = [{"a": "y" if wrong and k % 5 else "x"} for k, wrong in enumerate(hard)]
    a, b = (count_fields(truth, given, ("a",)) for given in (ours, theirs))
    found = micro_f1_difference(a, b, DOUBT)
    assert found.estimate == pytest.approx(micro_f1(a, DOUBT).estimate - micro_f1(b, DOUBT).estimate)
    assert 0 < found.lower < found.estimate < found.upper
    assert found.upper - found.lower < (micro_f1(a, DOUBT).upper - micro_f1(a, DOUBT).lower)


def test_intervals_cover_as_promised() -> None:
    """100 draws of 80 records of three fields with a true micro F1 of 0.85: of 95% intervals about 95 hold it."""
    rng, covered = np.random.default_rng(11), 0
    for draw in range(100):
        skill = rng.beta(17, 3, size=80)  # records differ in how hard they are; mean 0.85
        given = [{name: "x" if rng.random() < p else "y" for name in "abc"} for p in skill]
        counts = count_fields([dict.fromkeys("abc", "x")] * 80, given, ("a", "b", "c"))
        found = micro_f1(counts, Doubt(n_resamples=300, seed=draw))
        covered += found.lower <= 0.85 <= found.upper
    assert 88 <= covered <= 99


def test_ungrounded_by_hand_and_with_doubt_at_zero() -> None:
    records = [{"a": "Kajang"}, {"a": "Paris", "b": "Kajang"}, None, {}]
    found = ungrounded_rate(records, ["in Kajang"] * 4, DOUBT)
    assert found.estimate == pytest.approx(1 / 3)
    none = ungrounded_rate([{"a": "Kajang"}] * 100, ["in Kajang"] * 100, DOUBT)
    assert none.estimate == none.lower == 0.0
    assert none.upper == pytest.approx(1 - 0.025 ** (1 / 100))  # Clopper-Pearson at 0 of 100
    assert math.isnan(ungrounded_rate([None, {}], ["x", "y"], DOUBT).estimate)
