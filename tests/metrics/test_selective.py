"""Coverage against risk: hand calculations, ties, hindsight."""

import math

import numpy as np
import pytest

from metier.metrics.selective import best_threshold_in_hindsight, coverage_risk, kept_at


def test_curve_by_hand():
    curve = coverage_risk([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])
    assert curve.thresholds.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert curve.aurc == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_ties_are_kept_or_dropped_together():
    curve = coverage_risk([0.9, 0.5, 0.5, 0.5], [1, 1, 0, 0])
    assert curve.n_kept.tolist() == [1, 4]
    assert curve.aurc == pytest.approx((0 + 3 * 0.5) / 4)


def test_a_perfect_order_has_the_least_area():
    rng = np.random.default_rng(0)
    correct = rng.random(500) < 0.8
    assert coverage_risk(correct + 0.1 * rng.random(500), correct).aurc < coverage_risk(rng.random(500), correct).aurc


def test_hindsight_takes_the_largest_coverage_even_past_a_bump():
    found = best_threshold_in_hindsight([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], 0.4)
    assert (found.threshold, found.coverage, found.n_kept) == (0.7, 0.75, 3)


def test_hindsight_without_any_good_threshold():
    found = best_threshold_in_hindsight([0.9, 0.8], [0, 0], 0.05)
    assert found.threshold is None
    assert found.coverage == 0.0
    assert math.isnan(found.risk)


def test_kept_at_uses_groups_on_both_shares():
    scores, correct = np.repeat([0.9, 0.2], 30), np.repeat([True, False], 30)
    kept = kept_at(scores, correct, 0.5, groups=np.repeat(np.arange(20), 3))
    assert (kept.coverage.estimate, kept.risk.estimate) == (0.5, 0.0)
    assert (kept.coverage.n_groups, kept.risk.n_groups, kept.risk.n) == (20, 10, 30)
    nothing = kept_at(scores, correct, 0.99)
    assert math.isnan(nothing.risk.estimate)
