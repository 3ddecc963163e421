"""The answers of a task, read as its kind of output asks: labels, records, or texts."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from metier.artefacts.tasks import OutputKind, Task
from metier.curation import labels, reasons
from metier.curation.labels import Answer
from metier.curation.records import read_records
from metier.metrics.boxed import last_box
from metier.metrics.records import normalised, parse_record
from metier.metrics.schemas import Schema

_LISTED = 10
_TEACHER = pl.col("provenance") == "teacher"


@dataclass(frozen=True)
class Reading:
    """How the answers of one task read.

    `answers` holds the answer in each text; `spelled` the one spelling of each (absent: as it is); `refused` outputs that
    only a model gave and that are no answer, and why. `answer_key`, `output_schema` and `notes` are the dataset's.
    """

    answers: Mapping[str | None, Answer]
    spelled: Mapping[str, str]
    refused: Mapping[str, str]
    answer_key: str | None = None
    output_schema: Schema | None = None
    notes: tuple[str, ...] = ()

    def output(self, text: str | None) -> str | None:
        """The output that a text says, in its one spelling; None where it says none."""
        said = self.answers[text].label
        return None if said is None else self.spelled.get(said, said)


def read_outputs(rows: pl.DataFrame, task: Task, max_label_chars: int) -> Reading:
    """Read all texts of `rows` (said, frontier, response; see verdicts) as the task's kind of output."""
    if task.kind is OutputKind.LABEL:
        return _labels(rows, max_label_chars)
    return _records(rows, task) if task.kind is OutputKind.FIELDS else _texts(rows)


def _each(rows: pl.DataFrame) -> list[str | None]:
    return pl.concat([rows["said"], rows["frontier"], rows["response"]]).unique().to_list()


def _labels(rows: pl.DataFrame, max_chars: int) -> Reading:
    answers = {text: labels.read_answer(text, max_chars) for text in _each(rows)}
    said = [label for text in rows["said"] if (label := answers[text].label) is not None]
    spelled = labels.merge_spellings(Counter(said))
    key = labels.usual_key(
        answers[text].key for text in rows.filter(~pl.col("is_record"))["frontier"] if answers[text].label
    )
    notes = []
    merged = sorted((old, new) for old, new in spelled.items() if old != new)
    if merged:
        n_merged = sum(spelled.get(label, label) != label for label in said)
        examples = ", ".join(f"{old!r} -> {new!r}" for old, new in merged[:_LISTED])
        notes.append(f"{n_merged:,} outputs respelled as the most frequent spelling of their label ({examples})")
    if key:
        notes.append(f"labels were read from the JSON key {key!r} of the answers")
    notes += _box_notes(rows["frontier"].drop_nulls())
    known = Reading(answers, spelled, {})
    usable = rows.filter(~pl.col("disowned")).with_columns(
        label=pl.col("said").map_elements(known.output, return_dtype=pl.String, skip_nulls=False)
    )
    usable = usable.filter(pl.col("label").is_not_null())
    teacher = Counter(usable.filter(_TEACHER)["label"].to_list())
    strays = labels.stray_labels(teacher, usable.filter(~_TEACHER)["label"].unique().to_list())
    return Reading(answers, spelled, dict.fromkeys(strays, reasons.STRAY_OUTPUT), key, None, tuple(notes))


def _box_notes(answers: pl.Series) -> list[str]:
    boxes = [(text, box) for text in answers if (box := last_box(text)) is not None]
    if not boxes:
        return []
    n_reasoned = sum(bool(text[: box.start].strip()) for text, box in boxes)
    told = (
        f"; {n_reasoned:,} of them reason before it, which of all students only lm can, with rationale = 'on'"
        if n_reasoned
        else ""
    )
    return [f"{len(boxes):,} labels were read from \\boxed{{}}{told}"]


def _records(rows: pl.DataFrame, task: Task) -> Reading:
    usable = rows.filter(pl.col("said").is_not_null() & ~pl.col("disowned"))
    read = read_records(
        _each(rows),
        usable["said"].to_list(),
        usable.select(~_TEACHER).to_series().to_list(),
        usable["parameters"].to_list(),
        task.output_schema,
    )
    notes = [f"JSON Schema of the records: {read.origin}"]
    if read.faults:
        told = "; ".join(f"{n:,} {fault}" for fault, n in read.faults)
        notes.append(f"records that do not fit it: {told}")
    return Reading(read.answers, {}, {}, None, read.schema, tuple(notes))


def _texts(rows: pl.DataFrame) -> Reading:
    answers = {text: _read_text(text) for text in _each(rows)}
    refused = {a.label: reasons.REFUSED for a in answers.values() if a.label is not None and labels.is_refusal(a.label)}
    return Reading(answers, {}, refused)


def _read_text(text: str | None) -> Answer:
    bare = unicodedata.normalize("NFC", (text or "").replace("\x00", "")).strip()
    return Answer(bare) if bare else Answer(None, reason=reasons.EMPTY_OUTPUT)


def vote_of(kind: OutputKind) -> Callable[[str], str]:
    """By what two answers to the same input are the same one: labels as they are, records after normalisation; texts
    always, as there are many good ones."""
    if kind is OutputKind.FIELDS:
        return _record_vote
    return (lambda _: "") if kind is OutputKind.TEXT else (lambda label: label)


def _record_vote(text: str) -> str:
    return normalised(parse_record(text) or {})
