"""The certificate: exact counts, feasibility, refusals, and the promise itself over thousands of draws with known truth."""

import numpy as np
import pytest
from scipy import stats

from metier.statistics.risk_control import (
    binomial_p_values,
    certify,
    feasibility,
    horizon_p_values,
    promising_part,
    start_coverage,
    threshold_walk,
)

ALPHA = DELTA = 0.05


def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Uniform scores; P(wrong | score s) = (1 - s)^3, so the risk among scores >= t is (1 - t)^3 / 4."""
    scores = rng.random(n)
    return scores, rng.random(n) >= (1 - scores) ** 3


def true_risk(threshold: float | None) -> float:
    return 0.0 if threshold is None else (1 - threshold) ** 3 / 4


def broken(threshold: float | None) -> bool:
    return true_risk(threshold) > ALPHA


@pytest.mark.parametrize(("errors", "kept"), [(0, 59), (3, 200), (30, 1000), (7, 7)])
def test_binomial_p_values_are_exact(errors, kept):
    assert float(binomial_p_values(errors, kept, 0.05)) == pytest.approx(stats.binom.cdf(errors, kept, 0.05), abs=1e-12)
    assert float(binomial_p_values(0, 0, 0.05)) == 1.0


def test_horizon_p_values_are_wider_and_tend_to_the_binomial():
    p_short, p_long = (float(horizon_p_values(30, 1000, ahead, 0.05)) for ahead in (1000, 10**7))
    assert p_long == pytest.approx(stats.binom.cdf(30, 1000, 0.05), rel=1e-3)
    assert p_short > 5 * p_long


def test_feasibility_gives_the_least_share_to_escalate():
    """Base risk 20%, alpha 5%: (0.20 - 0.05) / 0.95 = 15.8%; dropping exactly that share of mistakes leaves 5%."""
    possible = feasibility(np.arange(1000) >= 200, alpha=0.05, delta=0.05)
    assert possible.min_escalated == pytest.approx(0.15 / 0.95)
    assert (0.2 - possible.min_escalated) / (1 - possible.min_escalated) == pytest.approx(0.05)
    assert feasibility(np.ones(100), alpha=0.05, delta=0.05).min_escalated == 0.0
    assert not feasibility(np.ones(58), alpha=0.05, delta=0.05).enough_labels


def test_walk_is_strict_first_and_blind_to_answers():
    walk = threshold_walk(np.random.default_rng(0).random(1000), 2000, alpha=ALPHA, delta=DELTA)
    assert (np.diff(walk) < 0).all()
    assert np.mean(np.random.default_rng(1).random(10_000) >= walk[0]) == pytest.approx(
        start_coverage(2000, ALPHA, DELTA), abs=0.03
    )
    assert start_coverage(40, ALPHA, DELTA) == 1.0


def test_certificate_reports_what_it_kept():
    rng = np.random.default_rng(0)
    scores, correct = draw(rng, 3000)
    given = certify(scores, correct, threshold_walk(rng.random(500), 3000, alpha=ALPHA, delta=DELTA))
    keep = scores >= given.threshold
    assert given.n_kept == keep.sum()
    assert given.n_errors == (keep & ~correct).sum()
    assert given.coverage.estimate == keep.mean()
    assert given.coverage.lower < given.coverage.estimate < given.coverage.upper
    assert given.risk_upper <= ALPHA
    assert given.p_value <= DELTA
    assert given.labels_needed is None
    assert given.reason == "certified"


def test_stops_at_the_first_failure_even_if_a_later_one_would_pass():
    scores = np.repeat([0.9, 0.5], [60, 5000])
    correct = np.concatenate([np.repeat([True, False], [50, 10]), np.ones(5000, dtype=bool)])
    given = certify(scores, correct, [0.9, 0.5])
    assert given.threshold is None
    assert given.n_tested == 1


def test_nothing_passes_says_how_many_labels():
    rng = np.random.default_rng(0)
    scores, correct = draw(rng, 45)
    given = certify(scores, correct, threshold_walk(rng.random(500), 45, alpha=ALPHA, delta=DELTA))
    assert given.threshold is None
    assert (given.n_kept, given.coverage.estimate) == (0, 0.0)
    assert np.isnan(given.risk_upper)
    assert given.labels_needed is not None
    assert 45 < given.labels_needed < 20_000


def test_few_labels_and_many_errors_are_planned_on_with_hope():
    """Three of five sure answers are right, of 36: nothing is known to pass, but the surest may be good."""
    scores = np.linspace(1.0, 0.0, 36)
    correct = np.arange(36) < 5
    correct[5::3] = True
    given = certify(scores, correct, threshold_walk(scores, 36, alpha=ALPHA, delta=DELTA))
    assert given.threshold is None
    assert given.labels_needed is not None
    assert given.labels_needed > 36
    assert "at least 59 right answers must be kept" in given.reason
    assert f"about {given.labels_needed:,} calibration labels in all would do" in given.reason
    worst = certify(scores, np.arange(36) > 5, threshold_walk(scores, 36, alpha=ALPHA, delta=DELTA))
    assert worst.labels_needed is None
    assert worst.reason.endswith("for any test to pass")


def test_hopeless_says_that_labels_would_not_help():
    rng = np.random.default_rng(0)
    given = certify(
        rng.random(2000), rng.random(2000) < 0.7, threshold_walk(rng.random(500), 2000, alpha=ALPHA, delta=DELTA)
    )
    assert given.threshold is None
    assert given.labels_needed is None
    assert "more labels alone would not help" in given.reason


def test_labels_needed_is_about_right():
    """With the labels it asks for, a certificate is given most of the time."""
    rng = np.random.default_rng(5)
    given = certify(*draw(rng, 45), threshold_walk(rng.random(500), 45, alpha=ALPHA, delta=DELTA))
    assert given.threshold is None
    n = given.labels_needed
    walk = threshold_walk(rng.random(500), n, alpha=ALPHA, delta=DELTA)
    assert np.mean([certify(*draw(rng, n), walk).threshold is not None for _ in range(200)]) > 0.5


@pytest.mark.parametrize("n", [300, 1500])
def test_the_promise_holds_over_thousands_of_draws(n):
    rng = np.random.default_rng(n)
    walk = threshold_walk(rng.random(1000), n, alpha=ALPHA, delta=DELTA)
    thresholds = [certify(*draw(rng, n), walk).threshold for _ in range(2000)]
    rate = np.mean([broken(threshold) for threshold in thresholds])
    assert rate <= DELTA + 2 * np.sqrt(DELTA * (1 - DELTA) / 2000)
    assert np.mean([threshold is not None for threshold in thresholds]) > 0.2


def test_choosing_on_the_same_data_without_a_bound_breaks_it():
    """The check above can fail: at delta 0.5, which is hardly a bound, the promise is broken often."""
    rng = np.random.default_rng(0)
    walk = threshold_walk(rng.random(1000), 1500, alpha=ALPHA, delta=DELTA)
    assert np.mean([broken(certify(*draw(rng, 1500), walk, delta=0.5).threshold) for _ in range(300)]) > 0.2


@pytest.mark.parametrize("rule", ["one-per-group", "effective-size"])
def test_the_promise_holds_with_groups(rule):
    """Every group repeats one item: read as independent items, the promise breaks; by either rule it holds."""
    rng = np.random.default_rng(3)
    walk = threshold_walk(rng.random(1000), 800, alpha=ALPHA, delta=DELTA, n_thresholds=30)
    held, ignored = [], []
    for seed in range(1000):
        scores, correct = draw(rng, 800)
        groups = np.repeat(np.arange(800), rng.integers(1, 7, 800))
        given = certify(scores[groups], correct[groups], walk, groups=groups, group_rule=rule, seed=seed)
        held.append(broken(given.threshold))
        ignored.append(broken(certify(scores[groups], correct[groups], walk).threshold))
    assert np.mean(held) <= DELTA + 2 * np.sqrt(DELTA * (1 - DELTA) / 1000)
    assert np.mean(ignored) > 0.1
    assert given.n_groups == 800
    assert given.n_items == len(groups)


def test_the_next_batch_keeps_the_promise():
    rng = np.random.default_rng(4)
    walk = threshold_walk(rng.random(1000), 1500, alpha=ALPHA, delta=DELTA, n_thresholds=150)
    failed = []
    for _ in range(1500):
        threshold = certify(*draw(rng, 1500), walk, horizon=1500).threshold
        scores, correct = draw(rng, 1500)
        keep = scores >= (np.inf if threshold is None else threshold)
        failed.append(bool(keep.any()) and float(np.mean(~correct[keep])) > ALPHA)
    assert np.mean(failed) <= DELTA + 2 * np.sqrt(DELTA * (1 - DELTA) / 1500)


def test_refusals():
    with pytest.raises(ValueError, match="strictly decreasing"):
        certify([0.1, 0.2], [1, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="no calibration items"):
        certify([], [], [0.5])
    with pytest.raises(ValueError, match="NaN"):
        certify([0.1, np.nan], [1, 1], [0.5])
    with pytest.raises(ValueError, match="alpha = 0"):
        certify([0.1], [1], [0.5], alpha=0)


def test_the_walk_begins_where_a_pass_is_likely_and_keeps_its_promise() -> None:
    # Errors of 2% at every score but the lowest fifth, where they are 30%: at alpha = 5% about 86% may be kept.
    rng = np.random.default_rng(5)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        scores = rng.random(n)
        return scores, rng.random(n) >= np.where(scores < 0.2, 0.3, 0.02)

    broken = empty = 0
    for _ in range(400):
        tune, right = draw(400)
        whole = threshold_walk(tune, 800, alpha=0.05, delta=0.05)
        walk = promising_part(whole, tune, right, 800, alpha=0.05, delta=0.05)
        assert np.isin(walk, whole).all()
        threshold = certify(*draw(800), walk, alpha=0.05, delta=0.05).threshold
        if threshold is None:
            empty += 1
            continue
        low = max(0.0, 0.2 - threshold)
        risk = (0.3 * low + 0.02 * (1 - threshold - low)) / (1 - threshold)
        broken += risk > 0.05
    # Binomial(400, 0.05) exceeds 32 with probability 0.4%.
    assert broken <= 32
    # 19.5% of these calibrations end empty-handed when the walk begins at its strictest threshold.
    assert empty <= 26
