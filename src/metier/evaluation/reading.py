"""From what a candidate wrote to the answer that is judged, or to the reason why it is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput
from metier.generalists.normalise import LabelReader
from metier.metrics.generation import INVALID
from metier.metrics.records import canonical, parse_record
from metier.metrics.schemas import record_checker, schema_fault

NOT_A_LABEL = "not a label"
EMPTY = "empty"

Read = tuple[str | None, str | None]
"""(answer, None) or (None, the failure)."""
Reader = Callable[[str], Read]


def reader_of(kind: OutputKind, labels: Sequence[str] = (), schema: Mapping[str, Any] | None = None) -> Reader:
    """How answers of this kind are read: as one of `labels`, as a record that fits `schema`, or as a text.

    Raises BadInput where `schema` is no JSON Schema of an object.
    """
    if kind is OutputKind.FIELDS:
        return record_reader(schema)
    return text_reader if kind is OutputKind.TEXT else label_reader(labels)


def label_reader(labels: Sequence[str]) -> Reader:
    """Reads a label in any of the notations that `LabelReader` knows."""
    reader = LabelReader.of(tuple(labels))

    def read(text: str) -> Read:
        label = reader.read(text)
        return (label, None) if label is not None else (None, NOT_A_LABEL)

    return read


def record_reader(schema: Mapping[str, Any] | None) -> Reader:
    """Reads a JSON object that fits `schema` (any object without one), in canonical form."""
    if schema is not None and (fault := schema_fault(schema)):
        raise BadInput(f"The task's output schema cannot be used: {fault}.")
    problem_of = record_checker(schema) if schema is not None else None

    def read(text: str) -> Read:
        record = parse_record(text)
        if record is None or (problem_of is not None and problem_of(record) is not None):
            return None, INVALID
        return canonical(record, schema), None

    return read


def text_reader(text: str) -> Read:
    """Reads any text that is not empty."""
    bare = text.strip()
    return (bare, None) if bare else (None, EMPTY)
