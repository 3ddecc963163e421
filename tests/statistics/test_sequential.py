"""Betting against an error rate: the promise by simulation over thousands of runs, power, and values by hand."""

import numpy as np
import pytest
from scipy import special, stats

from metier.statistics.sequential import (
    ODDS_RATIOS,
    EProcess,
    confidence_sequence,
    e_process,
    first_rejection,
    held_back,
    start_weight,
)

DELTA = 0.05


def rejected(outcomes: np.ndarray, allowed: float | np.ndarray) -> np.ndarray:
    """(runs,) whether the e-value ever reached 1 / DELTA."""
    return np.asarray(e_process(outcomes, allowed).max(axis=-1) >= 1 / DELTA)


def test_one_stake_is_the_likelihood_ratio():
    """At odds ratio r = 3 against m = 0.1 (odds 1/9), p = 0.25: wrong multiplies by 2.5, right by 0.75 / 0.9."""
    e_values = e_process([1.0, 0.0], 0.1, odds_ratios=[3.0])
    first = 0.5 * 2.5 + 0.5
    assert e_values[0] == pytest.approx(first)
    second = (0.5 * 2.5 + start_weight(1)) * 0.75 / 0.9 + held_back(2)
    assert e_values[1] == pytest.approx(second)


def test_weights_of_the_starts_sum_to_one():
    weights = [start_weight(place) for place in range(100_000)]
    assert min(weights) > 0
    assert sum(weights) + held_back(100_000) == pytest.approx(1)
    assert weights[0] == 0.5


def test_in_expectation_no_outcome_raises_the_capital_when_the_rate_is_the_one_allowed():
    """The defining property, exactly: the mean over both outcomes at p = m is the e-value before."""
    state = EProcess()
    for outcome, allowed in ((1, 0.05), (0, 0.2), (0, 0.01), (1, 0.5)):
        mean = allowed * state.after(1, allowed).e_value + (1 - allowed) * state.after(0, allowed).e_value
        assert mean == pytest.approx(state.e_value)
        state = state.after(outcome, allowed)


def test_one_by_one_gives_what_the_array_gives():
    rng = np.random.default_rng(0)
    outcomes, allowed = (rng.random(300) < 0.2).astype(float), rng.uniform(0.05, 0.1, 300)
    state, found = EProcess(), []
    for outcome, null in zip(outcomes, allowed, strict=True):
        state = state.after(outcome, null)
        found.append(state.e_value)
    np.testing.assert_allclose(found, e_process(outcomes, allowed))


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.2])
def test_a_rate_that_is_allowed_is_seldom_rejected_at_any_moment(rate: float):
    """Ville: at most delta over the whole horizon of 1,000 looks; 2,000 runs, 3 standard errors of slack."""
    outcomes = np.random.default_rng(1).random((2000, 1000)) < rate
    assert rejected(outcomes, rate).mean() <= DELTA + 3 * np.sqrt(DELTA * (1 - DELTA) / 2000)


def test_it_holds_when_the_allowed_rate_changes_and_outcomes_lean_on_what_came_before():
    """The rate after "wrong" is twice that after "right", and the null follows it: H holds given the past."""
    rng = np.random.default_rng(2)
    draws = rng.random((3000, 800))
    rates = np.full((3000, 800), 0.05)
    outcomes = np.zeros((3000, 800))
    for place in range(800):
        if place:
            rates[:, place] = np.where(outcomes[:, place - 1] == 1, 0.1, 0.05)
        outcomes[:, place] = draws[:, place] < rates[:, place]
    assert rejected(outcomes, rates).mean() <= DELTA + 3 * np.sqrt(DELTA * (1 - DELTA) / 3000)


@pytest.mark.parametrize(
    ("n_good", "rate", "most"),
    [(0, 0.10, 600), (0, 0.15, 200), (2000, 0.10, 1200), (2000, 0.15, 400)],
)
def test_a_rate_too_high_is_found_soon_also_after_a_long_good_run(n_good: int, rate: float, most: int):
    """m = 0.05; nine runs in ten are rejected within `most` outcomes of the change (docs/statistics.md has the table)."""
    rng = np.random.default_rng(3)
    outcomes = np.concatenate([rng.random((200, n_good)) < 0.02, rng.random((200, most)) < rate], axis=1)
    e_values = e_process(outcomes, 0.05)
    assert (e_values[:, :n_good] < 1 / DELTA).all()
    assert (e_values.max(axis=1) >= 1 / DELTA).mean() >= 0.9


def test_fractional_outcomes_hold_the_promise_too():
    outcomes = np.random.default_rng(4).beta(0.05, 0.95, (2000, 1000))
    assert rejected(outcomes, 0.05).mean() <= DELTA + 3 * np.sqrt(DELTA * (1 - DELTA) / 2000)


def test_nothing_is_tested_where_everything_is_allowed_and_capital_never_overflows():
    assert e_process(np.ones(50), 1.0) == pytest.approx(np.ones(50))
    assert np.isfinite(e_process(np.ones(5000), 0.001)).all()


def test_first_rejection():
    assert first_rejection(np.array([1.0, 19.9, 20.0, 5.0]), 0.05) == 2
    assert first_rejection(np.array([1.0, 2.0]), 0.05) is None


@pytest.mark.parametrize(
    ("outcomes", "allowed"), [([0.0, 1.2], 0.1), ([np.nan], 0.1), ([1.0], 0.0), ([1.0], np.nan), (1.0, 0.1)]
)
def test_what_cannot_be_tested_is_refused(outcomes: object, allowed: float):
    with pytest.raises(ValueError, match=r"outcomes|allowed"):
        e_process(outcomes, allowed)  # type: ignore[arg-type]


def test_a_stake_that_bets_on_nothing_is_refused():
    with pytest.raises(ValueError, match="odds_ratios"):
        e_process([1.0], 0.1, odds_ratios=[1.0])


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.3])
def test_the_confidence_sequence_covers_at_every_moment_at_once(rate: float):
    """2,000 runs of 1,000 looks: the martingale at the true rate stays below 1 / (1 - level), which is what cover means."""
    wrong = np.cumsum(np.random.default_rng(5).random((2000, 1000)) < rate, axis=1)
    n = np.arange(1, 1001)
    log_e = special.betaln(0.5 + wrong, 0.5 + n - wrong) - special.betaln(0.5, 0.5)
    log_e -= wrong * np.log(rate) + (n - wrong) * np.log1p(-rate)
    assert (log_e.max(axis=1) < np.log(20)).mean() >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 2000)
    # The bounds are where that martingale crosses.
    for k, size in ((3, 50), (17, 400)):
        found = confidence_sequence(k, size)
        for bound in (found.lower, found.upper):
            log_at = special.betaln(0.5 + k, 0.5 + size - k) - special.betaln(0.5, 0.5)
            log_at -= k * np.log(bound) + (size - k) * np.log1p(-bound)
            assert log_at == pytest.approx(np.log(20), abs=1e-5)


def test_the_confidence_sequence_is_wider_than_a_fixed_interval_and_shrinks():
    low, high = stats.binomtest(10, 200).proportion_ci(0.95)
    found = confidence_sequence(10, 200)
    assert found.lower < low < 0.05 < high < found.upper
    assert confidence_sequence(100, 2000).upper < found.upper
    assert confidence_sequence(0, 10).lower == 0.0
    assert confidence_sequence(10, 10).upper == 1.0
    assert np.isnan(confidence_sequence(0, 0).estimate)
    with pytest.raises(ValueError, match="n_wrong"):
        confidence_sequence(3, 2)


def test_the_stakes_cover_small_and_large_rises():
    assert min(ODDS_RATIOS) > 1
    assert list(ODDS_RATIOS) == sorted(ODDS_RATIOS)
