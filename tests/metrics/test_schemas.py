"""Schemas that requests state, that answers show, and whether records fit them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.metrics.schemas import infer_schema, record_checker, schema_fault, stated_schema, writing_order

ORDER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_stated_schemas_are_found_wherever_apis_put_them() -> None:
    tool = {"type": "function", "function": {"name": "book", "parameters": ORDER}}
    other = {"type": "function", "function": {"name": "drop", "parameters": {"type": "object", "properties": {}}}}
    forced = {"type": "function", "function": {"name": "book"}}
    stated = [
        {"response_format": {"type": "json_schema", "json_schema": {"name": "o", "schema": ORDER}}},
        {"text": {"format": {"type": "json_schema", "name": "o", "schema": ORDER}}},
        {"tools": [tool]},
        {"tools": [other, tool], "tool_choice": forced},
        {"guided_json": ORDER},
    ]
    assert [stated_schema(one) for one in stated] == [ORDER] * 5
    assert [stated_schema(json.dumps(one)) for one in stated] == [ORDER] * 5
    silent = [None, "", "no json", {}, {"response_format": {"type": "json_object"}}, {"tools": [tool, other]}]
    assert [stated_schema(one) for one in silent] == [None] * 6


def test_slips_do_not_enter_the_schema() -> None:
    answers = [{"name": "a", "n": i} for i in range(997)]
    answers += [{"name": "a", "n": "three"}, {"name": "a"}, {"name": "a", "n": 1, "note": "by the way"}]
    schema = infer_schema(answers)
    assert schema == {
        "type": "object",
        "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["name", "n"],
        "additionalProperties": False,
    }
    check = record_checker(schema)
    assert [check(one) for one in answers[-4:]] == [
        None, "n: is string, not integer", "lacks 'n'", "has a key that the schema does not name",
    ]  # fmt: skip


def test_what_a_person_gave_is_no_slip() -> None:
    answers = [{"name": "a", "n": i} for i in range(99)] + [{"name": "a", "note": "x"}]
    schema = infer_schema(answers, [False] * 99 + [True])
    assert list(schema["properties"]) == ["name", "n", "note"]
    assert schema["required"] == ["name"]
    assert record_checker(schema)(answers[-1]) is None


def test_nested_values_lists_and_absent_ones() -> None:
    answers = [
        {"items": [{"product": "lamp", "quantity": 2}], "city": "Oslo" if i % 2 else None, "price": 2.5 if i % 3 else 3}
        for i in range(60)
    ]
    schema = infer_schema(answers)
    assert schema["properties"]["city"] == {"type": ["null", "string"]}
    assert schema["properties"]["price"] == {"type": "number"}
    assert schema["properties"]["items"]["items"]["required"] == ["product", "quantity"]
    assert all(record_checker(schema)(one) is None for one in answers)


def test_a_closed_set_is_an_enum_and_an_open_one_is_not() -> None:
    states = ["open", "closed", "lost"]
    closed = infer_schema([{"state": states[i % 3], "who": f"w{i}"} for i in range(200)])["properties"]
    assert closed == {"state": {"type": "string", "enum": sorted(states)}, "who": {"type": "string"}}
    # 59 values of three strings are too few to know.
    assert "enum" not in infer_schema([{"state": states[i % 3]} for i in range(59)])["properties"]["state"]


def test_tables_have_no_keys_of_their_own() -> None:
    schema = infer_schema([{f"SKU-{i}": i, f"SKU-{i + 1000}": 2} for i in range(50)])
    assert schema == {"type": "object", "additionalProperties": {"type": "integer"}}


def test_keys_are_ordered_as_they_are_written() -> None:
    written = [("a", "c"), ("a", "b"), ("b", "c"), ("c",), ("c",)] * 3
    assert writing_order(written, ["c", "b", "a"]) == ["a", "b", "c"]
    assert writing_order([], ["x", "y"]) == ["x", "y"]


@given(st.lists(st.dictionaries(st.text(max_size=3), JSON, max_size=4), min_size=1, max_size=12))
def test_a_schema_of_what_people_gave_fits_all_of_it(answers: list[dict[str, object]]) -> None:
    schema = infer_schema(answers, [True] * len(answers))
    assert schema_fault(schema) is None
    check = record_checker(schema)
    assert [check(one) for one in answers] == [None] * len(answers)


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"type": "object", "properties": 3}, "not of type"),
        ({"type": "string"}, "no object"),
        ({"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}}, "another document"),
    ],
)
def test_schemas_that_cannot_be_used(schema: dict[str, object], fault: str) -> None:
    assert fault in str(schema_fault(schema))
    assert schema_fault(ORDER) is None
