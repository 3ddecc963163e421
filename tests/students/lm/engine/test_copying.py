"""Grammars under which fields hold spans of the input."""

import json

import pytest

from metier.students.lm.engine.copying import copyable, copying_grammar
from metier.students.lm.parts import Span

TEXT = {"type": "string"}
SCHEMA = {
    "type": "object",
    "properties": {"company": TEXT, "tags": {"type": "array", "items": TEXT}, "paid": {"type": "boolean"}},
    "required": ["company"],
}


def test_plain_texts_and_lists_of_them_can_be_copied():
    assert copyable(SCHEMA) == ("company", "tags")
    chosen = {"type": "object", "properties": {"kind": {"type": "string", "enum": ["a", "b"]}, "n": {"type": "number"}}}
    assert copyable(chosen) == ()


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": TEXT},
        {"type": "object", "properties": {"a": TEXT}, "minProperties": 1},
        {"type": "object", "properties": {"a": TEXT}, "required": ["b"]},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "^x"}}},
    ],
)
def test_what_a_grammar_would_lose_is_left_to_the_schema(schema):
    assert copyable(schema) == ()


def test_the_source_in_pieces():
    grammar = copying_grammar(SCHEMA, (Span("company"),), 'SDN.  BHD\n"A\\B"\tE')
    assert grammar is not None
    line = next(line for line in grammar.splitlines() if line.startswith("SPAN"))
    pieces = json.loads(line.removeprefix("SPAN: %regex "))["substring_chunks"]
    assert "".join(pieces) == 'SDN. BHD \\"A\\\\B\\" E'  # as it stands within a JSON string, one space for white space
    assert pieces[:4] == ["SDN", ".", " ", "BHD"]
    assert "value_0: span_0" in grammar.splitlines()
    assert r'span_0: "\"" SPAN "\""' in grammar.splitlines()
    assert any(line.startswith('value_2: %json {"type": "boolean"') for line in grammar.splitlines())


def test_no_words_no_grammar():
    assert copying_grammar(SCHEMA, (Span("company"),), " \n\t") is None
