"""The exported specialist: its folder, what it says of itself, and how it is loaded again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metier.artefacts.specialists import LanguageModel
from metier.artefacts.tasks import OutputKind
from metier.machine import usable_cores
from metier.students.base import FitSummary, TaskSpec
from metier.students.exports import read_meta, versions_of, write_meta
from metier.students.lm.bases.origins import origin_of
from metier.students.lm.building import (
    BUILDS_FOLDER,
    PARALLEL,
    Built,
    built_path,
    choose_copying,
    file_of,
    make_builds,
)
from metier.students.lm.copying import stored_span
from metier.students.lm.describing import ADAPTERS, MODEL_FOLDER, size_of, write_cards
from metier.students.lm.exporting import copy_adapter
from metier.students.lm.held_out import HELD_OUT_FILE
from metier.students.lm.keeping import read_answers
from metier.students.lm.learning import Learnt
from metier.students.lm.predictor import LmPredictor, asking_of
from metier.students.lm.prompts import form_from_json, form_to_json
from metier.students.lm.refitting import Refit, refit
from metier.students.lm.scoring import (
    FOREIGNNESS_FILE,
    WRITTEN_FILE,
    Scoring,
    fit_scoring,
    read_foreignness,
    score_from,
    scoring_path,
)
from metier.students.lm.standing import Standing, adapters_beside
from metier.students.lm.training import Job
from metier.students.lm.viewed import ViewedPredictor
from metier.students.viewing import opened_view, stored_view, use_of_task

_PACKAGES = ("torch", "transformers", "peft", "gguf", "xllamacpp", "tokenizers", "safetensors", "numpy")
_FOLDERS = (MODEL_FOLDER, *ADAPTERS)


def finish(job: Job, learnt: Learnt, folder: Path, recipe: str, notes: tuple[str, ...] = ()) -> FitSummary:
    """Export the model with all its builds into `folder`, fit the score, write meta.json last. `notes` are on the examples
    that came to nothing before the training."""
    built = make_builds(
        job, learnt.base, learnt.asking, learnt.folder, Standing(learnt.trimmed.folder, learnt.adapters)
    )
    copying = choose_copying(job, learnt.asking, built.served)
    asking = learnt.asking.copying(copying.fields)
    scoring = fit_scoring(job, asking, built.served)
    last = refit(job, learnt, asking, built, read_answers(scoring_path(job, WRITTEN_FILE)))
    built = last.built
    for name in (*_FOLDERS, BUILDS_FOLDER):
        shutil.rmtree(folder / name, ignore_errors=True)
    _bring(last.model, folder / MODEL_FOLDER)
    (folder / BUILDS_FOLDER).mkdir()
    for build, _ in built.sizes:
        _link(built_path(job, build, built.stem), folder / file_of(build))
    on_top = adapters_beside(built_path(job, built.served, built.stem))
    for path in on_top:
        _link(path, folder / BUILDS_FOLDER / path.name)
    adapters = [f"{BUILDS_FOLDER}/{path.name}" for path in on_top]
    tuned = (learnt.tuned.adapter, learnt.preference_adapter, last.adapter)
    base = origin_of(learnt.base).path
    for adapter, name in zip(tuned, ADAPTERS, strict=True):
        if adapter is not None:
            copy_adapter(adapter, folder / name, base=base, revision=learnt.base.revision)
    _link(scoring_path(job, FOREIGNNESS_FILE), folder / FOREIGNNESS_FILE)
    (folder / HELD_OUT_FILE).unlink(missing_ok=True)
    if last.is_kept:
        _link(scoring_path(job, HELD_OUT_FILE), folder / HELD_OUT_FILE)
    told = (*notes, copying.story) if copying.story else notes
    summary = _summary(job, learnt, built, scoring, folder, told, last)
    write_cards(folder, job, learnt, last, summary)
    exported = sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not path.is_relative_to(job.phases.folder) and path.name != "meta.json"
    )
    return write_meta(
        folder,
        exported,
        recipe,
        summary,
        answers_from=(file_of(built.served), *adapters, FOREIGNNESS_FILE),
        kind=job.task.kind.value,
        output_schema=job.task.output_schema,
        form=form_to_json(learnt.asking.form),
        n_context=job.n_context,
        max_output_tokens=learnt.asking.max_output_tokens,
        copied=[asdict(span) for span in copying.fields],
        is_reasoned=job.is_reasoned,
        is_compact=learnt.asking.constraint.is_compact,
        served=file_of(built.served),
        adapters=adapters,
        score=asdict(scoring.score),
        view=stored_view(summary.view),
    )


def load_lm(folder: Path, threads: int, parallel: int = PARALLEL) -> LmPredictor | ViewedPredictor:
    """The exported student of a folder. Raises BadArtefact naming the file that is missing or altered, or where the view
    that it reads through is not the one that it was trained with; MissingExtra."""
    meta = read_meta(folder, "lm")
    # Specialists from before there were views say nothing of one.
    view = opened_view(meta["view"], folder) if meta.get("view") is not None else None
    predictor = _predictor(folder, meta, threads, parallel)
    return predictor if view is None else ViewedPredictor(view, predictor)


def _predictor(folder: Path, meta: Mapping[str, Any], threads: int, parallel: int) -> LmPredictor:
    from metier.students.lm.engine import Adapter, LlamaEngine

    form, kind = form_from_json(meta["form"]), OutputKind(meta["kind"])
    classes = tuple(meta["summary"]["classes"])
    task = TaskSpec(kind, meta["output_schema"])
    served, digests = str(meta["served"]), meta["files"]
    adapters = [Adapter(folder / name, digests[name]) for name in meta.get("adapters", ())]
    # Before the model, which somebody would have to free if these could not be read.
    foreignness, score = read_foreignness(folder / FOREIGNNESS_FILE), score_from(meta["score"])
    return LmPredictor(
        classes,
        asking_of(
            task,
            classes,
            form,
            int(meta["max_output_tokens"]),
            tuple(map(stored_span, meta.get("copied", ()))),
            is_reasoned=bool(meta.get("is_reasoned", False)),
            is_compact=bool(meta.get("is_compact", False)),
        ),
        LlamaEngine.shared(
            folder / served,
            digests[served],
            adapters,
            n_context=int(meta["n_context"]),
            threads=threads,
            parallel=parallel,
        ),
        foreignness,
        score,
        threads or usable_cores(),
        folder / HELD_OUT_FILE,
    )


def _summary(
    job: Job, learnt: Learnt, built: Built, scoring: Scoring, folder: Path, notes: tuple[str, ...], last: Refit
) -> FitSummary:
    tuned, trimmed = learnt.tuned, learnt.trimmed
    went_on = ", and went on to learn from it" if last.is_kept else ""
    best = (
        f"the weights of epoch {tuned.best_epoch} of {len(tuned.curve)} are taken: best on the tune split{went_on}",
    )
    failed = tuple(
        f"{n:,} of {len(job.tune):,} answers to the tune split failed: {name}" for name, n in scoring.failures.items()
    )
    return FitSummary(
        student="lm",
        base_model=learnt.base.name,
        licence=learnt.base.licence,
        n_train=len(learnt.material.train),
        n_tune=len(job.tune),
        classes=job.classes,
        tune_accuracy=scoring.accuracy,
        wall_s=sum(job.phases.wall_s.values()),
        epochs=len(tuned.curve),
        curve=tuned.curve,
        precision=built.served,
        precision_reason=built.reason,
        size_bytes=0,
        versions=versions_of(_PACKAGES),
        notes=(
            *notes,
            *learnt.material.notes,
            *learnt.asking.form.notes,
            *tuned.notes,
            *(best if tuned.curve else ()),
            *failed,
        ),
        language_model=LanguageModel(
            base_sha256=learnt.base.sha256,
            conditions=learnt.base.conditions,
            vocabulary=f"{trimmed.mode}: {trimmed.reason}",
            n_vocabulary_base=trimmed.n_vocabulary_base,
            n_vocabulary=trimmed.n_vocabulary,
            n_parameters_base=trimmed.n_parameters_base,
            n_parameters=trimmed.n_parameters,
            prompt_tokens_saved=learnt.baking.tokens_saved,
            baking=learnt.baking.reason,
            method=learnt.method,
            examples_per_s=tuned.examples_per_s,
            tokens_per_s=tuned.tokens_per_s,
            peak_memory_bytes=max(tuned.peak_memory_bytes, last.peak_memory_bytes),
            builds=(*built.sizes, *((name, size) for name in _FOLDERS if (size := size_of(folder / name)))),
            served=built.served,
            parity=built.parity,
            preference=learnt.preference,
            refit=last.story,
            base_revision=learnt.base.revision,
        ),
        view=use_of_task(job.task),
    )


def _bring(source: Path, target: Path) -> None:
    """A folder's files, linked where the file system can: they are some hundred megabytes."""
    target.mkdir()
    for path in sorted(source.iterdir()):
        if path.is_file():
            _link(path, target / path.name)


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
