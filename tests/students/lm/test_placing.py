"""Where values stand in a text: letter for letter, whatever signs and line breaks are between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.students.lm.placing import Slot, units_of, written

TEXT = "TAX INVOICE\nALPHA SDN BHD (123-X)\nNO4, JALAN BESAR,\n81100 MUAR.\nTEL 81100"


def slots(text: str, **values: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for unit in units_of(text, {(field, 0): value for field, value in values.items()}):
        for part in unit:
            if isinstance(part, Slot):
                for field, _ in part.keys:
                    found.setdefault(field, []).append(part.text)
    return found


@pytest.mark.parametrize(
    ("value", "there"),
    [
        ("ALPHA SDN BHD", "ALPHA SDN BHD"),
        ("ALPHA SDN. BHD.", "ALPHA SDN BHD"),
        ("NO 4, JALAN BESAR, 81100 MUAR", "NO4, JALAN BESAR,\n81100 MUAR"),
        ("NO 4 JALAN BESAR 81100 MUAR.", "NO4, JALAN BESAR,\n81100 MUAR."),
        ("(123-X)", "(123-X)"),
    ],
)
def test_a_value_is_found_as_people_tidied_it(value: str, there: str) -> None:
    assert slots(TEXT, field=value) == {"field": [there]}


@pytest.mark.parametrize("value", ["LPHA SDN BHD", "ALPHA SDN BH", "alpha sdn bhd", "BHD", "--", "", "MUAR 811000"])
def test_parts_of_words_other_letters_and_short_values_are_not_found(value: str) -> None:
    assert slots(TEXT, field=value) == {}


def test_lines_of_one_value_stay_together_and_the_others_apart() -> None:
    units = units_of(TEXT, {("name", 0): "ALPHA SDN BHD", ("street", 0): "NO4 JALAN BESAR 81100 MUAR"})
    assert units == [
        ("TAX INVOICE",),
        (Slot((("name", 0),), "ALPHA SDN BHD"), " (123-X)"),
        (Slot((("street", 0),), "NO4, JALAN BESAR,\n81100 MUAR"), "."),
        ("TEL 81100",),
    ]


def test_every_place_of_a_value_is_found() -> None:
    assert slots("ALPHA CO\nMilk\nTHANK YOU, ALPHA CO!", name="Alpha Co") == {}
    assert slots("ALPHA CO\nMilk\nTHANK YOU, ALPHA CO!", name="ALPHA CO") == {"name": ["ALPHA CO", "ALPHA CO"]}


def test_values_that_overlap_have_one_place() -> None:
    units = units_of("OF ALPHA MUAR TOWN", {("name", 0): "ALPHA MUAR", ("town", 0): "MUAR TOWN"})
    assert units == [("OF ", Slot((("name", 0), ("town", 0)), "ALPHA MUAR TOWN"))]


@pytest.mark.parametrize(
    ("value", "text"),
    [("KEDAI 12", "KEDAI 1\n2 MILK"), ("KEDAI 1 2", "KEDAI 12"), ("मान कुमार", "मीना कुमारी"), ("Pose", "Pose\u0301")],
    ids=["digits that touch", "digits apart", "other vowels", "an accent more"],
)
def test_other_numbers_and_other_words_are_not_the_value(value: str, text: str) -> None:
    assert slots(text, field=value) == {}


@given(st.text(alphabet="ab1 .\n", max_size=40), st.text(alphabet="ab1 .\n", max_size=8))
def test_nothing_of_the_text_is_lost(text: str, value: str) -> None:
    assert "\n".join(map(written, units_of(text, {("field", 0): value, ("field", 1): value[:4]}))) == text
