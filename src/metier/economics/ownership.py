"""Lines of a bill and the machines behind them, as functions of the number of calls a month.

Every array has the shape (1 + n_draws,) of `metier.economics.draws`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metier.artefacts.economics import Bill, CostLine
from metier.economics.draws import Floats, quantiles

# 8,760 hours a year / 12: the month by which cloud providers bill a machine that is always on.
HOURS_PER_MONTH = 730.0
_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Line:
    """`per_call` dollars for each call and `fixed` dollars a month (or once); `falls` marks what gets cheaper when the
    frontier's price falls."""

    name: str
    per_call: Floats
    fixed: Floats
    basis: str
    once: bool = False
    falls: bool = False

    def usd(self, calls: Floats) -> Floats:
        """Dollars a month (or once) at `calls` a month."""
        return self.per_call * calls + self.fixed


@dataclass(frozen=True)
class Fleet:
    """Machines that are paid whether they work or not: `calls_per_machine` is what one carries in a month."""

    usd_per_machine: Floats
    calls_per_machine: Floats

    def machines(self, calls: Floats) -> Floats:
        """Whole machines needed for `calls` a month; at least one."""
        needed: Floats = np.maximum(1.0, np.ceil(calls / self.calls_per_machine))
        return needed

    def usd(self, calls: Floats) -> Floats:
        """Dollars a month, idle hours included."""
        return self.machines(calls) * self.usd_per_machine


@dataclass(frozen=True)
class Side:
    """One side of the comparison: its lines, and the fleet that grows with the calls (None where there is none)."""

    name: str
    lines: tuple[Line, ...]
    fleet: Fleet | None = None
    fleet_basis: str = ""

    def once_usd(self) -> Floats:
        """Dollars paid once."""
        return _total([line.fixed for line in self.lines if line.once], self.lines[0].fixed)

    def month_usd(self, calls: Floats, price_factor: Floats | float = 1.0) -> Floats:
        """Dollars a month at `calls` a month when the frontier charges `price_factor` of today's price."""
        parts = [line.usd(calls) * (price_factor if line.falls else 1.0) for line in self.lines if not line.once]
        if self.fleet is not None:
            parts.append(self.fleet.usd(calls))
        return _total(parts, calls)

    def usd_per_call(self, price_factor: Floats | float = 1.0) -> Floats:
        """Dollars that one more call costs, the fleet left out."""
        parts = [line.per_call * (price_factor if line.falls else 1.0) for line in self.lines if not line.once]
        return _total(parts, self.lines[0].per_call)

    def fixed_usd_month(self, price_factor: Floats | float = 1.0) -> Floats:
        """Dollars a month that do not depend on the calls, the fleet left out."""
        parts = [line.fixed * (price_factor if line.falls else 1.0) for line in self.lines if not line.once]
        return _total(parts, self.lines[0].fixed)


def calls_per_machine(answers_per_s: Floats, peak_to_mean: float, utilisation: float) -> Floats:
    """Calls a month that one machine carries when its busiest hour, `peak_to_mean` times the mean, may load it to
    `utilisation` (share in (0, 1])."""
    return answers_per_s * utilisation / peak_to_mean * HOURS_PER_MONTH * _SECONDS_PER_HOUR


def bill(side: Side, calls: Floats) -> Bill:
    """The side's lines in dollars with the 90% range of the draws."""
    once = [_cost_line(line, line.fixed) for line in side.lines if line.once]
    monthly = [_cost_line(line, line.usd(calls)) for line in side.lines if not line.once]
    fleet = []
    if side.fleet is not None:
        usd = side.fleet.usd(calls)
        fleet.append(CostLine("serving", float(usd[0]), *quantiles(usd), once=False, basis=side.fleet_basis))
    return Bill(side.name, (*once, *fleet, *monthly))


def _cost_line(line: Line, usd: Floats) -> CostLine:
    return CostLine(line.name, float(usd[0]), *quantiles(usd), once=line.once, basis=line.basis)


def _total(parts: list[Floats], like: Floats) -> Floats:
    return sum(parts, start=np.zeros_like(like))
