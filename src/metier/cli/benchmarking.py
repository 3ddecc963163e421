"""`metier benchmark telelogs FILE`: specialists on the user's own copy of a public benchmark."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from pydantic_core import to_json

from metier.artefacts.benchmarks import Benchmark
from metier.artefacts.datasets import Dataset, Split
from metier.artefacts.manifests import Manifest
from metier.artefacts.policies import Policy
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import Audit
from metier.benchmark import TELELOGS, BenchmarkSettings, benchmark
from metier.cli.lookup import trained_so_far
from metier.cli.options import with_settings
from metier.cli.session import Session, session, versions
from metier.cli.terminal import err, out
from metier.errors import NotFound
from metier.evaluation import asking
from metier.evaluation.telelogs.answering import Entrant
from metier.evaluation.telelogs.reading import input_reader, why_unreadable
from metier.pages import console as show
from metier.sources.exams import read_exam
from metier.store.folders import Recipe, Stored
from metier.store.payload import digest
from metier.students import STUDENTS, Predictor

VIEW = "telelogs"
_MADE_FROM: tuple[Split, ...] = ("train", "tune", "calibration")


@with_settings(BenchmarkSettings)
def telelogs_command(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Your copy: a JSON array, JSON lines or CSV of questions and answers."),
    ],
    *,
    targets: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The answers by id, where they stand in a file of their own.")
    ] = None,
    specialist: Annotated[
        str | None,
        typer.Option(
            metavar="ID|STUDENT",
            help="Which specialist; by default all of the newest dataset that has one with the view telelogs.",
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write everything as JSON into this file.")] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of the files, where it is not found: cp1252, latin-1, …")
    ] = None,
    given: dict[str, Any],
) -> None:
    """Specialists on your own copy of TeleLogs, scored as published, beside the published results. Nothing is learnt."""
    with session(Path.cwd(), err) as at:
        stored = telelogs_stage(at, file, targets, specialist, encoding, given)
        made = cast(Benchmark, stored.artefact)
        state = "made" if stored.fresh else "unchanged, skipped"
        out.print(f"[dim]benchmark {stored.manifest.id}: {state}[/]", highlight=False)
        out.print(show.benchmark_tables(made))
        if json is not None:
            write_benchmark(made, json)
            out.print(f"JSON: {json}", soft_wrap=True, highlight=False, markup=False)


def telelogs_stage(
    at: Session, file: Path, targets: Path | None, wanted: str | None, encoding: str | None, given: dict[str, Any]
) -> Stored:
    """Read the file, ask the specialists, store what came of it."""
    exam = read_exam(file, targets, encoding)
    chosen = _chosen(at, wanted)
    task = chosen.manifest.task or ""
    settings = cast(BenchmarkSettings, at.project.settings("benchmark", task, **given))
    policies = {name: _policy(at, one.manifest) for name, one in chosen.specialists.items()}
    inputs = {
        "file": digest(file),
        **({"targets": digest(targets)} if targets else {}),
        "dataset": chosen.manifest.id,
        **{f"specialist.{name}": one.manifest.id for name, one in chosen.specialists.items()},
        **{f"policy.{name}": found.id for name, found in policies.items() if found is not None},
    }
    seed = at.project.project.seed
    asked = {"benchmark": TELELOGS, **settings.model_dump(mode="json"), "encoding": encoding}

    def make(_: Path) -> Benchmark:
        return benchmark(
            _entrants(at, chosen, policies, seed),
            exam,
            settings,
            task_name=task,
            file=file.name,
            sha256=inputs["file"],
            seed=seed,
            clock=time.perf_counter,
            progress=at.progress,
        )

    return at.store.produce(Recipe("benchmark", task, inputs, asked, seed, versions()), make, clock=at.now)


def write_benchmark(made: Benchmark, path: Path) -> None:
    """All of it as JSON, answers a row each; what was not scored is null. Written whole or not at all."""
    content = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
    content["answers"] = made.answers.to_dicts()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(to_json(content, indent=1, inf_nan_mode="null"))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Chosen:
    """The specialists that take part, by student, and the manifest of the dataset that they were made from."""

    specialists: dict[str, Stored]
    manifest: Manifest


def _chosen(at: Session, wanted: str | None) -> _Chosen:
    """The specialist that was named, or all students of the newest dataset with one that reads through the view."""
    found = at.store.manifests("specialist")
    if not found:
        raise NotFound(
            "no specialist yet. Make one of drive tests: metier demo (simulated ones), or with calls of your own: "
            "metier import FILE, metier audit, metier run TASK"
        )
    if wanted is not None:
        return _named(at, found, wanted)
    for manifest in found:
        if _card_view(at, manifest) == VIEW:
            dataset = at.store.manifest("dataset", manifest.inputs["dataset"])
            return _Chosen(trained_so_far(at, dataset), dataset)
    raise NotFound(
        f"no specialist reads through the view '{VIEW}'. Train one on drive tests (metier demo, or metier train TASK), or "
        f"name any other with --specialist: {_listed(found)}"
    )


def _named(at: Session, found: Sequence[Manifest], wanted: str) -> _Chosen:
    """A specialist by the name of its student, newest first and those with the view before others, or by its id."""
    named = [manifest for manifest in found if manifest.settings.get("student") == wanted]
    with_view = [manifest for manifest in named if _card_view(at, manifest) == VIEW]
    by_id = [manifest for manifest in found if manifest.id.startswith(wanted)]
    chosen = (with_view or named or (by_id if len(by_id) == 1 else []))[:1]
    if not chosen:
        why = f"{len(by_id)} specialists have ids that begin with" if by_id else "no specialist has the id or student"
        if wanted in STUDENTS:
            why = "no specialist is of the student"
        raise NotFound(f"{why} '{wanted}'; there are: {_listed(found)}")
    stored = Stored(at.store.load(chosen[0]), chosen[0], fresh=False)
    name = cast(Specialist, stored.artefact).card.student
    return _Chosen({name: stored}, at.store.manifest("dataset", chosen[0].inputs["dataset"]))


def _card_view(at: Session, manifest: Manifest) -> str | None:
    card = cast(Specialist, at.store.load(manifest, verify=False)).card
    return card.view.name if card.view is not None else None


def _listed(found: Sequence[Manifest]) -> str:
    shown = [f"{manifest.id} ({manifest.settings.get('student')}, task {manifest.task})" for manifest in found[:5]]
    return ", ".join(shown) + (", …" if len(found) > len(shown) else "")


def _policy(at: Session, specialist: Manifest) -> Manifest | None:
    """The newest policy of this very specialist."""
    policies = at.store.manifests("policy", specialist.task)
    return next((one for one in policies if one.inputs.get("specialist") == specialist.id), None)


def _entrants(at: Session, chosen: _Chosen, policies: dict[str, Manifest | None], seed: int) -> list[Entrant]:
    dataset = cast(Dataset, at.store.load(chosen.manifest))
    training = tuple(text for split in _MADE_FROM for text in dataset.split(split)["input"])
    audit = _audit(at, chosen.manifest)
    return [
        _entrant(at, cast(Specialist, one.artefact), one.manifest, policies[name], training, audit, seed)
        for name, one in chosen.specialists.items()
    ]


def _entrant(
    at: Session,
    specialist: Specialist,
    manifest: Manifest,
    policy: Manifest | None,
    training: Sequence[str],
    audit: Audit | None,
    seed: int,
) -> Entrant:
    card = specialist.card
    view = card.view.name if card.view is not None else None
    return Entrant(
        name=card.student,
        specialist_id=manifest.id,
        open=partial(_opened, specialist),
        kind=card.kind,
        policy=cast(Policy, at.store.load(policy)) if policy else None,
        policy_note="" if policy else f"no policy: metier calibrate {card.task_name} --student {card.student}",
        training=training,
        reads=input_reader(audit, card.task_id, view, seed),
        explain=why_unreadable(view),
        is_slow=asking.writes(specialist),
    )


def _opened(specialist: Specialist) -> AbstractContextManager[Predictor]:
    return asking.loaded(specialist)


def _audit(at: Session, dataset: Manifest) -> Audit | None:
    """The audit that a dataset was curated by; None where it is gone."""
    try:
        return cast(Audit, at.store.load(at.store.manifest("audit", dataset.inputs.get("audit", ""))))
    except NotFound:
        return None


BENCHMARKS = {TELELOGS: telelogs_command}
