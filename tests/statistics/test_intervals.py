"""Intervals of one proportion: published values, statsmodels, and coverage by simulation."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from metier.statistics.arrays import as_correct
from metier.statistics.intervals import clopper_pearson, effective_sample, jeffreys, proportion, wilson

# Newcombe (1998), Statistics in Medicine 17:857, table I: 81/263, 15/148, 0/20, 1/29 by the score and exact methods.
NEWCOMBE = {
    (81, 263): ((0.2553, 0.3662), (0.2527, 0.3676)),
    (15, 148): ((0.0624, 0.1605), (0.0578, 0.1617)),
    (0, 20): ((0.0000, 0.1611), (0.0000, 0.1684)),
    (1, 29): ((0.0061, 0.1718), (0.0009, 0.1776)),
}


@pytest.mark.parametrize(("counts", "expected"), NEWCOMBE.items())
def test_published_bounds(counts, expected):
    score, exact = expected
    assert wilson(*counts) == pytest.approx(score, abs=5e-5)
    assert clopper_pearson(*counts) == pytest.approx(exact, abs=5e-5)


@pytest.mark.parametrize(("method", "name"), [(wilson, "wilson"), (clopper_pearson, "beta")])
@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 17), (4365, 4500)])
def test_agrees_with_statsmodels(method, name, k, n):
    assert method(k, n, 0.9) == pytest.approx(proportion_confint(k, n, alpha=0.1, method=name), abs=1e-12)


def test_jeffreys_agrees_with_statsmodels_inside_the_range():
    assert jeffreys(3, 17, 0.9) == pytest.approx(proportion_confint(3, 17, alpha=0.1, method="jeffreys"), abs=1e-12)
    assert jeffreys(0, 17)[0] == 0.0
    assert jeffreys(17, 17)[1] == 1.0


def test_proportion_without_groups_is_wilson():
    interval = proportion(np.arange(263) < 81)
    assert (interval.lower, interval.upper) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (interval.n, interval.n_groups, interval.method) == (263, 263, "Wilson")


def test_copies_add_nothing():
    """Each item repeated four times in its group carries the information of one item, up to the t quantile."""
    hits = np.arange(200) < 170
    once, copied = proportion(hits), proportion(np.repeat(hits, 4), np.repeat(np.arange(200), 4))
    assert copied.n_groups == 200
    assert copied.upper - copied.lower == pytest.approx(once.upper - once.lower, rel=0.02)


def test_all_right_in_groups_takes_the_worst_design_effect():
    sample = effective_sample(np.ones(60), np.repeat(np.arange(20), 3), 20)
    assert (sample.design_effect, sample.n_effective) == (3.0, 20.0)


def test_no_items_give_nan_and_the_whole_range():
    interval = proportion(np.array([], dtype=bool))
    assert np.isnan(interval.estimate)
    assert (interval.lower, interval.upper, interval.n) == (0.0, 1.0, 0)


def test_not_scored_is_refused_with_its_count():
    with pytest.raises(ValueError, match=r"2 of 3 items not scored \(NaN\)"):
        as_correct(np.array([1.0, np.nan, np.nan]))
    with pytest.raises(ValueError, match=r"0\.5"):
        as_correct([0, 1, 0.5])


def test_a_missing_group_is_refused():
    with pytest.raises(ValueError, match="1 of 3 entries missing"):
        proportion([1, 0, 1], groups=["a", None, "a"])


@pytest.mark.parametrize(("n", "p"), [(500, 0.76), (500, 0.95), (4500, 0.97)])
def test_wilson_covers_within_a_point_and_a_half(n, p):
    bounds = np.array([wilson(k, n) for k in range(n + 1)])
    drawn = bounds[np.random.default_rng(0).binomial(n, p, 20_000)]
    assert np.mean((drawn[:, 0] <= p) & (p <= drawn[:, 1])) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(("n_groups", "p", "correlation"), [(150, 0.9, 0.3), (400, 0.96, 0.5)])
def test_grouped_interval_covers_within_a_point_and_a_half(n_groups, p, correlation):
    rng = np.random.default_rng(1)
    spread = (1 - correlation) / correlation
    covered = []
    for _ in range(3000):
        groups = np.repeat(np.arange(n_groups), rng.integers(1, 6, n_groups))
        hits = rng.random(len(groups)) < rng.beta(p * spread, (1 - p) * spread, n_groups)[groups]
        interval = proportion(hits, groups)
        covered.append(interval.lower <= p <= interval.upper)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_ignoring_groups_would_not_cover():
    """The check above can fail: Wilson on the raw count misses badly on the same draws."""
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(500):
        hits = np.repeat(rng.random(150) < 0.9, 4)
        interval = proportion(hits)
        covered.append(interval.lower <= 0.9 <= interval.upper)
    assert np.mean(covered) < 0.8
