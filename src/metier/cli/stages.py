"""One function per stage: load what it is made from, call the verb, store what it made."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from metier.artefacts.datasets import Dataset
from metier.artefacts.economics import Economics
from metier.artefacts.evaluations import Evaluation
from metier.artefacts.policies import Policy
from metier.artefacts.reports import Report
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import Audit
from metier.audit import AuditSettings, audit
from metier.calibrate import CalibrateSettings, calibrate
from metier.cli.inputs import read_inputs
from metier.cli.licences import show_licences, show_move
from metier.cli.lookup import (
    audited_task,
    best_student,
    commit_before,
    find_task,
    latest_dataset,
    latest_of,
    require,
    specialists,
    trained_so_far,
)
from metier.cli.session import Session, versions
from metier.curate import CurateSettings, curate
from metier.errors import NotFound
from metier.evaluate import EvaluateSettings, evaluate
from metier.generalists.backends import make_generalist
from metier.generalists.settings import GeneralistSettings
from metier.pages.inputs import ReportInputs
from metier.pages.report import report
from metier.price import PriceSettings, price
from metier.store.folders import Recipe, Stored
from metier.store.payload import digest
from metier.students.lm.settings import LmSettings
from metier.train import Ladder, TrainSettings, ladder, shaped_by, train, view_of, view_of_student

Given = Mapping[str, Any]


def audit_stage(at: Session, given: Given) -> Stored:
    settings = cast(AuditSettings, at.project.settings("audit", **given))
    with at.traffic() as traffic:
        if not len(traffic):
            raise NotFound("there is no traffic yet. Bring some in with: metier import FILE")
        recipe = _recipe(at, "audit", None, {"traffic": traffic.id}, settings)
        return at.store.produce(
            recipe, lambda _: audit(traffic, settings, seed=at.project.project.seed, progress=at.progress), clock=at.now
        )


def curate_stage(at: Session, task: str, given: Given, ood_file: Path | None = None) -> Stored:
    stored, row = find_task(at, task)
    settings = cast(CurateSettings, at.project.settings("curate", row.task.name, **given))
    inputs = {"audit": stored.manifest.id, "traffic": stored.manifest.inputs["traffic"]}
    ood = None
    if ood_file is not None:
        ood = read_inputs(ood_file)
        inputs["ood_file"] = digest(ood_file)
    with at.traffic() as traffic:
        recipe = _recipe(at, "dataset", row.task.name, inputs, settings)
        return at.store.produce(
            recipe,
            lambda _: curate(
                cast(Audit, stored.artefact),
                row.task.name,
                traffic,
                settings,
                seed=at.project.project.seed,
                ood_inputs=ood,
                progress=at.progress,
            ),
            clock=at.now,
        )


def ladder_stage(at: Session, task: str, given: Given, lm: Given) -> Ladder:
    """The students to train on a task's newest dataset; `given` overrides [train], `lm` [lm].

    Students that cannot learn its kind of output are left out, unless `given` names them. The licences of a language
    model's base and teacher are looked at before anything is trained: a run must not stop for them after minutes of work.
    """
    dataset = latest_dataset(at, task).dataset
    settings = cast(TrainSettings, at.project.settings("train", dataset.task_name, **given))
    view = view_of(dataset, settings)
    chosen = ladder(dataset.kind, settings.students, asked="students" in given, view=view.name if view else None)
    if "lm" in chosen.students:
        _, recipe, language_model = _training(at, task, "lm", given, lm)
        if at.store.find(recipe) is None:
            show_move(language_model.base, commit_before(at, language_model.base))
            show_licences(language_model)
    return chosen


def train_stage(at: Session, task: str, student: str, given: Given, lm: Given) -> Stored:
    """`given` overrides [train], `lm` overrides [lm]."""
    dataset, recipe, language_model = _training(at, task, student, given, lm)
    settings = cast(TrainSettings, at.project.settings("train", dataset.task_name, **given))
    return at.store.produce(
        recipe,
        lambda folder: train(
            dataset,
            student,
            folder / "folder",
            settings,
            seed=at.project.project.seed,
            progress=at.progress,
            lm=language_model,
        ),
        clock=at.now,
        summary=student,
    )


def _training(at: Session, task: str, student: str, given: Given, lm: Given) -> tuple[Dataset, Recipe, LmSettings]:
    found = latest_dataset(at, task)
    name = found.dataset.task_name
    settings = cast(TrainSettings, at.project.settings("train", name, **given))
    language_model = cast(LmSettings, at.project.settings("lm", name, **lm))
    # Only what shapes this student is in its recipe, so that another student's settings do not train it again.
    own = {"student": student, **settings.of_student(student, language_model)}
    if (view := view_of_student(student, view_of(found.dataset, settings))) is not None:
        own["view"] = shaped_by(view)
    recipe = Recipe("specialist", name, {"dataset": found.manifest.id}, own, at.project.project.seed, versions())
    return found.dataset, recipe, language_model


def evaluate_stage(at: Session, task: str, given: Given, ask: Given) -> Stored:
    """`given` overrides [evaluate], `ask` overrides [generalist]."""
    found = latest_dataset(at, task)
    dataset, manifest = found.dataset, found.manifest
    settings = cast(EvaluateSettings, at.project.settings("evaluate", dataset.task_name, **given))
    asked = cast(GeneralistSettings, at.project.settings("generalist", dataset.task_name, **ask))
    trained = specialists(at, manifest)
    row = audited_task(at, manifest)
    inputs = {"dataset": manifest.id, **{f"specialist.{name}": one.manifest.id for name, one in trained.items()}}
    if asked.path and Path(asked.path).is_file():
        inputs["generalist.file"] = digest(Path(asked.path))
    cache = at.project.store_folder / "cache" / "answers.db"
    generalist = make_generalist(asked, dataset, cache_path=cache, seed=at.project.project.seed)
    recipe = _recipe(at, "evaluation", dataset.task_name, inputs, settings, generalist=asked.model_dump())
    return at.store.produce(
        recipe,
        lambda _: evaluate(
            [cast(Specialist, one.artefact) for one in trained.values()],
            generalist,
            dataset,
            settings,
            task=row.task if row else None,
            seed=at.project.project.seed,
            clock=time.perf_counter,
            progress=at.progress,
        ),
        clock=at.now,
        # Timeouts and the like are asked again; answers bought before come from the cache.
        final=lambda made: not cast(Evaluation, made).n_passing_failures,
    )


def calibrate_stage(at: Session, task: str, given: Given, student: str | None = None) -> Stored:
    """The policy of the champion of the latest evaluation, or of `student`."""
    found = latest_dataset(at, task)
    dataset, manifest = found.dataset, found.manifest
    settings = cast(CalibrateSettings, at.project.settings("calibrate", dataset.task_name, **given))
    trained = specialists(at, manifest)
    name = student or best_student(at, manifest)
    if name not in trained:
        raise NotFound(f"no '{name}' specialist of task '{dataset.task_name}'; trained are: {', '.join(trained)}")
    chosen = trained[name]
    recipe = _recipe(
        at,
        "policy",
        dataset.task_name,
        {"dataset": manifest.id, "specialist": chosen.manifest.id},
        settings,
    )
    return at.store.produce(
        recipe,
        lambda _: calibrate(
            cast(Specialist, chosen.artefact),
            dataset,
            settings,
            specialist_id=chosen.manifest.id,
            seed=at.project.project.seed,
            progress=at.progress,
        ),
        clock=at.now,
    )


def price_stage(at: Session, task: str, given: Given) -> Stored:
    found = latest_dataset(at, task)
    dataset, manifest = found.dataset, found.manifest
    settings = cast(PriceSettings, at.project.settings("price", dataset.task_name, **given))
    evaluation = require(at, "evaluation", "evaluate", manifest)
    policy = latest_of(at, "policy", manifest)
    trained = specialists(at, manifest)
    inputs = {
        "dataset": manifest.id,
        "evaluation": evaluation.manifest.id,
        **({"policy": policy.manifest.id} if policy else {}),
        **{f"specialist.{name}": one.manifest.id for name, one in trained.items()},
    }
    row = audited_task(at, manifest)
    recipe = _recipe(at, "economics", dataset.task_name, inputs, settings)
    return at.store.produce(
        recipe,
        lambda _: price(
            row,
            cast(Evaluation, evaluation.artefact),
            cast(Policy, policy.artefact) if policy else None,
            settings,
            cards=[cast(Specialist, one.artefact).card for one in trained.values()],
            seed=at.project.project.seed,
        ),
        clock=at.now,
    )


def report_stage(at: Session, task: str) -> Stored:
    """The report of the newest artefacts of a task, also where only some of the stages have been run."""
    inputs = gather(at, task)
    sources = {f"{manifest.kind}.{manifest.id}": manifest.id for manifest in inputs.lineage}
    recipe = Recipe("report", inputs.task_name, sources, {}, at.project.project.seed, versions())

    def make(folder: Path) -> Report:
        page = report(inputs, time=at.now())
        pages = folder / "folder"
        pages.mkdir(exist_ok=True)
        (pages / "report.html").write_text(page.html, encoding="utf-8")
        (pages / "report.json").write_text(page.json(), encoding="utf-8")
        return Report(inputs.task_name, page.headline.sentence, pages)

    return at.store.produce(recipe, make, clock=at.now)


def gather(at: Session, task: str) -> ReportInputs:
    """Whatever exists of one task: its audit, newest dataset, and what was made from that dataset."""
    try:
        found = latest_dataset(at, task)
    except NotFound:
        audited, row = find_task(at, task)
        lineage = at.store.lineage(audited.manifest)
        return ReportInputs(row.task.id, row.task.name, lineage=lineage, audit=row)
    trained = trained_so_far(at, found.manifest)
    stored = {kind: latest_of(at, kind, found.manifest) for kind in ("evaluation", "policy", "economics")}
    made = [*trained.values(), *(one for one in stored.values() if one)]
    artefacts = {kind: one.artefact if one else None for kind, one in stored.items()}
    return ReportInputs(
        found.dataset.task_id,
        found.dataset.task_name,
        lineage=at.store.lineage(found.manifest, *(one.manifest for one in made)),
        audit=audited_task(at, found.manifest),
        dataset=found.dataset,
        specialists=tuple(cast(Specialist, one.artefact) for one in trained.values()),
        evaluation=cast(Evaluation | None, artefacts["evaluation"]),
        economics=cast(Economics | None, artefacts["economics"]),
        policy=cast(Policy | None, artefacts["policy"]),
    )


def _recipe(
    at: Session, kind: str, task: str | None, inputs: Mapping[str, str], settings: BaseModel, **more: Any
) -> Recipe:
    return Recipe(
        kind, task, dict(inputs), {**settings.model_dump(mode="json"), **more}, at.project.project.seed, versions()
    )
