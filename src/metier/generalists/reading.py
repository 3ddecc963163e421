"""What an answer comes to for its kind of task: a record that fits the schema, a text that ended, or the failure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput
from metier.generalists.protocol import FailureKind, GeneralistAnswer, Question
from metier.metrics.generation import is_degenerate
from metier.metrics.records import canonical, parse_record

_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)


def read_answer(question: Question, answer: GeneralistAnswer) -> GeneralistAnswer:
    """`answer` as the question's kind needs it.

    Takes an answer as it was kept: its text, and "cut off" where the token limit was reached. Labels are left as they are:
    which one is meant is read elsewhere. A record becomes canonical JSON or is "invalid"; a text loses a model's thinking
    aloud; what was cut off is "degenerate" where it repeated itself. A failed answer has no text. Raises BadInput where
    the question's schema is none.
    """
    if answer.text is None:
        return answer
    if question.kind is OutputKind.LABEL:
        return replace(answer, failure=None)
    hit_limit = answer.failure == "cut off"
    bare = _THINKING.sub("", answer.text).strip()
    if question.kind is OutputKind.FIELDS:
        record = read_record(bare, question.output_schema)
        if record is not None:
            return replace(answer, text=record, failure=None)
    elif bare and not hit_limit:
        return replace(answer, text=bare, failure=None)
    failure: FailureKind = "invalid" if question.kind is OutputKind.FIELDS else "empty"
    if hit_limit:
        failure = "degenerate" if is_degenerate(answer.text, hit_limit=True) else "cut off"
    return replace(answer, text=None, failure=failure)


def check_schemas(questions: Iterable[Question]) -> None:
    """Raises BadInput where a question's schema is no JSON Schema: better before anything is bought."""
    for schema in {orjson.dumps(one.output_schema) for one in questions if one.output_schema}:
        _validator(schema)


def read_record(text: str, schema: Mapping[str, Any] | None) -> str | None:
    """The record in `text` as canonical JSON; None where there is no object, or it does not fit the schema once absent
    values are left out."""
    record = parse_record(text)
    if record is None:
        return None
    written = canonical(record, schema)
    if schema and not _validator(orjson.dumps(schema)).is_valid(orjson.loads(written)):
        return None
    return written


@lru_cache(maxsize=64)
def _validator(schema: bytes) -> Draft202012Validator:
    content = orjson.loads(schema)
    try:
        Draft202012Validator.check_schema(content)
    except SchemaError as error:
        raise BadInput(f"the task's output_schema is no JSON Schema: {error.message}") from error
    return Draft202012Validator(content)
