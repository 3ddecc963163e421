"""Answers read as records, and the form in which they are written."""

from __future__ import annotations

import json

import pytest

from metier.curation import reasons
from metier.curation.forms import Answered, write_label
from metier.curation.json_styles import layout_of
from metier.curation.record_forms import learn_record_forms, learn_text_forms
from metier.curation.records import read_object, read_records
from metier.errors import BadInput

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "city": {"type": ["string", "null"]}}}
RECORDS = [{"name": f"n{i}", "city": None if i % 3 else "Århus"} for i in range(12)]
STATED = json.dumps({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}})


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ('{"a": 1}', {"a": 1}, None),
        ('```json\n{"a": 1}\n```', {"a": 1}, None),
        ('{"name": "book", "arguments": {"a": 1}}', {"a": 1}, None),
        ('Here it is: {"a": 1}', None, reasons.RECORD_IN_PROSE),
        ('{"a": 1}\nAnything else?', None, reasons.RECORD_IN_PROSE),
        ("I'm sorry, there is no receipt.", None, reasons.NO_RECORD),
        ('[{"a": 1}]', None, reasons.RECORD_IN_PROSE),
        ('{"a": 1', None, reasons.NO_RECORD),
        ("[" * 20_000, None, reasons.NO_RECORD),
        (" ", None, reasons.EMPTY_OUTPUT),
        (None, None, reasons.EMPTY_OUTPUT),
    ],
)
def test_objects_in_answers(text: str | None, value: object, reason: str | None) -> None:
    assert read_object(text) == (value, reason)


def read(texts: list[str], asked: list[str | None] | None = None):
    return read_records(texts, texts, [False] * len(texts), asked or [None] * len(texts), None)


def test_records_get_one_form_and_those_that_break_the_schema_are_told_apart() -> None:
    texts = [json.dumps({"b": i, "a": "x"}) for i in range(50)] + [
        '{"a": "x"}',
        '{"a": 3, "b": 1}',
        '{"a": "\\ud800", "b": 1}',
    ]
    found = read(texts)
    assert found.origin == "learnt from the answers"
    assert found.answers[texts[0]].label == '{"b": 0, "a": "x"}'
    assert [found.answers[text].reason for text in texts[-3:]] == [reasons.INVALID_RECORD] * 3
    assert dict(found.faults) == {"lacks 'b'": 1, "a: is integer, not string": 1}


def test_the_schema_that_requests_state_comes_first() -> None:
    texts = [json.dumps(record) for record in RECORDS]
    found = read(texts, [STATED] * len(texts))
    assert (found.schema, found.origin) == (SCHEMA, "stated in the requests")
    # A key without a value is left out where the schema does not require it.
    assert found.answers[texts[1]].label == '{"name": "n1"}'
    assert read(texts, [STATED, *[None] * (len(texts) - 1)]).origin == "learnt from the answers"
    broken = STATED.replace('"string"', '"strin"')
    with pytest.raises(BadInput, match="cannot be used"):
        read(texts, [broken] * len(texts))


def answered(written: list[str], asked: str = "plain") -> list[Answered]:
    out = []
    for text in written:
        value, _ = read_object(text)
        label = None if value is None else json.dumps({k: v for k, v in value.items() if v is not None})
        out.append(Answered("t", asked, text, label, label))
    return out


@pytest.mark.parametrize(
    "write",
    [
        lambda record: json.dumps(record),
        lambda record: json.dumps(record, ensure_ascii=False),
        lambda record: json.dumps(record, separators=(",", ":"), ensure_ascii=False),
        lambda record: "```json\n" + json.dumps(record, indent=2, ensure_ascii=False) + "\n```",
        lambda record: json.dumps(record, indent=4) + "\n",
        lambda record: json.dumps({k: v for k, v in record.items() if v is not None}, ensure_ascii=False),
        lambda record: json.dumps(dict(reversed(record.items())), indent="\t", ensure_ascii=False),
    ],
)
def test_a_record_is_written_again_as_the_frontier_writes_it(write) -> None:
    [form] = learn_record_forms(answered([write(record) for record in RECORDS]), SCHEMA)
    assert form.share == 1.0
    for record in RECORDS:
        canonical = json.dumps({key: value for key, value in record.items() if value is not None})
        assert write_label(form, canonical) == write(record)


def test_prose_counts_against_a_form_and_required_keys_stay() -> None:
    plain = [json.dumps({"name": f"n{i}"}) for i in range(9)]
    [form] = learn_record_forms(answered([*plain, 'Sure: {"name": "x"}']), SCHEMA)
    assert form.share == 0.9
    assert write_label(form, '{"name": ""}') == '{"name": ""}'
    assert learn_record_forms(answered(["no", "none"]), SCHEMA) == ()
    assert learn_record_forms(answered(plain, "functions:f#1;choice=auto"), SCHEMA) == ()


def test_records_in_tool_calls() -> None:
    calls = [json.dumps({"name": "book", "arguments": record}) for record in RECORDS]
    [form] = learn_record_forms(answered(calls, "tools:book#1;choice==book"), SCHEMA)
    assert (form.tool_name, form.share) == ("book", 1.0)
    assert json.loads(write_label(form, '{"name": "n1"}')) == {"name": "n1", "city": None}


def test_a_layout_that_nobody_knows_is_written_on_one_line() -> None:
    assert layout_of('{ "a" : 1 }') == layout_of('{"a": 1}')


def test_texts_are_written_as_they_are() -> None:
    calls = [Answered("t", "plain", text, text or None, text or None) for text in ("one", "two", "three", "")]
    [form] = learn_text_forms(calls)
    assert (form.n, form.share) == (4, 0.75)
    assert write_label(form, "A note: {x}\n") == "A note: {x}\n"
