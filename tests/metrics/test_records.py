"""Records: canonical form, and when two values are the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.metrics.records import canonical, identical, is_absent, normalised, parse_record, same_record, same_value

SCHEMA = {"properties": {"company": {}, "date": {}, "total": {}}, "required": ["date"]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_canonical_orders_keys_and_leaves_out_what_is_absent() -> None:
    record = {"total": "9.00", "zebra": 1, "date": None, "company": "", "apple": "ä"}
    assert canonical(record, SCHEMA) == '{"date": null, "total": "9.00", "apple": "ä", "zebra": 1}'
    assert canonical({"b": [], "a": {}}) == "{}"


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_canonical_reads_back_and_settles(record) -> None:
    once = canonical(record)
    assert canonical(json.loads(once)) == once
    assert same_record(once, json.dumps(record))


@pytest.mark.parametrize("text", ['{"a": 1}', '```json\n{"a": 1}\n```', '```\n{"a": 1}```', ' {"a":1}\n'])
def test_a_record_is_read_with_and_without_a_fence(text: str) -> None:
    assert parse_record(text) == {"a": 1}


@pytest.mark.parametrize(
    "text", ["", "[1]", "null", "Sure: {}", '{"a": ', "[" * 100_000, '{"a": ' * 300 + "1" + "}" * 300]
)
def test_what_is_no_object_is_no_record(text: str) -> None:
    assert parse_record(text) is None


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("ABC SDN. BHD.", "abc sdn bhd"),
        ("NO.53, JALAN SAGU 18", "No 53 Jalan Sagu 18"),
        ("Cafe\u0301 \uff21", "CAFÉ A"),
        ("25/12/2018", "2018-12-25"),
        ("RM 9.00", 9),
        (9, 9.0),
        (["b", "A"], ["a", "B"]),
        (["a"], "A"),
        (["a", None, ""], "a"),
        ({"x": "1", "y": None}, {"x": 1.0}),
        (None, "  "),
        (None, []),
        ("STRASSE", "straße"),
    ],
)
def test_the_same_in_other_words(left: object, right: object) -> None:
    assert same_value(left, right)
    assert same_value(right, left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("No 1-2", "No 12"),
        ("03/04/2018", "2018-04-03"),
        ("9.00", "9.50"),
        ("0012", "12"),
        ("A12", "B12"),
        ("A12", "12"),
        (["a", "a"], ["a"]),
        (["ab", "c"], ["a", "bc"]),
        ({"x": "a"}, {"y": "a"}),
        (True, "yes"),
        (0, None),
        (False, None),
        ("-", None),
        ("कि", "का"),  # vowels of Devanagari are marks, not punctuation
    ],
)
def test_not_the_same(left: object, right: object) -> None:
    assert not same_value(left, right)


@given(JSON)
def test_normalising_is_stable_for_any_value(value) -> None:
    assert normalised(value) == normalised(value)
    assert same_value(value, value)
    assert not is_absent(value) or normalised(value) == ""


def test_identical_minds_every_character_but_not_how_absence_is_written() -> None:
    assert identical("a", "a")
    assert not identical("A", "a")
    assert not identical(1, True)
    assert identical(None, "")
    assert not identical(None, "a")


def test_records_agree_in_every_field_or_not_at_all() -> None:
    wanted = '{"company": "ABC", "total": "9.00"}'
    assert same_record('{"total": "RM 9", "company": "a.b.c."}', wanted)
    assert not same_record('{"company": "ABC"}', wanted)
    assert not same_record('{"company": "ABC", "total": "9.00", "date": "1/1/2018"}', wanted)
    assert not same_record("ABC 9.00", wanted)
    assert not same_record(None, wanted)


def test_whatever_a_model_writes_is_compared_at_once() -> None:
    """Each of these would take minutes where patterns backtrack over them or nested values are quoted level by level."""
    for value in ("-" + " " * 50_000 + "x", "1" * 50_000, "1," * 20_000, "1 jan" * 10_000, "9" + "." * 50_000):
        assert same_value(value, value)
    deep: list = []
    for _ in range(60):
        deep = [deep, "x"]
    assert same_value(deep, deep)
