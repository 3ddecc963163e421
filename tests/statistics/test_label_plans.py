"""How many labels a certificate takes."""

import numpy as np
from scipy import stats

from metier.statistics.label_plans import kept_needed, largest_passing_errors, min_labels, plan_labels


def test_fewest_labels_with_a_perfect_record():
    """0.95^58 > 0.05 >= 0.95^59: the rule of three at 5%."""
    assert min_labels(0.05, 0.05) == 59
    assert largest_passing_errors(58, 0.05, 0.05) == -1
    assert largest_passing_errors(59, 0.05, 0.05) == 0


def test_kept_needed_reaches_its_power():
    n = kept_needed(0.02, 0.05, 0.05, 0.8)
    assert stats.binom.cdf(largest_passing_errors(n, 0.05, 0.05), n, 0.02) >= 0.8
    assert kept_needed(0.05, 0.05, 0.05, 0.8) is None


def plan(errors, kept, n, *, may_hope=False):
    given = (np.array(errors), np.array(kept), np.ones(len(kept)), n)
    return plan_labels(*given, alpha=0.05, delta=0.05, power=0.8, may_hope=may_hope)


def test_the_smallest_plan_is_given():
    n_needed = kept_needed(0.5 / 41, 0.05, 0.05, 0.8)
    found = plan([0, 5], [40, 100], 100)
    assert (found.labels, found.n_kept, found.is_hoped) == (int(np.ceil(n_needed * 100 / 40)), 40, False)


def test_a_spotless_handful_is_hoped_on_only_where_few_are_labelled():
    """Five without an error: (0 + 1/2) / 6 = 8% is above alpha."""
    assert plan([0, 20], [5, 36], 36) is None
    found = plan([0, 20], [5, 36], 36, may_hope=True)
    assert found.is_hoped
    assert found.labels == int(np.ceil(kept_needed(0.0125, 0.05, 0.05, 0.8) * 36 / 5))
    assert plan([0, 20], [2, 36], 36, may_hope=True) is None


def test_a_plan_asks_for_more_than_there_are():
    assert plan([0], [1000], 1000).labels == 1001
