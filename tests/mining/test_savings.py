"""The Monte Carlo of the saving against its closed forms, and the span of a log."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from metier.mining.costs import measure_span
from metier.mining.savings import project_saving, writing_usd_month


def test_with_nothing_uncertain_but_the_volume_the_range_is_that_of_a_lognormal() -> None:
    saving = project_saving(1_000.0, 30.0, (0.8, 0.8), (100.0, 100.0), 10_000_000, seed=0)
    # 800 x lognormal(0, 0.10) - 100; the 5% and 95% points of a standard normal are -+1.6449.
    assert saving.value == pytest.approx(700, abs=8)
    assert saving.low == pytest.approx(800 * np.exp(-0.16449) - 100, abs=12)
    assert saving.high == pytest.approx(800 * np.exp(0.16449) - 100, abs=12)


def test_the_articles_own_case() -> None:
    """4,930 USD a month against 600 inference and 300 upkeep, all calls covered: 4,030 USD saved."""
    saving = project_saving(4_930.0, 30.0, (1.0, 1.0), (900.0, 900.0), 100_000, seed=0)
    assert saving.value == pytest.approx(4_030, abs=40)


def test_a_short_log_is_less_certain() -> None:
    short, long = (project_saving(1_000.0, days, (0.5, 0.9), (100.0, 900.0), 500, seed=0) for days in (1.0, 30.0))
    assert short.high - short.low > long.high - long.low


@pytest.mark.parametrize(
    ("times", "days"),
    [
        ([], 30.0),
        ([1.7e9], 30.0),
        ([1.7e9 + 86_400 * day for day in range(10)], 10.0),
        ([1.7e9 + 86_400 * day for day in reversed(range(10))], 10.0),
    ],
)
def test_spans(times: list[float], days: float) -> None:
    assert measure_span(pl.Series(times, dtype=pl.Float64)).days == pytest.approx(days)


def test_equal_times_do_not_divide_by_zero() -> None:
    span = measure_span(pl.Series([1.7e9] * 5))
    assert span.days == 0.0
    assert span.scale == pytest.approx(720)


def test_a_student_that_writes_needs_machines_for_its_tokens() -> None:
    # A million calls of 800 tokens read and 60 written: 800 / 2000 + 60 / 150 = 0.8 s each at best, 800 / 400 + 60 / 30
    # = 4 s at worst, on machines that are busy half of 2,592,000 s a month: 0.617 and 3.09 machines of 30 and 80 USD.
    low, high = writing_usd_month(1e6, 800, 60, (10.0, 100.0))
    assert (low, high) == (pytest.approx(18.5, rel=0.01), pytest.approx(246.9, rel=0.01))
    assert writing_usd_month(1e3, 800, 60, (10.0, 100.0)) == (10.0, 100.0)
