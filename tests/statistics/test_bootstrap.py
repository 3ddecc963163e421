"""The cluster bootstrap: agreement with scipy's BCa, speed of its shape, coverage by simulation."""

import numpy as np
import pytest
from scipy import stats

from metier.statistics.bootstrap import bootstrap_interval, mean_interval, ratio, resample_weights


def test_weights_draw_every_group_once_on_average():
    weights = resample_weights(50, 4000, np.random.default_rng(0))
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.08)


def test_agrees_with_scipy_bca():
    values = np.random.default_rng(3).exponential(size=80)
    ours = mean_interval(values, n_resamples=20_000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, rng=np.random.default_rng(0)).confidence_interval
    assert (ours.lower, ours.upper) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_same_seed_same_interval():
    values = np.random.default_rng(0).random(100)
    assert mean_interval(values, seed=5) == mean_interval(values, seed=5)


def test_one_group_has_no_interval():
    interval = mean_interval(np.random.default_rng(0).random(10), groups=["a"] * 10)
    assert np.isnan(interval.lower)
    assert np.isnan(interval.upper)
    assert interval.n_groups == 1


def test_constant_values_give_a_point():
    interval = mean_interval(np.full(20, 0.5))
    assert (interval.lower, interval.upper) == (0.5, 0.5)


def test_percentile_method_is_plain_quantiles():
    sums = np.stack([np.arange(10.0), np.ones(10)], axis=1)
    interval = bootstrap_interval(sums, ratio, n=10, method="percentile", n_resamples=4000)
    assert interval.lower < 4.5 < interval.upper


def test_grouped_mean_covers():
    rng = np.random.default_rng(2)
    covered = []
    for draw in range(2000):
        groups = np.repeat(np.arange(80), rng.integers(1, 8, 80))
        values = rng.beta(4, 1, 80)[groups] * 0.5 + 0.5 * rng.beta(4, 1, len(groups))
        interval = mean_interval(values, groups, n_resamples=1000, seed=draw)
        covered.append(interval.lower <= 0.8 <= interval.upper)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)
