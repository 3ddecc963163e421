"""A student and a generalist that write what a table says, and datasets of records and of texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA, Dataset
from metier.artefacts.estimates import not_scored
from metier.artefacts.specialists import Card, LanguageModel, Specialist
from metier.artefacts.tasks import OutputKind
from metier.generalists import GeneralistAnswer, Question
from metier.progress import Progress, silent
from metier.students import STUDENTS, Answers

SCHEMA = {
    "type": "object",
    "properties": {"company": {"type": "string"}, "total": {"type": "string"}, "date": {"type": "string"}},
    "required": ["company", "total"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Written:
    """What a student writes of one input."""

    text: str
    failure: str | None = None
    score: float = 0.9
    ood_score: float = 0.0


@dataclass(frozen=True)
class Writer:
    """A student in exported form that writes what its table says and remembers how many it was asked at once."""

    table: dict[str, Written]
    condition: str = "in the test, three cores"
    n_cores: int = 3
    batches: list[int] = field(default_factory=list)
    classes_: tuple[str, ...] = ()
    closed: list[bool] = field(default_factory=list)
    loaded_with: list[int] = field(default_factory=list)

    def close(self) -> None:
        self.closed.append(True)

    def load(self, folder: Path, threads: int = 1) -> Writer:
        self.loaded_with.append(threads)
        return self

    def predict(self, inputs: Sequence[str]) -> Answers:
        self.batches.append(len(inputs))
        rows = [self.table[text] for text in inputs]
        return Answers(
            np.array([row.text for row in rows], dtype=object),
            np.array([0.0 if row.failure else row.score for row in rows]),
            np.array([row.ood_score for row in rows]),
            np.zeros((len(rows), 0), dtype=np.float32),
            tuple(row.failure for row in rows),
            np.full(len(rows), 300),
            np.full(len(rows), 40),
        )


@dataclass(frozen=True)
class Scripted:
    """A generalist that writes what its table says (a failure where it says None) and remembers its questions."""

    table: dict[str, str | None]
    model: str = ""
    name: str = "general"
    condition: str = "in the test"
    caveat: str = ""
    asked: list[Question] = field(default_factory=list)

    def answer(self, questions: Sequence[Question], *, progress: Progress = silent) -> list[GeneralistAnswer]:
        self.asked.extend(questions)
        given = [self.table[one.input] for one in questions]
        return [
            GeneralistAnswer(one.id, text, None if text is not None else "timeout", 600, 50, 2.0, 0.0)
            for one, text in zip(questions, given, strict=True)
        ]


def dataset(kind: OutputKind, rows: Sequence[tuple[str, str, str | None]], **changes: object) -> Dataset:
    """Rows are (split, input, output); every two in turn are one group."""
    frame = pl.DataFrame(
        [
            {
                "id": f"{split}{k}",
                "input": text,
                "output": output,
                "provenance": "human",
                "split": split,
                "group": f"g{k // 2}",
            }
            for k, (split, text, output) in enumerate(rows)
        ]
    )
    return Dataset(
        task_id="t",
        task_name="receipts",
        kind=kind,
        classes=(),
        split_rule="",
        ood_source="",
        contradictions=(),
        warnings=(),
        examples=frame.match_to_schema(EXAMPLE_SCHEMA, missing_columns="insert"),
        removed=pl.DataFrame(schema=REMOVED_SCHEMA),
        output_schema=SCHEMA if kind is OutputKind.FIELDS else None,
        **changes,  # type: ignore[arg-type]
    )


@pytest.fixture
def kit() -> SimpleNamespace:
    """The fakes, for tests that fill their own tables."""
    return SimpleNamespace(Written=Written, Writer=Writer, Scripted=Scripted, dataset=dataset, SCHEMA=SCHEMA)


@pytest.fixture
def specialist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[OutputKind, Writer], Specialist]:
    """Makes a specialist that writes what a Writer says."""

    def make(kind: OutputKind, writer: Writer) -> Specialist:
        monkeypatch.setitem(STUDENTS, "writer", writer)  # type: ignore[arg-type]
        model = LanguageModel(
            "", "", "keep", 9, 9, 9, 9, math.nan, "", "full", math.nan, math.nan, 1, (("q8_0", 1),), "q8_0", ""
        )
        card = Card(
            "writer",
            "t",
            "receipts",
            (),
            "",
            "",
            1,
            1,
            "",
            "",
            1,
            1.0,
            not_scored(),
            {},
            kind=kind,
            language_model=model,
        )
        return Specialist(card, None, tmp_path)

    return make
