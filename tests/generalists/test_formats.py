"""Schemas as structured outputs demand them, and what stands in the messages where the server is not given one."""

from __future__ import annotations

import json

import pytest

from metier.generalists.formats import modes_for, response_format, shown, strict_schema

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["name"],
}


def test_strict_requires_every_key_and_lets_those_be_null_that_may_be_absent():
    """OpenAI's rule: "all fields must be required", optional ones emulated by a union with null; no further keys."""
    assert strict_schema(SCHEMA) == {
        "type": "object",
        "properties": {"name": {"type": "string"}, "tags": {"type": ["array", "null"], "items": {"type": "string"}}},
        "required": ["name", "tags"],
        "additionalProperties": False,
    }


def test_inner_objects_and_choices_are_made_strict_too():
    inner = {"type": "object", "properties": {"sort": {"enum": ["a", "b"]}}}
    found = strict_schema({"type": "object", "properties": {"part": inner}, "required": ["part"], "$schema": "x"})
    assert found == {
        "type": "object",
        "properties": {
            "part": {
                "type": "object",
                "properties": {"sort": {"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]}},
                "required": ["sort"],
                "additionalProperties": False,
            }
        },
        "required": ["part"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "array", "items": {"type": "string"}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}},
        {"type": "object", "properties": {"a": {"allOf": [{"type": "string"}]}}},
        {"type": "object", "properties": {"a": {"type": "object", "additionalProperties": {"type": "string"}}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": {"not": {}}}}},
        {"type": "object", "properties": {"a": True}},
    ],
)
def test_what_cannot_be_said_strictly_starts_one_mode_lower(schema):
    assert strict_schema(schema) is None
    assert modes_for(schema) == ("schema", "object", "plain")
    assert response_format("strict", schema) is None


def test_each_mode_says_less():
    forms = [response_format(mode, SCHEMA) for mode in modes_for(SCHEMA)]
    assert [form and form["type"] for form in forms] == ["json_schema", "json_schema", "json_object", None]
    assert [form["json_schema"]["strict"] for form in forms[:2]] == [True, False]
    assert forms[1]["json_schema"]["schema"] == SCHEMA


def test_the_schema_is_told_where_the_server_is_not_given_it_and_once():
    messages = [{"role": "user", "content": "x"}]
    assert shown(messages, SCHEMA, "strict") == messages
    told = shown(messages, SCHEMA, "object")
    assert told[0]["role"] == "system"
    assert told[0]["content"].endswith(json.dumps(SCHEMA))
    assert told[1:] == messages
    assert shown(told, SCHEMA, "plain") == told
