"""Paired comparisons: published examples, exactness against enumeration, error rates by simulation."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from metier.statistics.paired import (
    compare,
    exact_p_greater,
    mcnemar_exact,
    paired_bootstrap,
    paired_counts,
    paired_difference,
    sign_flip_test,
    tango_bounds,
    tango_p_greater,
    tango_z,
)


def answers(b: int, c: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    candidate, reference = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
    candidate[:c], reference[c : b + c] = False, False
    return candidate, reference


# Tango (1998) (Karacan et al.): 9 and 3 of 32, 95% interval -0.027 to 0.390.
# Fagerland, Lydersen & Laake (2014) (Bentur et al.): 1 and 7 of 21, Tango -0.517 to -0.026.
# R package PropCIs, scoreci.mp(40, 20, 160): 0.031 to 0.218 (there with the sign of b - c).
@pytest.mark.parametrize(
    ("b", "c", "n", "expected"),
    [(9, 3, 32, (-0.027, 0.390)), (1, 7, 21, (-0.517, -0.026)), (40, 20, 160, (0.031, 0.218))],
)
def test_tango_published_intervals(b, c, n, expected):
    interval = paired_difference(*answers(b, c, n))
    assert (interval.lower, interval.upper) == pytest.approx(expected, abs=6e-4)
    assert interval.estimate == (b - c) / n


def test_tango_published_test_of_equivalence():
    """Tango (1998) (soft contact lenses): 0 and 1 of 44, margin 0.1: Z = 1.709, p = 0.044."""
    assert float(tango_z(0, 1, 44, -0.1)) == pytest.approx(1.709, abs=1e-3)
    assert tango_p_greater(0, 1, 44, -0.1) == pytest.approx(0.044, abs=5e-4)


def test_tango_at_zero_is_mcnemar():
    assert float(tango_z(30, 18, 400, 0.0)) == pytest.approx((30 - 18) / np.sqrt(48))


def test_no_discordance_still_has_width():
    interval = paired_difference(*answers(0, 0, 100))
    assert interval.lower == pytest.approx(-interval.upper)
    assert interval.upper == pytest.approx(1.959964**2 / (100 + 1.959964**2), rel=1e-4)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 5), (12, 3), (0, 7), (80, 120)])
def test_mcnemar_agrees_with_statsmodels(b, c):
    expected = mcnemar([[10, b], [c, 10]], exact=True).pvalue
    assert mcnemar_exact(b, c) == pytest.approx(min(1.0, expected), rel=1e-9)


def test_sign_flip_on_single_items_is_mcnemar():
    ours, theirs = answers(14, 5, 60)
    assert sign_flip_test(ours.astype(float) - theirs) == pytest.approx(mcnemar_exact(14, 5), rel=1e-9)


def test_sign_flip_agrees_with_enumeration():
    totals = np.array([3, -1, 2, 2, -2, 5, 0, 1])
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(totals))).reshape(len(totals), -1)
    expected = np.mean(np.abs(totals @ signs) >= abs(totals.sum()))
    differences = np.concatenate([np.full(max(abs(t), 1), np.sign(t)) for t in totals])
    groups = np.repeat(np.arange(len(totals)), np.maximum(np.abs(totals), 1))
    assert sign_flip_test(differences, groups) == pytest.approx(expected, abs=1e-12)


def test_exact_p_dominates_enumerated_null():
    """At any null table the chance of p <= 0.05, summed over every outcome, is at most 0.05."""
    n, margin = 40, 0.1
    p = {(b, c): exact_p_greater(b, c, n, -margin) for b in range(n + 1) for c in range(n + 1 - b) if b + c <= 25}
    for q in (0.1, 0.12, 0.2, 0.25):
        rejected = sum(
            stats.multinomial.pmf([b, c, n - b - c], n, [q - margin, q, 1 - 2 * q + margin])
            for (b, c), value in p.items()
            if value <= 0.05
        )
        assert rejected <= 0.05


def test_exact_and_asymptotic_agree_on_many_items():
    assert exact_p_greater(60, 75, 4500, -0.01) == pytest.approx(tango_p_greater(60, 75, 4500, -0.01), abs=2e-3)


def test_exact_p_is_symmetric_in_the_two_sides():
    """Testing inferiority of one is testing the other's excess."""
    comparison = compare(*answers(10, 60, 500), margin=0.02)
    assert comparison.p_inferior == exact_p_greater(60, 10, 500, 0.02)
    assert comparison.p_inferior < 1e-3 < 0.99 < comparison.p_non_inferior


@pytest.mark.parametrize(("n", "b", "c"), [(300, 0.06, 0.09), (500, 0.05, 0.05), (4500, 0.02, 0.01)])
def test_tango_covers_within_a_point_and_a_half(n, b, c):
    table = np.random.default_rng(0).multinomial(n, [b, c, 1 - b - c], size=10_000)
    lower, upper = tango_bounds(table[:, 0], table[:, 1], n, stats.norm.ppf(0.975))
    assert np.mean((lower <= b - c) & (b - c <= upper)) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("n", "b", "c", "margin"), [(500, 0.05, 0.07, 0.02), (500, 0.0, 0.02, 0.02), (200, 0.02, 0.07, 0.05)]
)
def test_non_inferiority_holds_its_error_rate(n, b, c, margin):
    table = np.random.default_rng(1).multinomial(n, [b, c, 1 - b - c], size=20_000)
    unique, where = np.unique(table[:, :2], axis=0, return_inverse=True)
    p = np.array([exact_p_greater(int(x), int(y), n, -margin) for x, y in unique])[where.ravel()]
    assert np.mean(p <= 0.05) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 20_000)


def test_grouped_comparison_holds_its_error_rate_and_covers():
    """Candidate loses 2 points exactly at the margin, in whole groups at a time."""
    rng = np.random.default_rng(2)
    rejected, covered = [], []
    for _ in range(2000):
        groups = np.repeat(np.arange(150), rng.integers(1, 6, 150))
        reference = rng.random(len(groups)) < rng.beta(9 * 0.94, 9 * 0.06, 150)[groups]
        hit = rng.random(len(groups)) < rng.beta(4 * 0.05, 4 * 0.95, 150)[groups]
        candidate = np.where(hit, rng.random(len(groups)) < 0.54, reference)
        # on a hit item the candidate is right 54% of the time instead of 94%: 0.05 * 0.40 = 2 points lost
        comparison = compare(candidate, reference, margin=0.02, groups=groups)
        rejected.append(comparison.p_non_inferior <= 0.05)
        covered.append(comparison.difference.lower <= -0.02 <= comparison.difference.upper)
    assert np.mean(rejected) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 2000)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(("n_groups", "margin"), [(150, 0.02)])
def test_losses_piled_up_in_few_groups_hold_the_error_rate(n_groups, margin):
    """The candidate loses whole groups, a few of them: the skewed case in which the plain statistic errs on 6% and more."""
    rng = np.random.default_rng(3)
    rejected = []
    for _ in range(2000):
        groups = np.repeat(np.arange(n_groups), rng.integers(1, 6, n_groups))
        reference = rng.random(len(groups)) < 0.94
        lost = rng.random(len(groups)) < rng.beta(4 * margin / 0.94, 4 * (1 - margin / 0.94), n_groups)[groups]
        rejected.append(compare(reference & ~lost, reference, margin=margin, groups=groups).p_non_inferior <= 0.05)
    assert np.mean(rejected) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 2000)


def test_groups_are_never_silently_ignored():
    ours, theirs = answers(40, 20, 300)
    alone = compare(ours, theirs, margin=0.02)
    copies = compare(np.repeat(ours, 5), np.repeat(theirs, 5), margin=0.02, groups=np.repeat(np.arange(300), 5))
    assert copies.counts.n == 1500
    assert copies.counts.n_groups == 300
    assert copies.design_effect == pytest.approx(5, rel=0.01)
    assert copies.p_different == pytest.approx(alone.p_different, rel=1e-6)
    assert copies.difference.lower == pytest.approx(alone.difference.lower, abs=1e-3)


def test_paired_bootstrap_of_scores():
    rng = np.random.default_rng(0)
    ours = rng.random(400)
    interval = paired_bootstrap(ours, ours - 0.1 + rng.normal(0, 0.01, 400))
    assert interval.lower < 0.1 < interval.upper
    assert interval.upper - interval.lower < 0.01


def test_counts_and_refusals():
    counts = paired_counts([1, 1, 0, 0], [1, 0, 1, 0])
    assert (counts.both, counts.only_candidate, counts.only_reference, counts.neither) == (1, 1, 1, 1)
    with pytest.raises(ValueError, match="differ in length"):
        paired_counts([1], [1, 0])
    with pytest.raises(ValueError, match="margin = 0"):
        compare([1], [1], margin=0)
    with pytest.raises(ValueError, match="no items"):
        compare(np.array([], dtype=bool), np.array([], dtype=bool), margin=0.02)
