"""The commands of the verbs that work on one task, and `run`, which is all of them in a row."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import RenderableType
from rich.markup import escape

from metier.artefacts.datasets import Dataset
from metier.artefacts.reports import Report
from metier.calibrate import CalibrateSettings
from metier.cli import stages
from metier.cli.inspecting import write_inspect_logs
from metier.cli.options import with_settings
from metier.cli.session import Session, session
from metier.cli.terminal import err, out
from metier.curate import CurateSettings
from metier.errors import BadInput, BadSettings
from metier.evaluate import EvaluateSettings
from metier.generalists.settings import GeneralistSettings
from metier.pages import console as show
from metier.price import PriceSettings
from metier.store.folders import Stored
from metier.students.lm.settings import LmSettings
from metier.train import TrainSettings

Given = dict[str, Any]
# How each kind of artefact looks in the terminal.
VIEWS: dict[str, Callable[[Any], RenderableType]] = {
    "dataset": show.dataset_table,
    "specialist": show.specialist_table,
    "evaluation": show.evaluation_table,
    "policy": show.policy_panel,
    "economics": show.economics_table,
}
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="Name of the task, as 'metier audit' lists it.")]
StudentOption = Annotated[
    str | None, typer.Option(help="Which specialist to calibrate; by default the champion of the evaluation.")
]
OodOption = Annotated[
    Path | None, typer.Option(help="File of inputs that do not belong to the task (text lines, JSONL or CSV).")
]

InspectOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write the run as Inspect logs into this folder too, one a candidate."),
]
LicenceOption = Annotated[
    str | None,
    typer.Option(metavar="A,B,…", help="Licences of language models that you have read and accept (see metier train)."),
]


@with_settings(CurateSettings)
def curate_command(task: TaskArgument, *, ood_file: OodOption = None, given: Given) -> None:
    """Make the task's examples into a dataset: cleaned, without duplicates, split so that nothing leaks."""
    with session(Path.cwd(), err) as at:
        _print(stages.curate_stage(at, task, given, ood_file))


@with_settings(TrainSettings, lm=LmSettings)
def train_command(task: TaskArgument, *, given: Given, lm: Given) -> None:
    """Train the ladder of students, cheapest first."""
    with session(Path.cwd(), err) as at:
        _train(at, task, given, lm)


@with_settings(EvaluateSettings, GeneralistSettings)
def evaluate_command(task: TaskArgument, *, inspect: InspectOption = None, given: Given) -> None:
    """Every specialist and the generalist side by side on the same test items, with verdicts."""
    with session(Path.cwd(), err) as at:
        stored = stages.evaluate_stage(at, task, *_parted(given))
        _print(stored)
        if inspect is not None:
            for path in write_inspect_logs(at, stored, inspect):
                out.print(f"Inspect log: {path}", soft_wrap=True, highlight=False, markup=False)


@with_settings(CalibrateSettings)
def calibrate_command(task: TaskArgument, *, student: StudentOption = None, given: Given) -> None:
    """Pick the score threshold and give the certificate, or say what it would need."""
    with session(Path.cwd(), err) as at:
        _print(stages.calibrate_stage(at, task, given, student))


@with_settings(PriceSettings)
def price_command(task: TaskArgument, *, given: Given) -> None:
    """Total cost of both sides, and when the specialist has paid for itself."""
    with session(Path.cwd(), err) as at:
        _print(stages.price_stage(at, task, given))


def report_command(
    task: TaskArgument,
    *,
    output: Annotated[Path | None, typer.Option(help="Where to put the page; its JSON goes beside it.")] = None,
) -> None:
    """One self-contained HTML page a manager can read, and the same as JSON."""
    with session(Path.cwd(), err) as at:
        _print_report(at, stages.report_stage(at, task), output)


def run_command(task: TaskArgument, *, ood_file: OodOption = None, accept_licence: LicenceOption = None) -> None:
    """Curate, train, evaluate, calibrate, price and report; stages whose inputs have not changed are skipped."""
    accepted = tuple(part.strip() for part in (accept_licence or "").split(",") if part.strip())
    with session(Path.cwd(), err) as at:
        run_stages(at, task, ood_file, {"accepted_licences": accepted} if accepted else {})


def run_stages(at: Session, task: str, ood_file: Path | None = None, lm: Given | None = None) -> Path:
    """Every stage from the traffic to the report; `lm` overrides [lm]. Returns the report's path."""
    stages.audit_stage(at, {})
    curated = stages.curate_stage(at, task, {}, ood_file)
    _print(curated)
    name = cast(Dataset, curated.artefact).task_name
    _train(at, name, {}, lm or {})
    _print(stages.evaluate_stage(at, name, {}, {}))
    _print(stages.calibrate_stage(at, name, {}))
    try:
        _print(stages.price_stage(at, name, {}))
    except (BadInput, BadSettings) as error:
        # Labelled records alone have no volume and no tokens: the rest of the report still stands.
        out.print(f"[yellow]Not priced:[/] {escape(str(error))}", highlight=False)
    return _print_report(at, stages.report_stage(at, name), None)


def _train(at: Session, task: str, given: Given, lm: Given) -> None:
    chosen = stages.ladder_stage(at, task, given, lm)
    for reason in chosen.left_out:
        out.print(f"[yellow]Left out:[/] {escape(reason)}", highlight=False)
    for student in chosen.students:
        _print(stages.train_stage(at, task, student, given, lm))


def _parted(given: Given) -> tuple[Given, Given]:
    """Options of evaluate, and those of the generalist."""
    own = {name: value for name, value in given.items() if name in EvaluateSettings.model_fields}
    return own, {name: value for name, value in given.items() if name not in own}


def _print(stored: Stored) -> None:
    """Whether a stage was run or skipped, and what it made."""
    _say(stored)
    out.print(VIEWS[stored.manifest.kind](stored.artefact))


def _print_report(at: Session, stored: Stored, output: Path | None) -> Path:
    report = cast(Report, stored.artefact)
    target = output or at.project.root / "reports" / f"{report.task_name}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".html", ".json"):
        shutil.copyfile(report.folder / f"report{suffix}", target.with_suffix(suffix))
    _say(stored)
    out.print(f"[bold]{escape(report.verdict)}[/]")
    out.print(f"Report: {target}", soft_wrap=True, highlight=False)
    return target


def _say(stored: Stored) -> None:
    state = "made" if stored.fresh else "unchanged, skipped"
    out.print(f"[dim]{stored.manifest.kind} {stored.manifest.id}: {state}[/]", highlight=False)
