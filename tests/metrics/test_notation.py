"""Notations of dates and amounts: what is the same is the same, what may not be is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.metrics.notation import as_date, as_number, date_readings, dates_in, folded, numbers_in


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("25/12/2018", "2018-12-25"),
        ("25-12-2018", "2018-12-25"),
        ("25.12.2018", "2018-12-25"),
        ("2018-12-25", "2018-12-25"),
        ("25 Dec 2018", "2018-12-25"),
        ("25DEC2018", "2018-12-25"),
        ("Dec 25, 2018", "2018-12-25"),
        ("25th of", None),
        ("25th December, 2018", "2018-12-25"),
        ("12/25/2018", "2018-12-25"),  # only one reading has a month
        ("01/01/2018", "2018-01-01"),  # both readings are the same day
        ("03/04/2018", "3-4-2018"),  # April or March: it stays what is written
        ("3.4.2018", "3-4-2018"),
        ("25/12/99", "1999-12-25"),
        ("25/12/18", "25-12-18"),  # 2018, or 2025 with the year first
        ("25 Dec 18", "25-12-18"),
        ("2018-25-12", None),
        ("31/02/2018", None),
        ("25/12", None),
        ("25/12-2018", None),
        ("1.2.3", None),
        ("may be 5 2018", None),
        ("", None),
    ],
)
def test_a_date_has_one_form_where_it_can_be_read_in_one_way(written: str, form: str | None) -> None:
    assert as_date(folded(written)) == form


@given(st.dates())
def test_every_day_is_found_in_iso_and_among_its_readings(day) -> None:
    assert as_date(day.isoformat()) == day.isoformat()
    written = f"{day.day:02}/{day.month:02}/{day.year:04}"
    assert day.isoformat() in date_readings(written)
    assert day.isoformat() in dates_in(f"paid on {written} at 8:13 pm")


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("RM 9.00", "9"),
        ("9.00", "9"),
        ("9", "9"),
        ("RM9.50", "9.5"),
        ("$1,234.50", "1234.5"),
        ("R$ 1.234,50", "1234.5"),
        ("1.234.567", "1234567"),
        ("1,234", "1234"),
        ("1.234", "1.234"),
        ("12,50", "12.5"),
        (".50", "0.5"),
        ("0.50", "0.5"),
        ("-5.00", "-5"),
        ("RM -5.00", "-5"),
        ("-RM5", "-5"),
        ("-0.00", "0"),
        ("5.5%", "5.5"),
        ("12 USD", "12"),
        ("€ 5", "5"),
        ("0012", None),  # a code
        ("A12", None),  # no currency
        ("12 pcs", None),
        ("1,2.3,4", None),
        ("12,34,567", None),
        ("9:00", None),
        ("RM", None),
        ("", None),
    ],
)
def test_an_amount_is_its_number(written: str, number: str | None) -> None:
    assert as_number(folded(written)) == number


@given(st.decimals(min_value=0, max_value=10**9, places=2))
def test_amounts_keep_their_value_in_three_notations(amount) -> None:
    plain = f"{amount:f}"
    english = f"{amount:,}"
    european = english.translate(str.maketrans(",.", ".,"))
    known = {as_number(plain), as_number(f"rm {english}"), as_number(f"€{european}")}
    assert len(known) == 1
    assert float(known.pop() or "nan") == float(amount)


def test_numbers_within_a_text() -> None:
    assert numbers_in("total rm1,209.00, cash 1,300 change -91 tel 03-12") >= {"1209", "1300", "91", "-91", "12"}
    assert "209" not in numbers_in("total rm1,209.00")
