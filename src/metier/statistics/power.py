"""How many items settle a question: two independent proportions, and paired superiority and non-inferiority."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from metier.statistics.arrays import in_unit_interval
from metier.statistics.intervals import normal_quantile
from metier.statistics.paired import PairedCounts


@dataclass(frozen=True, slots=True)
class ItemsNeeded:
    """Items for each verdict if the observed rates are the true ones; None where no number of items can show it.

    ``items`` is the smallest of the three, ``settles`` the verdict it would reach.
    """

    superior: int | None
    non_inferior: int | None
    inferior: int | None
    items: int | None
    settles: str | None
    power: float
    alpha: float


def unpaired_items_per_arm(p1: float, p2: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Items in each arm for a two-sided comparison of independent proportions (Fleiss, Levin & Paik 2003
    without pooling).
    """
    in_unit_interval(alpha=alpha, power=power)
    if p1 == p2:
        raise ValueError(f"p1 = p2 = {p1}: no number of items separates equal proportions")
    z = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    return math.ceil(z**2 * (p1 * (1 - p1) + p2 * (1 - p2)) / (p1 - p2) ** 2)


def unpaired_p_value(p1: float, p2: float, n_per_arm: int) -> float:
    """Two-sided p-value of the pooled z test on two independent proportions (Fleiss, Levin & Paik 2003)."""
    pooled = (p1 + p2) / 2
    z = abs(p1 - p2) / math.sqrt(2 * pooled * (1 - pooled) / n_per_arm)
    return 2 * float(special.ndtr(-z))


def paired_items_for_superiority(
    only_candidate: float, only_reference: float, *, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """Items for a two-sided McNemar test given the two discordant shares (Miettinen 1968; Connor 1987). None
    when they are equal.
    """
    _check_shares(only_candidate, only_reference)
    in_unit_interval(alpha=alpha, power=power)
    difference, discordant = only_candidate - only_reference, only_candidate + only_reference
    if difference == 0:
        return None
    z_alpha, z_beta = normal_quantile(1 - alpha / 2), normal_quantile(power)
    root = z_alpha * math.sqrt(discordant) + z_beta * math.sqrt(discordant - difference**2)
    return math.ceil((root / difference) ** 2)


def paired_items_for_non_inferiority(
    only_candidate: float, only_reference: float, margin: float, *, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """Items for a one-sided test of difference <= -margin by Tango's statistic (Nam 1997). None when the
    difference is not above -margin.
    """
    in_unit_interval(margin=margin)
    return _items_above(only_candidate, only_reference, -margin, alpha, power)


def paired_items_for_inferiority(
    only_candidate: float, only_reference: float, margin: float, *, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """Items to show the candidate worse by more than the margin; None when its difference is not below -margin."""
    in_unit_interval(margin=margin)
    return _items_above(only_reference, only_candidate, margin, alpha, power)


def items_needed(
    counts: PairedCounts, margin: float, *, alpha: float = 0.05, power: float = 0.8, design_effect: float = 1.0
) -> ItemsNeeded:
    """Items that would settle an unproven comparison, planning on the observed table.

    Half an item is added to each discordant cell (Agresti & Min 2005) so that a table without discordance still plans.
    ``design_effect`` multiplies the result when items come in groups. ``alpha`` is the level each test will meet:
    divide by the number of candidates to plan for Holm's first step.
    """
    n = counts.n + 1.0
    b, c = (counts.only_candidate + 0.5) / n, (counts.only_reference + 0.5) / n
    plans = {
        "superior": paired_items_for_superiority(b, c, alpha=alpha, power=power) if b > c else None,
        "non-inferior": paired_items_for_non_inferiority(b, c, margin, alpha=alpha, power=power),
        "inferior": paired_items_for_inferiority(b, c, margin, alpha=alpha, power=power),
    }
    reachable = {name: math.ceil(items * design_effect) for name, items in plans.items() if items is not None}
    best = min(reachable, key=lambda name: reachable[name]) if reachable else None
    return ItemsNeeded(
        reachable.get("superior"),
        reachable.get("non-inferior"),
        reachable.get("inferior"),
        reachable[best] if best else None,
        best,
        power,
        alpha,
    )


def _items_above(b: float, c: float, null_difference: float, alpha: float, power: float) -> int | None:
    _check_shares(b, c)
    in_unit_interval(alpha=alpha, power=power)
    difference = b - c
    if difference <= null_difference:
        return None
    linear = -b - c + (2 - b + c) * null_difference
    restricted = (math.sqrt(max(0.0, linear**2 + 8 * c * null_difference * (1 - null_difference))) - linear) / 4
    null_variance = max(0.0, 2 * restricted + null_difference * (1 - null_difference))
    true_variance = b + c - difference**2
    root = normal_quantile(1 - alpha) * math.sqrt(null_variance) + normal_quantile(power) * math.sqrt(
        max(0.0, true_variance)
    )
    return max(1, math.ceil((root / (difference - null_difference)) ** 2))


def _check_shares(b: float, c: float) -> None:
    if not (0 <= b <= 1 and 0 <= c <= 1 and b + c <= 1 and np.isfinite(b + c)):
        raise ValueError(f"discordant shares {b} and {c} must lie in [0, 1] and sum to at most 1")
