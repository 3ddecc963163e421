"""Planning: the worked example of the articles, published tables, and the promised power by simulation."""

import numpy as np
import pytest

from metier.statistics.paired import PairedCounts, exact_p_greater, mcnemar_exact
from metier.statistics.power import (
    items_needed,
    paired_items_for_inferiority,
    paired_items_for_non_inferiority,
    paired_items_for_superiority,
    unpaired_items_per_arm,
    unpaired_p_value,
)


def test_support_tickets_73_against_76_percent():
    """The example behind the product: 500 tickets a side prove nothing (p = 0.28), about 3,310 would."""
    assert unpaired_items_per_arm(0.73, 0.76) == 3310
    assert unpaired_p_value(0.73, 0.76, 500) == pytest.approx(0.28, abs=5e-3)


def test_connor_sample_size():
    """Connor (1987), worked by hand for discordance 0.3, difference 0.1, two-sided 5%, power 90%."""
    z_alpha, z_beta, discordant, difference = 1.959964, 1.281552, 0.3, 0.1
    by_hand = ((z_alpha * np.sqrt(discordant) + z_beta * np.sqrt(discordant - difference**2)) / difference) ** 2
    assert paired_items_for_superiority(0.2, 0.1, power=0.9) == int(np.ceil(by_hand))


@pytest.mark.parametrize(("b", "c", "margin"), [(0.05, 0.05, 0.02), (0.02, 0.03, 0.03), (0.0, 0.01, 0.03)])
def test_planned_non_inferiority_reaches_its_power(b, c, margin):
    n = paired_items_for_non_inferiority(b, c, margin)
    table = np.random.default_rng(0).multinomial(n, [b, c, 1 - b - c], size=4000)
    unique, where = np.unique(table[:, :2], axis=0, return_inverse=True)
    p = np.array([exact_p_greater(int(x), int(y), n, -margin) for x, y in unique])[where.ravel()]
    assert np.mean(p <= 0.05) == pytest.approx(0.8, abs=0.05)


def test_planned_superiority_reaches_its_power():
    n = paired_items_for_superiority(0.07, 0.04)
    table = np.random.default_rng(0).multinomial(n, [0.07, 0.04, 0.89], size=4000)
    p = np.array([mcnemar_exact(int(b), int(c)) for b, c in table[:, :2]])
    assert np.mean(p <= 0.05) == pytest.approx(0.8, abs=0.05)


def test_what_no_number_of_items_can_show():
    assert paired_items_for_superiority(0.05, 0.05) is None
    assert paired_items_for_non_inferiority(0.01, 0.05, 0.03) is None
    assert paired_items_for_inferiority(0.05, 0.05, 0.03) is None


def test_items_needed_names_what_they_settle():
    needed = items_needed(PairedCounts(400, 12, 15, 73, 500, 500), margin=0.02)
    assert needed.settles == "non-inferior"
    assert needed.items == needed.non_inferior
    assert needed.superior is None
    assert needed.inferior is None
    worse = items_needed(PairedCounts(60, 5, 11, 24, 100, 100), margin=0.02)
    assert worse.settles == "inferior"


def test_groups_cost_items_and_no_discordance_still_plans():
    counts = PairedCounts(90, 0, 0, 10, 100, 100)
    alone, grouped = items_needed(counts, 0.02), items_needed(counts, 0.02, design_effect=3.0)
    assert alone.items is not None
    assert grouped.items == pytest.approx(3 * alone.items, abs=3)
