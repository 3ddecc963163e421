"""`metier demo`: the whole way, on a mobile operator's log that metier makes itself, or on other data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.markup import escape
from rich.rule import Rule

from metier.artefacts.policies import Policy
from metier.artefacts.tasks import Audit, OutputKind
from metier.cli import stages
from metier.cli.demo_data import TELECOM, DemoData, demo_data
from metier.cli.demo_gateway import serve_demo
from metier.cli.lookup import latest_dataset, latest_of
from metier.cli.promoting import promote
from metier.cli.session import Session, session
from metier.cli.terminal import err, out
from metier.cli.traffic import print_audit, print_import
from metier.cli.verbs import run_stages
from metier.errors import NotFound
from metier.labs.files import write_jsonl
from metier.progress import Progress
from metier.project import FILE_NAME
from metier.sources.importing import import_files

_LOG = "calls.jsonl"
_BAD_EVERY = 500  # a few lines for the quarantine
_TOLD_EVERY = 200
_SERVED = 400  # calls sent through the gateway


def demo_command(
    *,
    folder: Annotated[Path, typer.Option(help="Where the demo's project shall be; it is made if absent.")] = Path(
        "demo-run"
    ),
    data: Annotated[
        str,
        typer.Option(help="telecom (a mobile operator, simulated), support (a support desk, made up) or clinc150."),
    ] = TELECOM,
    calls: Annotated[
        int | None,
        typer.Option(
            min=500,
            help="Calls in the log that is made up; 12,000 for telecom, 20,000 for support.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the log and of everything after it.")] = 0,
) -> None:
    """See it all: from a log of calls to a report and a gateway that answers, on data that needs nothing else."""
    chosen = demo_data(data, calls, seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_text(chosen.settings, encoding="utf-8")
    out.print(f"Data: [bold]{escape(chosen.name)}[/]. {escape(chosen.description)}", soft_wrap=True)
    log = folder / f"{chosen.name}-{_LOG}"
    with session(folder, err) as at:
        if not log.exists():
            _write_log(log, chosen, at)
        _step(f"metier import {log.name}")
        with at.traffic() as traffic:
            print_import(import_files([log], traffic, progress=at.progress))
        _step("metier audit")
        audit = cast(Audit, stages.audit_stage(at, {}).artefact)
        print_audit(audit)
        task = _biggest_label_task(audit)
        _step(f"metier run {task}")
        report = run_stages(at, task)
        policy = latest_of(at, "policy", latest_dataset(at, task).manifest)
        if policy is not None and cast(Policy, policy.artefact).certificate is not None:
            _step(f"metier promote {task}")
            promote(at, task)
            _step("metier serve")
            serve_demo(at, task, folder / FILE_NAME, _SERVED, seed)
    _step("what next")
    out.print(f"Open [bold]{escape(str(report))}[/] in a browser.", soft_wrap=True, highlight=False)
    out.print(
        f"Look around: cd {escape(str(folder))}; metier ls; metier quarantine; "
        f"echo 'a question of yours' | metier predict {task}",
        soft_wrap=True,
        highlight=False,
    )


def _write_log(log: Path, data: DemoData, at: Session) -> None:
    partial = log.with_suffix(".part")
    write_jsonl(partial, _told(data.calls, at.progress), bad_every=_BAD_EVERY)
    partial.replace(log)


def _told(calls: Iterator[dict[str, Any]], progress: Progress) -> Iterator[dict[str, Any]]:
    """The calls as they come; progress hears of them now and then."""
    done = 0
    for done, call in enumerate(calls, 1):
        if done % _TOLD_EVERY == 0:
            progress("Making up calls", done, None)
        yield call
    progress("Making up calls", done, done)


def _biggest_label_task(audit: Audit) -> str:
    labels = [row for row in audit.tasks if row.task.kind is OutputKind.LABEL]
    if not labels:
        raise NotFound(f"the audit found no task with labels among {len(audit.tasks)} tasks")
    return max(labels, key=lambda row: row.n_calls).task.name


def _step(command: str) -> None:
    out.print()
    out.print(Rule(f"[bold]{escape(command)}[/]", align="left"))
