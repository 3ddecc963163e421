"""Economics: the total cost of both sides, and when the specialist has paid for itself."""

from __future__ import annotations

from dataclasses import dataclass

from metier.artefacts.estimates import Estimate, Score


@dataclass(frozen=True)
class CostLine:
    """One line of a bill. `usd` is dollars a month (or once, where `once`); low and high are the stated uncertainty."""

    name: str
    usd: float
    low: float
    high: float
    once: bool
    basis: str


@dataclass(frozen=True)
class Bill:
    """One side's bill: what is paid once, what is paid each month."""

    side: str
    lines: tuple[CostLine, ...]

    @property
    def once_usd(self) -> float:
        return sum(line.usd for line in self.lines if line.once)

    @property
    def month_usd(self) -> float:
        return sum(line.usd for line in self.lines if not line.once)


@dataclass(frozen=True)
class CashMonth:
    """Cumulative dollars spent by the end of a month (month 0 = what is paid once), with 90% ranges."""

    month: int
    frontier_usd: float
    specialist_usd: float
    specialist_low_usd: float
    specialist_high_usd: float
    frontier_low_usd: Score = float("nan")
    frontier_high_usd: Score = float("nan")


@dataclass(frozen=True)
class PriceDrop:
    """What becomes of the break-even when the frontier's price falls at once to `factor` of today's (`fall_per_year` 0),
    or by the share `fall_per_year` every year (`factor` 1). Escalated calls get cheaper with it. `saving_usd_month` is the
    saving in the first month; `share_never` the share of draws that do not pay back within ten years."""

    factor: float
    saving_usd_month: float
    break_even_month: Score
    fall_per_year: float = 0.0
    share_never: Score = float("nan")


@dataclass(frozen=True)
class Economics:
    """`break_even_month` in months (inf where the specialist does not pay back within ten years),
    `break_even_calls_month` in calls a month at which one year's cost of both sides is equal (inf where no volume does).

    Every `value` is what follows from the stated figures; low and high are 5% and 95% quantiles of `n_draws` Monte Carlo
    draws over the stated uncertainties; `share_never` is the share of draws that do not pay back within ten years.
    """

    task_id: str
    task_name: str
    calls_per_month: float
    coverage: float
    frontier_model: str
    frontier: Bill
    specialist: Bill
    saving_usd_month: Estimate
    year_one_saving_share: Estimate
    break_even_month: Estimate
    break_even_calls_month: Estimate
    share_never: float
    cash: tuple[CashMonth, ...]
    price_drops: tuple[PriceDrop, ...]
    n_draws: int
    price_source: str
    assumptions: tuple[tuple[str, str], ...]
    summary: str
