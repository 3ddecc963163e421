from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.economics.draws import Floats, exact
from metier.economics.ownership import Fleet, Line, Side, bill, calls_per_machine
from metier.economics.payback import (
    HORIZON_MONTHS,
    break_even_calls,
    break_even_month,
    cumulative,
    flows,
    price_factors,
    year_one_saving_share,
)


def one(value: float) -> Floats:
    """The stated figure and one draw, which is the same."""
    return exact(value, 1)


def line(name: str, per_call: float = 0, fixed: float = 0, *, once: bool = False, falls: bool = False) -> Line:
    return Line(name, one(per_call), one(fixed), "", once=once, falls=falls)


def frontier(per_call: float, fixed: float = 0) -> Side:
    return Side("frontier", (line("tokens", per_call, falls=True), line("fixed", fixed=fixed)))


def specialist(once: float, fixed: float, per_call: float = 0, fleet: Fleet | None = None) -> Side:
    lines = (line("once", fixed=once, once=True), line("fixed", fixed=fixed), line("calls", per_call, falls=True))
    return Side("specialist", lines, fleet)


def month(left: Side, right: Side, calls: float = 1_000, fall: float = 0, factor: float = 1) -> float:
    return float(break_even_month(flows(left, right, one(calls), one(fall), factor))[0])


def test_constant_saving() -> None:
    assert month(frontier(4.93), specialist(15_000, 900)) == pytest.approx(15_000 / 4_030)


def test_free_to_build_pays_at_once() -> None:
    assert month(frontier(1), specialist(0, 10)) == 0


def test_free_to_build_but_dearer_never_pays() -> None:
    assert math.isinf(month(frontier(1), specialist(0, 1_001)))


def test_equal_running_cost_never_pays() -> None:
    assert math.isinf(month(frontier(1), specialist(1, 1_000)))


def test_horizon() -> None:
    assert month(frontier(1), specialist(HORIZON_MONTHS * 100, 900)) == pytest.approx(HORIZON_MONTHS)
    assert math.isinf(month(frontier(1), specialist(HORIZON_MONTHS * 100 + 1, 900)))


def test_price_factor_hits_escalations_too() -> None:
    # At half the price: 500 - 50 escalated - 100 fixed = 350 a month.
    assert month(frontier(1), specialist(700, 100, per_call=0.1), factor=0.5) == pytest.approx(2.0)


def test_yearly_fall() -> None:
    factors = price_factors(one(0.5), 25)[:, 0]
    assert factors[[0, 12, 24]] == pytest.approx([1.0, 0.5, 0.25])


def test_yearly_fall_by_hand() -> None:
    cash = flows(frontier(1), specialist(1_500, 100), one(1_000), one(0.5))
    saved = [1_000 * 0.5 ** (age / 12) - 100 for age in range(3)]
    expected = 1 + (1_500 - saved[0]) / saved[1]
    assert break_even_month(cash)[0] == pytest.approx(expected)
    assert cumulative(cash.specialist_once, cash.specialist)[3, 0] == pytest.approx(1_800)


def test_fall_can_stop_the_payback() -> None:
    assert math.isfinite(month(frontier(1), specialist(6_000, 500)))
    assert math.isinf(month(frontier(1), specialist(6_000, 500), fall=0.9))


def test_year_one_saving_share() -> None:
    cash = flows(frontier(4.93), specialist(15_000, 900), one(1_000), one(0))
    assert year_one_saving_share(cash)[0] == pytest.approx(1 - 25_800 / 59_160)
    free = flows(frontier(0), specialist(1, 1), one(1_000), one(0))
    assert math.isnan(year_one_saving_share(free)[0])


@given(
    once=st.floats(0, 1e5),
    fixed=st.floats(0, 1e4),
    gain=st.floats(1e-4, 1),
    escalated=st.floats(0, 0.9),
    fall=st.floats(0, 0.9),
    machine=st.floats(0, 500),
    carries=st.floats(1e3, 1e7),
)
def test_at_the_break_even_volume_one_year_costs_the_same(
    once: float, fixed: float, gain: float, escalated: float, fall: float, machine: float, carries: float
) -> None:
    left = frontier(gain)
    right = specialist(once, fixed, per_call=escalated * gain, fleet=Fleet(one(machine), one(carries)))
    calls = float(break_even_calls(left, right, one(fall))[0])
    if not math.isfinite(calls) or calls == 0:
        return
    cash = flows(left, right, one(calls), one(fall))
    needed = right.fleet.machines(one(calls))[0] if right.fleet else 0
    years = [
        side[:12, 0].sum() + first[0]
        for side, first in ((cash.frontier, cash.frontier_once), (cash.specialist, cash.specialist_once))
    ]
    # A machine may stand idle at the step itself, never more.
    assert years[0] == pytest.approx(years[1], rel=1e-6, abs=12 * machine + 1e-6)
    assert needed >= 1


def test_break_even_calls_without_a_fleet() -> None:
    assert break_even_calls(frontier(0.01), specialist(1_200, 400), one(0))[0] == pytest.approx(50_000)


def test_break_even_calls_buys_machines_until_they_carry_the_load() -> None:
    # 0.01 a call, machines of 100 USD that carry 15,000 calls: k machines need (500 + 100 k) / 0.01 calls.
    # k = 9: 140,000 <= 135,000 is false; k = 10: 150,000 <= 150,000 holds.
    fleet = Fleet(one(100), one(15_000))
    assert break_even_calls(frontier(0.01), specialist(6_000, 0, fleet=fleet), one(0))[0] == pytest.approx(150_000)


def test_break_even_calls_where_machines_cost_more_than_they_earn() -> None:
    fleet = Fleet(one(100), one(9_000))
    assert math.isinf(break_even_calls(frontier(0.01), specialist(6_000, 0, fleet=fleet), one(0))[0])


def test_break_even_calls_where_no_call_gains() -> None:
    assert math.isinf(break_even_calls(frontier(0.01), specialist(1, 1, per_call=0.01), one(0))[0])


def test_break_even_calls_where_any_volume_pays() -> None:
    assert break_even_calls(frontier(0.01, fixed=900), specialist(1_200, 400), one(0))[0] == 0


def test_capacity() -> None:
    # 100 answers/s, peak four times the mean, loaded to 60%: 15 a second on average over 2,628,000 s.
    assert calls_per_machine(one(100), 4, 0.6)[0] == pytest.approx(15 * 2_628_000)


def test_idle_machines_are_paid() -> None:
    fleet = Fleet(one(59.568), one(1e6))
    assert [fleet.usd(one(calls))[0] for calls in (1, 1e6, 1e6 + 1)] == pytest.approx([59.568, 59.568, 2 * 59.568])


def test_bill_adds_up() -> None:
    side = specialist(1_500, 100, per_call=0.1, fleet=Fleet(one(50), one(1e6)))
    made = bill(side, one(1_000))
    assert made.once_usd == 1_500
    assert made.month_usd == pytest.approx(250) == side.month_usd(one(1_000))[0]
    assert side.once_usd()[0] == 1_500
