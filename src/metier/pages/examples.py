"""A few answers side by side: those that the best specialist got wrong first, field by field where they are records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from metier.artefacts.datasets import Dataset
from metier.artefacts.evaluations import Evaluation
from metier.artefacts.tasks import OutputKind
from metier.metrics.records import is_absent, parse_record, same_value
from metier.pages.content import Example, ExampleCell, ExampleRow
from metier.pages.text import clip
from metier.pages.verdict import leading_specialist

N_WRONG, N_RIGHT = 4, 2
INPUT_CHARS = 700
_VALUE_CHARS = 220
_TEXT_CHARS = 600
ABSENT = "–"

Answer = dict[str, Any]


def examples_of(evaluation: Evaluation, dataset: Dataset | None) -> tuple[Example, ...]:
    """Up to four test items that the leading specialist answered wrongly, and two that it answered rightly; none for
    labels."""
    leader = leading_specialist(evaluation)
    if evaluation.kind is OutputKind.LABEL or leader is None:
        return ()
    judged = evaluation.answers.filter((pl.col("split") == "test") & pl.col("correct").is_not_null())
    ours = judged.filter(candidate=leader.name)
    wrong = ours.filter(~pl.col("correct")).head(N_WRONG)
    chosen = pl.concat([wrong, ours.filter("correct").head(N_RIGHT)])
    inputs = dict(dataset.examples.select("id", "input").iter_rows()) if dataset is not None else {}
    return tuple(
        _example(row, judged.filter(id=row["id"]).to_dicts(), evaluation, str(inputs.get(row["id"], "")))
        for row in chosen.iter_rows(named=True)
    )


def _example(row: Answer, answers: Sequence[Answer], evaluation: Evaluation, text: str) -> Example:
    others = (item.name for item in evaluation.candidates if item.name != row["candidate"])
    names = (str(row["candidate"]), *others)
    by_name = {answer["candidate"]: answer for answer in answers}
    given = [by_name.get(name) for name in names]
    records = evaluation.kind is OutputKind.FIELDS
    return Example(
        id=str(row["id"]),
        input=_shortened(text),
        n_chars=len(text),
        candidates=names,
        rows=_record_rows(str(row["output"]), given) if records else _text_rows(str(row["output"]), given),
    )


def _record_rows(expected: str, given: Sequence[Answer | None]) -> tuple[ExampleRow, ...]:
    wanted = parse_record(expected) or {}
    records = [
        None if answer is None or answer["failure"] else parse_record(answer["answer"] or "") for answer in given
    ]
    names = dict.fromkeys([*wanted, *(name for record in records if record for name in record)])
    rows = [
        ExampleRow(name, _value(wanted.get(name)), tuple(_field_cell(record, wanted, name) for record in records))
        for name in names
    ]
    failed = tuple(_failure_cell(answer) for answer in given)
    if any(cell.text != ABSENT for cell in failed):
        rows.append(ExampleRow("what went wrong", ABSENT, failed))
    return tuple(rows)


def _text_rows(expected: str, given: Sequence[Answer | None]) -> tuple[ExampleRow, ...]:
    cells = tuple(_text_cell(answer) for answer in given)
    return (ExampleRow("text", clip(expected, _TEXT_CHARS), cells),)


def _field_cell(record: dict[str, Any] | None, wanted: dict[str, Any], name: str) -> ExampleCell:
    if record is None:
        return ExampleCell(ABSENT, False)
    return ExampleCell(_value(record.get(name)), same_value(record.get(name), wanted.get(name)))


def _failure_cell(answer: Answer | None) -> ExampleCell:
    if answer is None:
        return ExampleCell("not asked", True)
    if answer["failure"] is None:
        return ExampleCell(ABSENT, True)
    wrote = f": {clip(answer['answer'], _VALUE_CHARS)}" if answer["answer"] else ""
    return ExampleCell(f"{answer['failure']}{wrote}", False)


def _text_cell(answer: Answer | None) -> ExampleCell:
    if answer is None:
        return ExampleCell("not asked", True)
    text = clip(answer["answer"] or "", _TEXT_CHARS)
    if answer["failure"] is not None:
        return ExampleCell(f"{answer['failure']}: {text}" if text else answer["failure"], False)
    return ExampleCell(text, bool(answer["correct"]))


def _value(value: object) -> str:
    """A value as people read it."""
    if is_absent(value):
        return ABSENT
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return clip("; ".join(_value(item) for item in value), _VALUE_CHARS)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return clip(text, _VALUE_CHARS)


def _shortened(text: str) -> str:
    """A long input: its beginning and its end, with its lines."""
    if len(text) <= INPUT_CHARS:
        return text
    tail = INPUT_CHARS // 3
    return f"{text[: INPUT_CHARS - tail].rstrip()}\n[…]\n{text[-tail:].lstrip()}"
