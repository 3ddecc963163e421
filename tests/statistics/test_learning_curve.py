"""Learning curves: exact recovery, honest refusals to extrapolate, coverage by simulation."""

import numpy as np
import pytest

from metier.statistics.learning_curve import (
    fit_learning_curve,
    fit_learning_curve_to_errors,
    forecast_error,
    labels_needed,
)

SIZES = np.array([1000, 2000, 4000, 8000, 15000])


def law(n):
    return 0.03 + 2.0 * np.asarray(n, dtype=float) ** -0.5


def test_recovers_a_noiseless_law():
    curve = fit_learning_curve_to_errors(SIZES, law(SIZES), 10**9)
    assert (curve.a, curve.b, curve.c) == pytest.approx((0.03, 2.0, 0.5), rel=1e-6)
    needed = labels_needed(curve, 0.04)
    assert needed.labels == pytest.approx(40_000, rel=1e-3)
    assert needed.reach == "within range"
    assert needed.lower <= 40_000 <= needed.upper


def test_floor_is_never_negative_and_flat_stays_flat():
    straight = fit_learning_curve_to_errors([100, 200, 400], [0.4, 0.2, 0.1], 10**9)
    assert (straight.a, straight.c) == pytest.approx((0.0, 1.0), abs=1e-6)
    flat = fit_learning_curve_to_errors([100, 200, 400], [0.2, 0.2, 0.2], 1000)
    assert forecast_error(flat, 10_000).estimate == pytest.approx(0.2)


def test_says_when_the_target_is_out_of_reach():
    curve = fit_learning_curve_to_errors(SIZES, law(SIZES), 10**9)
    assert labels_needed(curve, 0.02).reach == "not reachable"
    assert labels_needed(curve, 0.02).labels is None
    far = labels_needed(curve, 0.031)
    assert (far.reach, far.labels, far.max_labels) == ("beyond extrapolation range", None, 150_000)
    assert labels_needed(curve, 0.06).reach == "already reached"


def test_rising_errors_forecast_no_gain():
    curve = fit_learning_curve_to_errors([100, 200, 400], [0.1, 0.12, 0.15], 1000)
    assert labels_needed(curve, 0.05).reach == "not reachable"


def test_refusals():
    with pytest.raises(ValueError, match="at least 3"):
        fit_learning_curve_to_errors([100, 200], [0.2, 0.1], 100)
    with pytest.raises(ValueError, match="distinct"):
        fit_learning_curve_to_errors([100, 100, 200], [0.2, 0.2, 0.1], 100)
    with pytest.raises(ValueError, match="one row a size"):
        fit_learning_curve([1, 2, 3], np.ones((2, 10)))


def test_groups_widen_the_forecast():
    rng = np.random.default_rng(0)
    correct = rng.random((5, 600)) > law(SIZES)[:, None]
    alone = forecast_error(fit_learning_curve(SIZES, correct), 30_000)
    groups = np.repeat(np.arange(600), 4)
    copied = forecast_error(fit_learning_curve(SIZES, np.repeat(correct, 4, axis=1), groups=groups), 30_000)
    assert copied.n_groups == 600
    assert copied.upper - copied.lower > 0.7 * (alone.upper - alone.lower)


def test_forecast_and_labels_needed_cover():
    """Sizes share their test items, as in use. Intervals may be wider than nominal, not narrower by 1.5 points."""
    rng = np.random.default_rng(1)
    mixed = np.sort(0.7 * rng.random(500_000) + 0.3 * rng.random(500_000))
    bars = np.quantile(mixed, law(SIZES))[:, None]
    forecasts, labels = [], []
    target = 0.0425
    for seed in range(1000):
        wrong = 0.7 * rng.random(1000) + 0.3 * rng.random((5, 1000)) < bars
        curve = fit_learning_curve(SIZES, ~wrong, n_draws=200, seed=seed)
        forecast, needed = forecast_error(curve, 30_000), labels_needed(curve, target)
        forecasts.append(forecast.lower <= law(30_000) <= forecast.upper)
        labels.append(needed.lower <= (2.0 / (target - 0.03)) ** 2 <= needed.upper)
    assert np.mean(forecasts) >= 0.935
    assert np.mean(labels) >= 0.935
