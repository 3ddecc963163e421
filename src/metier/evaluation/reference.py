"""What "correct" is judged against: which test items have a truth, and what may be claimed where only the teacher spoke."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from metier.artefacts.datasets import Dataset
from metier.artefacts.evaluations import Basis
from metier.artefacts.tasks import OutputKind, Task
from metier.errors import NotEnoughData
from metier.evaluation.answers import Job
from metier.generalists.prompts import task_template

TEACHER = "teacher"


@dataclass(frozen=True)
class Reference:
    """The test items (`frame`, in stored order) and which of them the scores stand on.

    `judged` (n,) marks these items: all of them, or only those with a truth where the rest has the teacher's answers.
    `truth` says in words what they are judged against.
    """

    frame: pl.DataFrame
    basis: Basis
    judged: pl.Series
    truth: str
    notes: tuple[str, ...]

    @property
    def items(self) -> pl.DataFrame:
        """The judged items."""
        return self.frame.filter(self.judged)


def choose_reference(dataset: Dataset, min_truth_items: int) -> Reference:
    """Judge against truth where at least `min_truth_items` test items have one, or all do; else against the teacher.

    A label from a person, from feedback or from a simulator is a truth. Raises NotEnoughData where the test split is empty.
    """
    frame = dataset.split("test").filter(pl.col("output").is_not_null())
    if frame.is_empty():
        raise NotEnoughData(
            f"dataset of task {dataset.task_name!r} has no test item with a label; curate more examples"
        )
    has_truth = frame["provenance"].fill_null(TEACHER) != TEACHER
    n, n_truth = frame.height, int(has_truth.sum())
    described = _described(frame["provenance"].fill_null(TEACHER))
    if n_truth == n:
        return Reference(frame, "truth", has_truth, described, ())
    if n_truth >= max(min_truth_items, 1):
        note = (
            f"{n - n_truth:,} of {n:,} test items have only the teacher's answer; they cannot tell which side is right and "
            f"are left out of every score. Scores stand on the {n_truth:,} items with a truth, which people chose to "
            "judge: they need not be like the rest."
        )
        return Reference(frame, "truth", has_truth, f"{described}; judged on the {n_truth:,} with a truth", (note,))
    notes = [
        "The labels of the test items are the teacher's own recorded answers, so this shows agreement with the teacher, "
        "not accuracy: where the two differ, nobody has said which of them is right."
    ]
    if n_truth:
        notes.append(
            f"Only {n_truth:,} test items have a truth from people, feedback or a simulator; {min_truth_items:,} are "
            "needed for a comparison against truth (setting min_truth_items)."
        )
    return Reference(frame, "teacher", pl.Series(values=[True] * n, dtype=pl.Boolean), described, tuple(notes))


def label_set(dataset: Dataset, task: Task | None, reference: Reference) -> tuple[str, ...]:
    """Every label that an answer may be: the task's, those of train, and those of the test items."""
    known: Sequence[str] = (*(task.labels if task else ()), *dataset.classes, *reference.frame["output"].to_list())
    return tuple(sorted(set(known)))


def job_of(dataset: Dataset, task: Task | None, reference: Reference) -> Job:
    """What every candidate is asked for."""
    return Job(
        kind=dataset.kind,
        labels=label_set(dataset, task, reference) if dataset.kind is OutputKind.LABEL else (),
        schema=dataset.output_schema or (task.output_schema if task else None),
        template=task_template(task) or dataset.template,
    )


def unseen_labels(dataset: Dataset, items: pl.DataFrame) -> tuple[tuple[str, int], ...]:
    """Labels of `items` that never occur in train, most frequent first, with their counts."""
    unseen = items.filter(~pl.col("output").is_in(list(dataset.classes)))["output"].value_counts(name="n")
    rows = sorted(unseen.iter_rows(), key=lambda row: (-row[1], row[0]))
    return tuple((str(label), int(n)) for label, n in rows)


def _described(provenance: pl.Series) -> str:
    counts = sorted(provenance.value_counts(name="n").iter_rows(), key=lambda row: (-row[1], row[0]))
    if len(counts) == 1:
        return str(counts[0][0])
    return ", ".join(f"{source} {n / len(provenance):.0%} ({n:,} items)" for source, n in counts)
