"""What an answer must be, by the task's kind of output, before anyone gets to see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from metier.artefacts.tasks import OutputKind
from metier.gateway.routing.schemas import accepts
from metier.metrics.records import parse_record
from metier.metrics.schemas import record_checker, stated_schema

# What is wrong with an answer, in words without the answer itself; None where nothing is.
Check = Callable[[str], str | None]


@dataclass(frozen=True)
class RecordRules:
    """The JSON Schema of a task's records, compiled once. `key` is equal for schemas that say the same in another order."""

    key: bytes
    fault: Callable[[Any], str | None]

    def is_other(self, request: Mapping[str, Any]) -> bool:
        """Whether a request states a schema of its answer that is not this one: it may ask for more than records have."""
        stated = stated_schema(request)
        return stated is not None and _key(stated) != self.key

    def accept(self, schema: object, text: str) -> bool:
        """Whether `text` is JSON that fits a request's `schema`; where that is this one, whatever is in it."""
        if _key(schema) != self.key:
            return accepts(schema, text)
        try:
            return self.fault(orjson.loads(text)) is None
        except orjson.JSONDecodeError:
            return False


def record_rules(schema: Mapping[str, Any]) -> RecordRules:
    """The rules of records that fit `schema`."""
    return RecordRules(_key(schema) or b"", record_checker(schema))


def answer_check(kind: OutputKind, classes: frozenset[str], rules: RecordRules | None) -> Check:
    """What a specialist's answer to a task of this kind must be: one of `classes`, a record by the `rules`, or a text."""
    if kind is OutputKind.FIELDS:
        return lambda text: _record_fault(rules, text)
    if kind is OutputKind.TEXT:
        return lambda text: None if text.strip() else "an empty text"
    return lambda label: None if label in classes else f"a label that is not among its {len(classes)} classes"


def named_anew_check(label: str) -> str | None:
    """What an answer must be where inputs name their choices themselves: the specialist answers by one of these names,
    which nobody else can know before."""
    return None if label.strip() else "an empty label"


def _record_fault(rules: RecordRules | None, text: str) -> str | None:
    record = parse_record(text)
    if record is None:
        return "no record"
    fault = rules.fault(record) if rules is not None else None
    return None if fault is None else f"a record that breaks its schema ({fault})"


def _key(schema: object) -> bytes | None:
    try:
        return orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError):
        return None
