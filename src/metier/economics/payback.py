"""When the specialist has paid for itself: in months, and in calls a month.

Every array has the shape (1 + n_draws,) of `metier.economics.draws`; matrices add the months as their first axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metier.economics.draws import Floats
from metier.economics.ownership import Side

# A specialist that has not paid back after ten years never does: no model, price or task stands still that long.
HORIZON_MONTHS = 120
_MONTHS_PER_YEAR = 12
# Each round adds the machines that the last answer needs; past this many rounds, or machines, no volume pays for them.
_FLEET_ROUNDS = 200
_MOST_MACHINES = 1e6
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Flows:
    """Dollars per month, months 1 to HORIZON_MONTHS as rows, and dollars paid once (before month 1)."""

    frontier_once: Floats
    specialist_once: Floats
    frontier: Floats
    specialist: Floats


def price_factors(fall_per_year: Floats, months: int = HORIZON_MONTHS) -> Floats:
    """The frontier's price in months 1 to `months` relative to today's, shape (months, 1 + n): month 1 is today's price,
    and each year takes away the share `fall_per_year` in [0, 1) of what was left."""
    ages = np.arange(months)[:, None] / _MONTHS_PER_YEAR
    factors: Floats = np.power(1.0 - fall_per_year[None, :], ages)
    return factors


def flows(frontier: Side, specialist: Side, calls: Floats, fall_per_year: Floats, price_factor: float = 1.0) -> Flows:
    """Both sides' spending month by month at `calls` a month."""
    factors = price_factor * price_factors(fall_per_year)
    return Flows(
        frontier.once_usd(),
        specialist.once_usd(),
        frontier.month_usd(calls, factors),
        specialist.month_usd(calls, factors),
    )


def cumulative(once: Floats, monthly: Floats) -> Floats:
    """Dollars spent by the end of months 0 to HORIZON_MONTHS: shape (HORIZON_MONTHS + 1, 1 + n)."""
    return np.concatenate([once[None, :], once[None, :] + np.cumsum(monthly, axis=0)])


def break_even_month(cash: Flows) -> Floats:
    """The month, with its fraction, in which the specialist's spending first no longer exceeds the frontier's; 0 where it
    costs nothing once, inf where that does not happen within HORIZON_MONTHS. Months are linear within."""
    lead = cumulative(cash.frontier_once, cash.frontier) - cumulative(cash.specialist_once, cash.specialist)
    paid = lead >= 0
    month = np.argmax(paid, axis=0)
    columns = np.arange(lead.shape[1])
    after, before = lead[month, columns], lead[np.maximum(month - 1, 0), columns]
    with np.errstate(invalid="ignore", divide="ignore"):
        fraction = np.where(month > 0, -before / (after - before), 0.0)
    # "Equal from the start" is no payback where the specialist then costs more every month.
    ever = paid.any(axis=0) & ~((month == 0) & (lead[1] < 0))
    return np.where(ever, np.maximum(month - 1, 0) + fraction, np.inf)


def year_one_saving_share(cash: Flows) -> Floats:
    """Share of the frontier's first year's cost that the specialist saves; negative where it costs more, NaN where the
    frontier costs nothing."""
    frontier = cash.frontier_once + cash.frontier[:_MONTHS_PER_YEAR].sum(axis=0)
    specialist = cash.specialist_once + cash.specialist[:_MONTHS_PER_YEAR].sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(frontier > 0, 1.0 - specialist / frontier, np.nan)


def break_even_calls(frontier: Side, specialist: Side, fall_per_year: Floats) -> Floats:
    """Calls a month at which the first year of both sides costs the same: 0 where the specialist is cheaper at any volume,
    inf where it is at none.

    With k machines the equation is linear in the calls; k grows until it carries the calls it answers with. Where one
    more machine earns less than it costs, no k does.
    """
    factor = price_factors(fall_per_year, _MONTHS_PER_YEAR).mean(axis=0)
    gain = frontier.usd_per_call(factor) - specialist.usd_per_call(factor)
    once = (specialist.once_usd() - frontier.once_usd()) / _MONTHS_PER_YEAR
    fixed = once + specialist.fixed_usd_month(factor) - frontier.fixed_usd_month(factor)
    # Where everything is escalated both sides pay the same a call; what rounding leaves of the difference is no gain.
    gain = np.where(gain > _ROUNDING * frontier.usd_per_call(factor), gain, 0.0)
    if specialist.fleet is None:
        return _calls(fixed, gain)
    machines = np.ones_like(gain)
    for _ in range(_FLEET_ROUNDS):
        calls = _calls(fixed + machines * specialist.fleet.usd_per_machine, gain)
        needed = specialist.fleet.machines(np.where(np.isfinite(calls), calls, 0.0))
        carried = needed <= machines
        if carried.all():
            break
        machines = np.minimum(np.maximum(machines, needed), _MOST_MACHINES)
    return np.where(carried, calls, np.inf)


def _calls(fixed_usd: Floats, gain_usd: Floats) -> Floats:
    calls = np.full_like(fixed_usd, np.inf)
    np.divide(fixed_usd, gain_usd, out=calls, where=gain_usd > 0)
    return np.where(fixed_usd <= 0, 0.0, calls)
