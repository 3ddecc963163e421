"""Exams: files of questions with the answers that are accepted, in the forms that benchmarks are handed out in.

A JSON array or JSON lines of {question, answer}, a CSV file with such columns, or a pair of files: questions with ids,
targets with ids. Names of columns and encodings are found; what cannot be used is set aside with the reason, never dropped.
"""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metier.errors import BadInput, NotFound
from metier.metrics.boxed import last_box
from metier.sources.decoding import decode
from metier.sources.detection import READERS, detect
from metier.sources.outcomes import Rejected
from metier.sources.streams import open_stream

QUESTION_NAMES = ("question", "questions", "prompt", "input", "query", "text", "messages", "conversation")
ANSWER_NAMES = (
    "answer", "answers", "target", "targets", "truth", "groundtruth", "correctanswer", "solution", "label", "output",
    "expected",
)  # fmt: skip
ID_NAMES = ("id", "questionid", "qid", "uid", "index", "idx", "no", "number")
# A question with two tables is some kilobytes; what is a thousand times that is no question.
_MAX_RECORD_BYTES = 1 << 24
_SHOWN = 5
_FEWEST_BREAKS = 5
_NOT_NAME = re.compile(r"[^a-z0-9]+")
# Short labels between separators are several accepted answers; a sentence with a comma in it is one.
_LABEL = r"\s*(?:[A-Za-z]{0,2}\d{1,3}|[A-Za-z])\s*"
_SEVERAL = re.compile(rf"{_LABEL}(?:[|;,/]{_LABEL})+")
_SEPARATORS = re.compile(r"[|;,/]")
# Submissions ask each question several times and number the copies.
_COPY = re.compile(r"_\d+$")


@dataclass(frozen=True)
class ExamQuestion:
    """One question: its id, text, the answers that are accepted, and where it stands (file and line)."""

    id: str
    text: str
    accepted: tuple[str, ...]
    place: str


@dataclass(frozen=True)
class SetAside:
    """One record that is not scored: where it stands, `reason` to count by, and what was found."""

    place: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Exam:
    """What was read: questions in their order, and what was set aside; `n_records` counts those of the questions' file."""

    questions: tuple[ExamQuestion, ...]
    aside: tuple[SetAside, ...]
    n_records: int


@dataclass(frozen=True)
class _Record:
    place: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class _Columns:
    """The names that a file gives to what is looked for; None where it has none."""

    id: str | None
    question: str | None
    answer: str | None


def read_exam(path: Path, targets: Path | None = None, encoding: str | None = None) -> Exam:
    """The questions of `path` with their accepted answers, which stand beside them or, by id, in the file `targets`.

    Raises NotFound where a file does not exist, BadInput where it holds no questions, no answers, or no ids to pair by.
    """
    records, aside = _records(path, encoding)
    if not records and aside:
        why = "; ".join(f"{reason}, {n:,} times, first {places[0]}" for reason, n, places in reasons(aside))
        raise BadInput(f"{path}: not one record can be read: {why}.")
    columns = _columns(records)
    if columns.question is None:
        raise BadInput(
            f"{path}: no column holds the questions ({', '.join(QUESTION_NAMES[:3])}, …); found {_names(records)}."
        )
    if targets is None and columns.answer is None:
        raise BadInput(
            f"{path}: no column holds the answers ({', '.join(ANSWER_NAMES[:3])}, …); found {_names(records)}. Where they "
            "stand in a file of their own, name it with --targets FILE."
        )
    questions, more = _questions(records, columns, paired=targets is not None)
    aside = [*aside, *more]
    if targets is not None:
        if columns.id is None:
            raise BadInput(f"{path}: targets are found by id, but there is no column 'id'; found {_names(records)}.")
        questions, more = _paired(questions, path, targets, encoding)
        aside += more
    if not questions:
        counts = ", ".join(sorted({item.reason for item in aside}))
        raise BadInput(f"{path}: not one of {len(records):,} records can be scored ({counts or 'the file is empty'}).")
    return Exam(tuple(questions), tuple(aside), len(records))


def accepted_answers(value: object) -> tuple[str, ...]:
    """What an answer's cell accepts: "C3", 3, "3.0", "\\boxed{C3}", a list of these, or several short labels between
    commas, bars, slashes or semicolons. Empty where there is no answer."""
    if value is None or isinstance(value, bool | dict):
        return ()
    if isinstance(value, list | tuple):
        return tuple(dict.fromkeys(one for item in value for one in accepted_answers(item)))
    if isinstance(value, float):
        return () if value != value else (str(int(value)) if value.is_integer() else str(value),)
    text = str(value).strip()
    if box := last_box(text):
        text = box.content
    if text.startswith("[") and isinstance(listed := _list(text), list):
        return accepted_answers(listed)
    if _SEVERAL.fullmatch(text):
        return accepted_answers([part.strip() for part in _SEPARATORS.split(text)])
    if re.fullmatch(r"\d+\.0+", text):
        text = text.partition(".")[0]
    return (text,) if text and text.casefold() not in ("nan", "none", "null") else ()


def question_text(value: object) -> str:
    """The question in a cell: a text, or the last user's turn of a chat (as such, or written as JSON). Empty without one.

    A table in one line with line ends spelt out, as some writers of CSV leave them, gets them back.
    """
    if isinstance(value, str):
        if value.lstrip()[:1] in ("[", "{") and (said := _turn(_list(value.strip()))):
            return said
        # One backslash and n may be TeX; a table in one line is none.
        in_one_line = "\n" not in value.strip() and min(value.count("|"), value.count("\\n")) >= _FEWEST_BREAKS
        return value.replace("\\r\\n", "\n").replace("\\n", "\n") if in_one_line else value
    return _turn(value)


def _turn(chat: object) -> str:
    """What the user said last in a chat: its messages, an object that has them, or one message."""
    if isinstance(chat, dict):
        chat = chat.get("messages", [chat])
    turns = [one for one in chat if isinstance(one, dict)] if isinstance(chat, list) else []
    said = [one.get("content") for one in turns if one.get("role", "user") == "user"]
    content = said[-1] if said else None
    if isinstance(content, list):
        content = "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and "text" in part)
    return content if isinstance(content, str) else ""


def _list(text: str) -> object:
    """A list or an object written into a cell, as JSON or as Python writes it."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def _records(path: Path, encoding: str | None) -> tuple[list[_Record], list[SetAside]]:
    if not path.is_file():
        raise NotFound(f"{path} does not exist (or is no file).")
    size = path.stat().st_size
    # The name of a format spares looking for that of a log.
    layout = detect(path, size, _MAX_RECORD_BYTES, format="records", encoding=encoding)
    if layout.empty:
        raise BadInput(f"{path} is empty.")
    records, aside = [], []
    with open_stream(path, size, encoding) as stream:
        for item in READERS[layout.reader](stream, _MAX_RECORD_BYTES):
            place = f"{path.name} line {item.line}"
            found = item.problem or (item.row if item.row is not None else decode(item.data))
            if isinstance(found, dict):
                records.append(_Record(place, found))
            elif isinstance(found, Rejected):
                aside.append(SetAside(place, found.reason, found.detail))
            else:
                aside.append(SetAside(place, "no object", f"found {type(found).__name__}"))
    return records, aside


def _columns(records: Sequence[_Record]) -> _Columns:
    """The columns by name; the first records tell, as JSON records may lack some."""
    names = list(dict.fromkeys(name for record in records[:100] for name in record.values))
    folded = {_NOT_NAME.sub("", str(name).casefold()): name for name in reversed(names)}

    def find(wanted: Sequence[str]) -> str | None:
        return next((folded[name] for name in wanted if name in folded), None)

    return _Columns(find(ID_NAMES), find(QUESTION_NAMES), find(ANSWER_NAMES))


def _names(records: Sequence[_Record]) -> str:
    names = dict.fromkeys(str(name) for record in records[:100] for name in record.values)
    return ", ".join(repr(name) for name in list(names)[:15]) or "no columns"


def _questions(
    records: Sequence[_Record], columns: _Columns, *, paired: bool
) -> tuple[list[ExamQuestion], list[SetAside]]:
    """Questions with an id each; of an id that several have, only what can be told apart is kept."""
    found: dict[str, list[ExamQuestion]] = defaultdict(list)
    aside = []
    for number, record in enumerate(records, 1):
        text = question_text(record.values.get(columns.question or ""))
        accepted = accepted_answers(record.values.get(columns.answer)) if columns.answer is not None else ()
        id = _id(record, columns) or ("" if paired else f"row {number}")
        if not text.strip():
            aside.append(SetAside(record.place, "no question"))
        elif not id:
            aside.append(SetAside(record.place, "no id"))
        elif not accepted and not paired:
            aside.append(SetAside(record.place, "no answer"))
        else:
            found[id].append(ExamQuestion(id, text, accepted, record.place))
    kept = []
    for id, ones in found.items():
        differ = len({one.text for one in ones}) > 1
        # A target found by id could be meant for any of them.
        ambiguous = paired and differ
        reason = "one id, several questions" if differ else "repeated question"
        aside += [SetAside(one.place, reason, f"id {id!r}") for one in ones[0 if ambiguous else 1 :]]
        kept += [] if ambiguous else ones[:1]
    return kept, aside


def _paired(
    questions: Sequence[ExamQuestion], path: Path, targets: Path, encoding: str | None
) -> tuple[list[ExamQuestion], list[SetAside]]:
    """The questions that have one target, with it; all others, and targets of no question, are set aside."""
    given, aside = _targets(targets, {question.id for question in questions}, encoding)
    if questions and given and not any(question.id in given for question in questions):
        theirs = ", ".join(repr(id) for id in list(given)[:_SHOWN])
        ours = ", ".join(repr(question.id) for question in questions[:_SHOWN])
        raise BadInput(f"not one id of {targets} ({theirs}, …) is an id of {path} ({ours}, …). Are they of one pair?")
    kept = []
    for question in questions:
        accepted = {one.accepted: one.place for one in given.pop(question.id, ())}
        if question.accepted:
            accepted.setdefault(question.accepted, question.place)
        if not accepted:
            aside.append(SetAside(question.place, "no target", f"id {question.id!r}"))
        elif len(accepted) > 1:
            places = ", ".join(accepted.values())
            aside.append(SetAside(question.place, "different targets", f"id {question.id!r}: {places}"))
        else:
            kept.append(ExamQuestion(question.id, question.text, next(iter(accepted)), question.place))
    lost = [one for several in given.values() for one in several]
    aside += [SetAside(one.place, "target of no question", f"id {one.id!r}") for one in lost]
    return kept, aside


def _targets(path: Path, ids: set[str], encoding: str | None) -> tuple[dict[str, list[ExamQuestion]], list[SetAside]]:
    """Targets by the id of their question."""
    records, aside = _records(path, encoding)
    columns = _columns(records)
    if columns.id is None:
        raise BadInput(f"{path}: targets need an id and an answer; found the columns {_names(records)}.")
    answer = columns.answer or _other_column(path, records, columns.id)
    found: dict[str, list[ExamQuestion]] = defaultdict(list)
    for record in records:
        id, accepted = _id(record, columns), accepted_answers(record.values.get(answer))
        if not id or not accepted:
            aside.append(SetAside(record.place, "no id" if not id else "target without an answer"))
            continue
        base = _COPY.sub("", id)
        id = base if id not in ids and base in ids else id
        found[id].append(ExamQuestion(id, "", accepted, record.place))
    return found, aside


def _other_column(path: Path, records: Sequence[_Record], id: str) -> str:
    """The only column beside the id. Raises BadInput where there is none, or several that could hold the answers."""
    names = [name for name in dict.fromkeys(name for record in records[:100] for name in record.values) if name != id]
    if not names:
        raise BadInput(f"{path}: targets need an id and an answer; found the columns {_names(records)}.")
    if len(names) > 1:
        shown = ", ".join(repr(str(name)) for name in names[:15])
        raise BadInput(f"{path}: which of the columns {shown} holds the answers? Call that one 'answer'.")
    return names[0]


def _id(record: _Record, columns: _Columns) -> str:
    value = record.values.get(columns.id) if columns.id is not None else None
    if value is None or isinstance(value, bool | dict | list):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def reasons(aside: Sequence[SetAside]) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Each reason, most frequent first, with how often it was met and the first places."""
    by_reason: dict[str, list[SetAside]] = defaultdict(list)
    for item in aside:
        by_reason[item.reason].append(item)
    for reason, items in sorted(by_reason.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        shown = (f"{item.place}{f' ({item.detail})' if item.detail else ''}" for item in items[:_SHOWN])
        yield reason, len(items), tuple(shown)
