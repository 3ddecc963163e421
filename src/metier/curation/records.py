"""From what a model or a person answered to a record in one form: JSON that fits the task's schema."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metier.curation import reasons
from metier.curation.labels import Answer, tool_call
from metier.errors import BadInput
from metier.metrics.records import canonical, parse_record
from metier.metrics.schemas import Schema, infer_schema, record_checker, schema_fault, stated_schema

# A schema that this share of the requests states is the task's own.
_STATED_SHARE = 0.5
_LISTED = 5
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)


@dataclass(frozen=True)
class Records:
    """Answers read as records: `answers` by the text they were read from, the schema that all usable ones fit, where it
    comes from, and how many texts break it in which way."""

    answers: Mapping[str | None, Answer]
    schema: Schema
    origin: str
    faults: tuple[tuple[str, int], ...]


def read_records(
    texts: Iterable[str | None],
    said: Sequence[str | None],
    vouched: Sequence[bool],
    asked: Sequence[str | None],
    known: Schema | None,
) -> Records:
    """Read every text as a record that fits the task's schema.

    The schema is the one that half of the requests state; else what the answers show (`metrics.schemas.infer_schema`);
    else, without a single record, the one that is known already.

    Args:
        texts: all texts that may be read.
        said: the text that each call's output is read from.
        vouched: for each call, whether a person gave or confirmed that text.
        asked: each call's `parameters`.
        known: the schema that the audit found.

    Raises:
        BadInput: the schema that the requests state is none of an object; says why.
    """
    values = {text: read_object(text) for text in texts}
    stated = _stated(asked)
    if stated is not None:
        schema, origin = stated, "stated in the requests"
    else:
        schema, origin = _shown(said, vouched, values) or known or {"type": "object"}, "learnt from the answers"
    check = record_checker(schema)
    answers: dict[str | None, Answer] = {}
    faults: dict[str | None, str] = {}
    for text, (value, reason) in values.items():
        fault = None if value is None else check(value)
        answers[text] = Answer(None, reason=reason) if value is None else _fitting(value, schema, fault)
        if fault is not None:
            faults[text] = fault
    counted = Counter(faults[text] for text in said if text in faults)
    return Records(answers, schema, origin, tuple(counted.most_common(_LISTED)))


def read_object(text: str | None) -> tuple[dict[str, Any] | None, str | None]:
    """The JSON object that an answer is: bare, in a code fence, or the arguments of a tool call; else why there is none."""
    bare = (text or "").replace("\x00", "").strip()
    if not bare:
        return None, reasons.EMPTY_OUTPUT
    called = tool_call(bare)
    if called is not None:
        return called[1], None
    value = parse_record(bare)
    if value is not None:
        return value, None
    within = _OBJECT.search(bare)
    has_record = within is not None and within[0] != bare and parse_record(within[0]) is not None
    return None, reasons.RECORD_IN_PROSE if has_record else reasons.NO_RECORD


def _fitting(value: dict[str, Any], schema: Schema, fault: str | None) -> Answer:
    if fault is not None:
        return Answer(None, reason=reasons.INVALID_RECORD)
    text = unicodedata.normalize("NFC", canonical(value, schema))
    # NaN is no JSON, and half of a surrogate pair is no text: neither can be stored or sent.
    storable = _is_unicode(text) and _is_standard(value)
    return Answer(text) if storable else Answer(None, reason=reasons.INVALID_RECORD)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_standard(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def _stated(asked: Sequence[str | None]) -> Schema | None:
    """The schema that most requests state, if half of them state it."""
    found = Counter(asked)
    counts: Counter[str] = Counter()
    for parameters, n in found.items():
        schema = stated_schema(parameters)
        if schema is not None:
            counts[json.dumps(schema, ensure_ascii=False)] += n
    if not counts:
        return None
    text, n = counts.most_common(1)[0]
    if n < _STATED_SHARE * len(asked):
        return None
    schema = json.loads(text)
    fault = schema_fault(schema)
    if fault is not None:
        raise BadInput(
            f"The JSON Schema that {n:,} of {len(asked):,} requests state cannot be used: {fault}. Mend response_format in"
            " the program that makes these calls, or import the calls without it."
        )
    return dict(schema)


def _shown(
    said: Sequence[str | None], vouched: Sequence[bool], values: Mapping[str | None, tuple[dict[str, Any] | None, Any]]
) -> Schema | None:
    pairs = [(values[text][0], mark) for text, mark in zip(said, vouched, strict=True) if values[text][0] is not None]
    return infer_schema([value for value, _ in pairs], [mark for _, mark in pairs]) if pairs else None
