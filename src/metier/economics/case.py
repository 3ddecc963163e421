"""One case, both sides with all their draws, and the Economics that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from metier.artefacts.economics import CashMonth, Economics, PriceDrop
from metier.economics import draws
from metier.economics.draws import Floats
from metier.economics.ownership import Side, bill
from metier.economics.payback import (
    Flows,
    break_even_calls,
    break_even_month,
    cumulative,
    flows,
    year_one_saving_share,
)
from metier.economics.sentence import summarise

CASH_MONTHS = 36
# The frontier's price at once, and by the year: a16z ("LLMflation", 2024) saw equal performance get ten times cheaper a
# year, that is a fall of 0.9; the list price of one named model mostly stands still.
PRICE_FACTORS = (1.0, 0.5, 0.2, 0.1)
YEARLY_FALLS = (0.2, 0.5, 0.9)


@dataclass(frozen=True)
class Case:
    """Both sides and what moves them: arrays of draws, element 0 as stated."""

    frontier: Side
    specialist: Side
    calls: Floats
    coverage: Floats
    fall: Floats

    @property
    def n_draws(self) -> int:
        return self.calls.size - 1

    def flows(self, price_factor: float = 1.0) -> Flows:
        return flows(self.frontier, self.specialist, self.calls, self.fall, price_factor)


def economics(
    task_id: str,
    task_name: str,
    model: str,
    source: str,
    case: Case,
    assumptions: tuple[tuple[str, str], ...],
    reason_none_kept: str = "",
    caveat: str = "",
) -> Economics:
    """Everything that follows from the case. `source` says where the price of a call comes from; `reason_none_kept`,
    where not empty, why the specialist keeps no answer at all; `caveat` is a sentence to end the summary with."""
    cash = case.flows()
    month = break_even_month(cash)
    result = Economics(
        task_id=task_id,
        task_name=task_name,
        calls_per_month=float(case.calls[0]),
        coverage=float(case.coverage[0]),
        frontier_model=model,
        frontier=bill(case.frontier, case.calls),
        specialist=bill(case.specialist, case.calls),
        saving_usd_month=draws.estimate(cash.frontier[0] - cash.specialist[0]),
        year_one_saving_share=draws.estimate(year_one_saving_share(cash)),
        break_even_month=draws.estimate(month),
        break_even_calls_month=draws.estimate(break_even_calls(case.frontier, case.specialist, case.fall)),
        share_never=_share_never(month),
        cash=_cash(cash),
        price_drops=_price_drops(case),
        n_draws=case.n_draws,
        price_source=source,
        assumptions=assumptions,
        summary="",
    )
    return replace(result, summary=f"{summarise(result, reason_none_kept)} {caveat}".strip())


def _share_never(month: Floats) -> float:
    return float(np.mean(np.isinf(month[1:])))


def _cash(cash: Flows) -> tuple[CashMonth, ...]:
    frontier = cumulative(cash.frontier_once, cash.frontier)[: CASH_MONTHS + 1]
    specialist = cumulative(cash.specialist_once, cash.specialist)[: CASH_MONTHS + 1]
    months = []
    for month in range(CASH_MONTHS + 1):
        low, high = draws.quantiles(specialist[month])
        frontier_low, frontier_high = draws.quantiles(frontier[month])
        months.append(
            CashMonth(
                month, float(frontier[month, 0]), float(specialist[month, 0]), low, high, frontier_low, frontier_high
            )
        )
    return tuple(months)


def _price_drops(case: Case) -> tuple[PriceDrop, ...]:
    at_once = [_price_drop(case, factor=factor) for factor in PRICE_FACTORS]
    yearly = [
        _price_drop(replace(case, fall=draws.exact(fall, case.n_draws)), factor=1.0, fall_per_year=fall)
        for fall in YEARLY_FALLS
    ]
    return (*at_once, *yearly)


def _price_drop(case: Case, factor: float, fall_per_year: float = 0.0) -> PriceDrop:
    cash = case.flows(factor)
    month = break_even_month(cash)
    saving = float(cash.frontier[0, 0] - cash.specialist[0, 0])
    return PriceDrop(factor, saving, float(month[0]), fall_per_year, _share_never(month))
