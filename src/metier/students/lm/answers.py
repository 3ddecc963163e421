"""What a generated answer says: the answer in the task's form, or why it is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metier.artefacts.tasks import OutputKind
from metier.metrics.generation import CUT_OFF, DEGENERATE, INVALID, TOO_LONG, is_degenerate
from metier.metrics.grounding import count_ungrounded
from metier.metrics.records import canonical, parse_record
from metier.metrics.schemas import record_checker
from metier.students.base import TaskSpec
from metier.students.lm.parts import Constraint, Generated, Span
from metier.students.lm.reasoned import concluded


@dataclass(frozen=True)
class ReadAnswer:
    """`text` in the task's form (of `fields` the canonical record), or as it was written beside a `failure`; `grounded` is
    the share of its values that stand in the input, 1 where it holds none that must."""

    text: str
    failure: str | None
    grounded: float = 1.0


@dataclass(frozen=True)
class AnswerReader:
    """Reads answers of one task. `boxed` are the classes of a label task whose answers reason and then box one of them."""

    kind: OutputKind
    schema: Mapping[str, Any] | None
    check: Callable[[Any], str | None]
    boxed: tuple[str, ...] = ()

    def conclusion(self, text: str) -> str | None:
        """What an answer comes to: its box where it reasons (None without one), else all of it."""
        return concluded(text) if self.boxed else text

    def read(self, answer: Generated, source: str) -> ReadAnswer:
        """What `answer`, written to the input `source`, says."""
        if (failure := _unfinished(answer)) is not None:
            return ReadAnswer(answer.text, failure)
        if self.boxed:
            return self._read_box(answer.text)
        if self.kind is OutputKind.LABEL:
            return ReadAnswer(answer.text, None)
        if self.kind is OutputKind.TEXT:
            return ReadAnswer(answer.text, None if answer.text.strip() else INVALID)
        return self._read_record(answer.text, source)

    def _read_box(self, text: str) -> ReadAnswer:
        label = concluded(text)
        return ReadAnswer(text, INVALID) if label is None or label not in self.boxed else ReadAnswer(label, None)

    def _read_record(self, text: str, source: str) -> ReadAnswer:
        record = parse_record(text)
        if record is None or self.check(record) is not None:
            return ReadAnswer(text, INVALID)
        made_up, given = count_ungrounded(record, source, self.schema)
        return ReadAnswer(canonical(record, self.schema), None, 1 - made_up / given if given else 1.0)


def reader_of(task: TaskSpec, boxed: tuple[str, ...] = ()) -> AnswerReader:
    """The reader of a task's answers; `boxed` as in AnswerReader."""
    schema = task.output_schema if task.kind is OutputKind.FIELDS else None
    return AnswerReader(task.kind, schema, record_checker(schema) if schema is not None else lambda _: None, boxed)


def constraint_of(
    task: TaskSpec, classes: tuple[str, ...], copied: tuple[Span, ...] = (), *, is_compact: bool = True
) -> Constraint:
    """What an answer of the task may be; of a record, which fields are copied from the input, and its notation."""
    if task.kind is OutputKind.LABEL:
        return Constraint(labels=classes)
    if task.kind is OutputKind.FIELDS:
        return Constraint(schema=task.output_schema, copied=copied, is_compact=is_compact)
    return Constraint()


def _unfinished(answer: Generated) -> str | None:
    if answer.finish == "too long":
        return TOO_LONG
    if answer.finish == "loop":
        return DEGENERATE
    if answer.finish == "length":
        return DEGENERATE if is_degenerate(answer.text, hit_limit=True) else CUT_OFF
    return None
