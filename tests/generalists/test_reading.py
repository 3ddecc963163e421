"""What answers come to for each kind of task."""

from __future__ import annotations

import pytest

from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput
from metier.generalists import GeneralistAnswer, Question
from metier.generalists.reading import check_schemas, read_answer

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"],
    "additionalProperties": False,
}
FIELDS = Question("1", "x", kind=OutputKind.FIELDS, output_schema=SCHEMA)
TEXT = Question("1", "x", kind=OutputKind.TEXT)


def read(question: Question, text: str | None, failure=None) -> tuple[str | None, str | None]:
    answer = read_answer(question, GeneralistAnswer("1", text, failure))
    return answer.text, answer.failure


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ('{"age": 3, "name": "A"}', '{"name": "A", "age": 3}'),
        ('```json\n{"name": "A"}\n```', '{"name": "A"}'),
        ('<think>{"name": "no"}</think>\n{"name": "A"}', '{"name": "A"}'),
        ('{"name": "A", "age": null}', '{"name": "A"}'),
        ('{"name": "é"}', '{"name": "é"}'),
    ],
)
def test_a_record_that_fits_becomes_canonical(text, record):
    assert read(FIELDS, text) == (record, None)


@pytest.mark.parametrize(
    "text",
    ["A", "[1]", '{"name": "A"', '{"name": 3}', '{"age": 3}', '{"name": null}', '{"name": "A", "x": 1}', "[" * 5000],
)
def test_what_does_not_fit_is_invalid(text):
    assert read(FIELDS, text) == (None, "invalid")


def test_a_record_that_was_whole_at_the_token_limit_counts_and_others_were_cut_off():
    assert read(FIELDS, '{"name": "A"}', "cut off") == ('{"name": "A"}', None)
    assert read(FIELDS, '{"name": "A and then', "cut off") == (None, "cut off")
    assert read(FIELDS, '{"name": "' + "over and over and " * 9, "cut off") == (None, "degenerate")


def test_texts_lose_the_thinking_and_count_where_they_ended():
    assert read(TEXT, "<think>hm</think> all is well ") == ("all is well", None)
    assert read(TEXT, "all is", "cut off") == (None, "cut off")
    assert read(TEXT, "la la la la " * 9, "cut off") == (None, "degenerate")
    assert read(TEXT, "<think>hm</think>") == (None, "empty")
    assert read(TEXT, None, "refusal") == (None, "refusal")


def test_labels_are_left_as_they_are():
    assert read(Question("1", "x", ("a",)), ' "A" ', "cut off") == (' "A" ', None)


def test_a_schema_that_is_none_is_named():
    with pytest.raises(BadInput, match="no JSON Schema: 'strin' is not valid"):
        check_schemas([Question("1", "x", kind=OutputKind.FIELDS, output_schema={"type": "strin"})])
