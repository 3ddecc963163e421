"""replay: answers that were recorded before, from the traffic itself or from a file; asks nobody and costs nothing."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from metier.errors import BadInput
from metier.generalists.protocol import GeneralistAnswer, Question, Recorded, not_asked
from metier.generalists.reading import check_schemas, read_answer
from metier.progress import Progress, silent

# What files of recorded answers call their columns, first match wins.
ANSWER_KEYS = ("answer", "recorded", "response", "output", "label")
N = TypeVar("N", int, float)


@dataclass(frozen=True)
class Replay:
    """Answers by question id, then by input text; without a file, those that the traffic recorded.

    Questions without a recorded answer come back as "not asked".
    """

    model: str = ""
    by_id: Mapping[str, Recorded] | None = None
    by_input: Mapping[str, Recorded] | None = None
    condition: str = "as recorded"
    caveat: str = ""

    @property
    def name(self) -> str:
        return self.model or "recorded answers"

    def answer(self, questions: Sequence[Question], *, progress: Progress = silent) -> list[GeneralistAnswer]:
        check_schemas(questions)
        answers = [read_answer(question, _replayed(question, self._find(question))) for question in questions]
        progress("Reading recorded answers", len(answers), len(answers))
        return answers

    def _find(self, question: Question) -> Recorded | None:
        if self.by_id is None or self.by_input is None:
            return question.recorded
        return self.by_id.get(question.id) or self.by_input.get(question.input.strip())


def load_replay(path: Path, model: str = "") -> Replay:
    """Read a JSONL or CSV file (by its suffix .csv) with `id` and/or `input` and `answer` in every record.

    `input_tokens`, `output_tokens`, `latency_s` and `cost_usd` are read where present. Raises BadInput naming file and
    line where a record cannot be used or two records answer the same item differently.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file of recorded answers; set path in [generalist] to a JSONL or CSV file")
    by_id: dict[str, Recorded] = {}
    by_input: dict[str, Recorded] = {}
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _jsonl_rows(path)
    for number, row in rows:
        recorded = _recorded(row, f"{path} line {number}")
        ids = [(by_id, row.get("id")), (by_input, row.get("input"))]
        known = [(table, str(key).strip()) for table, key in ids if key not in (None, "")]
        if not known:
            raise BadInput(
                f"{path} line {number}: needs an 'id' or an 'input' to say which item it answers; has {sorted(row)}"
            )
        for table, key in known:
            if table.setdefault(key, recorded).text != recorded.text:
                raise BadInput(
                    f"{path} line {number}: answers {key[:60]!r} with {recorded.text[:60]!r}, an earlier line with "
                    f"{table[key].text[:60]!r}; keep one of them"
                )
    if not by_id and not by_input:
        raise BadInput(f"{path}: holds no recorded answer; each record needs 'id' or 'input', and 'answer'")
    return Replay(model=model, by_id=by_id, by_input=by_input)


def _replayed(question: Question, recorded: Recorded | None) -> GeneralistAnswer:
    if recorded is None:
        return not_asked(question)
    return GeneralistAnswer(
        question.id,
        recorded.text if recorded.text.strip() else None,
        None if recorded.text.strip() else "empty",
        recorded.input_tokens,
        recorded.output_tokens,
        recorded.latency_s,
        recorded.cost_usd,
        cached=True,
    )


def _csv_rows(path: Path) -> list[tuple[int, dict[str, object]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            return [(reader.line_num, dict(row)) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: not readable as CSV in UTF-8: {error}") from error


def _jsonl_rows(path: Path) -> list[tuple[int, dict[str, object]]]:
    rows = []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not readable as UTF-8: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadInput(f"{path} line {number}: not valid JSON: {error}") from error
        if not isinstance(row, dict):
            raise BadInput(
                f"{path} line {number}: holds {type(row).__name__}, needs an object with 'id' or 'input' and 'answer'"
            )
        rows.append((number, row))
    return rows


def _recorded(row: dict[str, object], where: str) -> Recorded:
    key = next((name for name in ANSWER_KEYS if row.get(name) is not None), None)
    if key is None:
        raise BadInput(
            f"{where}: has no answer; expected one of {', '.join(ANSWER_KEYS)}, found {sorted(map(str, row))}"
        )
    value = row[key]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Recorded(
        text,
        input_tokens=_number(row, "input_tokens", int, where),
        output_tokens=_number(row, "output_tokens", int, where),
        latency_s=_number(row, "latency_s", float, where),
        cost_usd=_number(row, "cost_usd", float, where),
    )


def _number(row: dict[str, object], name: str, kind: Callable[[str], N], where: str) -> N | None:
    given = row.get(name)
    if given in (None, ""):
        return None
    try:
        return kind(str(given))
    except ValueError:
        raise BadInput(f"{where}: {name} is {given!r}, not a number") from None
