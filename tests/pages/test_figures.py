"""Numbers in words: every form, its limits, and what is said where there is no number."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.artefacts.estimates import Estimate
from metier.pages import figures

FORMS = (
    figures.plain,
    figures.count,
    figures.significant,
    figures.percent,
    figures.points,
    figures.level,
    figures.usd,
    figures.duration,
    figures.p_value,
    figures.month,
)


@pytest.mark.parametrize(
    ("form", "value", "shown"),
    [
        (figures.percent, 0.97, "97.0%"),
        (figures.percent, -0.01234, "−1.2%"),
        (figures.points, 0.029, "+2.9"),
        (figures.points, -0.015, "−1.5"),
        (figures.points, -0.0001, "0.0"),
        (figures.level, 0.95, "95%"),
        (figures.level, 0.025, "2.5%"),
        (figures.count, 4_500, "4,500"),
        (figures.usd, 4_930.0, "$4,930"),
        (figures.usd, 12.5, "$12.50"),
        (figures.usd, 0.00025, "$0.00025"),
        (figures.usd, -30.0, "−$30.00"),
        (figures.usd, 0.0, "$0"),
        (figures.duration, 0.0031, "3.1 ms"),
        (figures.duration, 0.00042, "420 µs"),
        (figures.duration, 1.24, "1.24 s"),
        (figures.duration, 212.0, "3.53 min"),
        (figures.duration, 7_200.0, "2 h"),
        (figures.size, 24_000_000, "22.9 MiB"),
        (figures.size, 512, "512 B"),
        (figures.p_value, 0.28, "0.28"),
        (figures.p_value, 0.004, "0.004"),
        (figures.p_value, 2.1e-15, "<0.001"),
        # BRIEF, section 2: 15,000 / (4,930 - 900) = 3.72 is month 4.
        (figures.month, 15_000 / (4_930 - 900), "month 4"),
        (figures.month, 0.0, "month 1"),
        (figures.significant, 2_717.33, "2,717"),
        (figures.significant, 0.0123456, "0.0123"),
    ],
)
def test_forms(form: figures.Form, value: float, shown: str) -> None:
    assert form(value) == shown


@pytest.mark.parametrize("form", FORMS)
def test_not_scored_is_never_a_number(form: figures.Form) -> None:
    assert form(math.nan) == "not scored"


@pytest.mark.parametrize("form", [figures.plain, figures.count, figures.percent, figures.duration, figures.month])
def test_infinity_is_never(form: figures.Form) -> None:
    assert form(math.inf) == "never"


@given(st.floats())
def test_no_float_breaks_a_form(value: float) -> None:
    for form in FORMS:
        assert form(value).isprintable()


def test_moments() -> None:
    assert figures.moment("2026-11-21T23:18:31.338002+00:00") == "2026-11-21 23:18 UTC"
    assert figures.moment("2026-11-21T23:18:31Z") == "2026-11-21 23:18 UTC"
    assert figures.moment("some day") == "some day"


def test_spans() -> None:
    nothing = Estimate(math.nan, math.nan, math.nan, 0)
    assert figures.span(nothing, figures.percent) == "not scored"
    assert figures.span(Estimate(0.97, 0.965, 0.975, 4_500), figures.percent) == "96.5% to 97.5%"
    assert figures.month_span(Estimate(4.36, 3.2, 6.4, 2_000)) == "4 to 7"
    assert figures.month_span(Estimate(4.36, 3.2, math.inf, 2_000)) == "4 to never"
    assert figures.month_span(Estimate(1.4, 1.2, 1.9, 2_000)) == "2"
