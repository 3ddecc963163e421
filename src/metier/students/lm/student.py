"""The student `lm`: a small language model with its vocabulary cut to the task, tuned, quantised, answering as GGUF."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pydantic import TypeAdapter

from metier.artefacts.tasks import OutputKind
from metier.errors import MissingExtra
from metier.progress import Progress
from metier.students.base import (
    LABEL_TASK,
    FitSummary,
    LabelledTexts,
    Option,
    Reads,
    TaskSpec,
    classes_of,
    merged_options,
)
from metier.students.exports import done_summary, recipe_of
from metier.students.lm.last_texts import refit_texts
from metier.students.lm.notation import compacted
from metier.students.lm.parts import Base
from metier.students.lm.predictor import LmPredictor
from metier.students.lm.reasoned import answered, rationales_digest, with_rationales
from metier.students.lm.settings import LmSettings
from metier.students.lm.varying import variants_of
from metier.students.lm.viewed import ViewedPredictor, read_texts
from metier.students.viewing import find_view, use_of_task

DEFAULTS: dict[str, Option] = LmSettings().options()
_NAME = "lm"
_WORK = "work"  # the phases' results; removed when the folder is complete
_NEEDED = {"train": ("torch", "transformers", "peft", "gguf"), "lm": ("xllamacpp",)}


@dataclass(frozen=True)
class LmStudent:
    """See the module; `fit` and `load` keep the contract of `students.base.Student`."""

    name: str = _NAME
    kinds: frozenset[OutputKind] = frozenset({OutputKind.LABEL, OutputKind.FIELDS, OutputKind.TEXT})
    reads: Reads = "either"

    def fit(
        self,
        train: LabelledTexts,
        tune: LabelledTexts,
        folder: Path,
        *,
        seed: int,
        progress: Progress,
        options: Mapping[str, Option],
        task: TaskSpec = LABEL_TASK,
    ) -> FitSummary:
        """Train and export; options are the fields of `LmSettings`. Killed, it goes on in the phase that it was in. Where
        the task has a view, the model reads its text in place of the inputs.

        Raises LicenceNotAccepted, of the base or of its teacher, before anything is fetched, MissingExtra, BadInput,
        NotEnoughData, TrainingFailed (where memory or disk do not suffice, too), and ExportFailed where no build answers as
        well as the model it was made from.
        """
        chosen = merged_options(options, DEFAULTS, self.name)
        settings = LmSettings.of_options(chosen)
        recipe = _recipe(train, tune, seed, settings, task)
        if (done := done_summary(folder, recipe)) is not None:
            shutil.rmtree(folder / _WORK, ignore_errors=True)  # a kill may have come after the last file, before this
            return done
        _need_extras()
        from metier.students.lm.tuning.memory import LastSaid, enough_memory

        said = LastSaid(progress, "Reading the examples")
        with enough_memory(said):
            return _fit(train, tune, folder, seed, said, settings, task, recipe)

    def tune_accuracy(
        self,
        train: LabelledTexts,
        tune: LabelledTexts,
        folder: Path,
        *,
        seed: int,
        progress: Progress,
        options: Mapping[str, Option],
        task: TaskSpec = LABEL_TASK,
    ) -> float:
        """Share of the tune split that the served build of a training of its own gets right; `folder` is empty again."""
        alone = {**options, "refit": "off"}
        summary = self.fit(train, tune, folder, seed=seed, progress=progress, options=alone, task=task)
        shutil.rmtree(folder)
        return summary.tune_accuracy

    def load(self, folder: Path, threads: int = 1, parallel: int = 4) -> LmPredictor | ViewedPredictor:
        """The served build on `threads` cores (0: all), `parallel` answers at a time. Raises BadArtefact naming the file
        that is wrong, MissingExtra."""
        from metier.students.lm.finishing import load_lm

        return load_lm(folder, threads, parallel)


def _fit(
    train: LabelledTexts,
    tune: LabelledTexts,
    folder: Path,
    seed: int,
    progress: Progress,
    settings: LmSettings,
    task: TaskSpec,
    recipe: str,
) -> FitSummary:
    from metier.students.lm.finishing import finish
    from metier.students.lm.learning import learn
    from metier.students.lm.phases import open_phases
    from metier.students.lm.teacher import find_models
    from metier.students.lm.training import Job, context_of

    notes: tuple[str, ...] = ()
    if task.view is not None:
        view = find_view(task.view)
        learn_read, tune_read = (
            read_texts(view, task.kind, texts, split, progress) for texts, split in ((train, "train"), (tune, "tune"))
        )
        train, tune, notes = learn_read.texts, tune_read.texts, (*learn_read.notes, *tune_read.notes)
    is_reasoned = _is_reasoned(settings, task)
    if is_reasoned:
        train, left_out = with_rationales(train)
        notes = (*notes, *left_out)
    classes = classes_of(train) if task.kind is OutputKind.LABEL else ()
    if is_reasoned:
        train, tune = answered(train), answered(tune)
    variants, varied = _variants(train, task, settings, seed)
    last = _last(train, tune, task, settings, seed, is_varied=bool(len(variants)))
    notes = (*notes, *varied)
    if task.kind is OutputKind.FIELDS:
        train, tune, variants, last = map(compacted, (train, tune, variants, last))
    progress("Reading the base model", 0, None)
    base, teacher = find_models(settings, train, progress)
    phases = open_phases(folder / _WORK, _recipe_of_work(recipe, base, teacher, variants, last))
    n_context = context_of(settings, base)
    job = Job(
        train,
        tune,
        task,
        classes,
        settings,
        seed,
        phases,
        progress,
        n_context,
        is_reasoned,
        variants,
        teacher,
        last,
    )
    summary = finish(job, learn(job, base), folder, recipe, notes)
    shutil.rmtree(folder / _WORK)
    return summary


def _recipe(train: LabelledTexts, tune: LabelledTexts, seed: int, settings: LmSettings, task: TaskSpec) -> str:
    told = TypeAdapter(TaskSpec).dump_json(task)
    options: dict[str, Option] = {**settings.shaping(), "task": hashlib.sha256(told).hexdigest()}
    if _is_reasoned(settings, task):
        options["rationales"] = rationales_digest(train, tune)
    return recipe_of(_NAME, train, tune, seed, options, use_of_task(task))


def _is_reasoned(settings: LmSettings, task: TaskSpec) -> bool:
    return task.kind is OutputKind.LABEL and settings.rationale == "on"


def _variants(
    train: LabelledTexts, task: TaskSpec, settings: LmSettings, seed: int
) -> tuple[LabelledTexts, tuple[str, ...]]:
    if settings.variants == "off" or task.kind is not OutputKind.FIELDS or task.output_schema is None:
        return train.take([]), ()
    return variants_of(train, task.output_schema, (settings.passes(is_varied=True) - 1) * settings.trainings, seed)


def _last(
    train: LabelledTexts, tune: LabelledTexts, task: TaskSpec, settings: LmSettings, seed: int, is_varied: bool
) -> LabelledTexts:
    """What is learnt from when all is chosen; nothing where the settings want none."""
    by_itself = task.kind is OutputKind.FIELDS and not settings.teacher
    if settings.refit == "off" or (settings.refit == "auto" and not by_itself):
        return train.take([])
    if _is_reasoned(settings, task):
        # The label alone would teach not to reason; for the score it does.
        tune = tune.take([place for place, told in enumerate(tune.rationales or ()) if told])
    if not len(tune):
        return train.take([])
    return refit_texts(train, tune, settings.passes(is_varied), seed, task.output_schema if is_varied else None)


def _recipe_of_work(recipe: str, base: Base, teacher: Base | None, variants: LabelledTexts, last: LabelledTexts) -> str:
    """A base or a teacher that was changed under its name, and variants made in another way, make another model: work done
    with the old ones is not gone on with."""
    told = [recipe, base.sha256, *([] if teacher is None else [teacher.sha256]), variants.inputs, variants.labels]
    told += [last.inputs, last.labels]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _need_extras() -> None:
    for extra, packages in _NEEDED.items():
        if any(find_spec(package) is None for package in packages):
            raise MissingExtra(extra, "Training the student 'lm'")
