"""`metier demo`: the whole way on traffic that metier makes itself, or on clinc150 where METIER_DATA has it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.markup import escape
from rich.rule import Rule

from metier.artefacts.policies import Policy
from metier.artefacts.tasks import Audit, OutputKind
from metier.cli import stages
from metier.cli.demo_gateway import serve_demo
from metier.cli.lookup import latest_dataset, latest_of
from metier.cli.promoting import promote
from metier.cli.session import session
from metier.cli.terminal import err, out
from metier.cli.traffic import print_audit, print_import
from metier.cli.verbs import run_stages
from metier.errors import NotFound
from metier.labs import clinc
from metier.labs.files import write_jsonl
from metier.labs.registry import LABS
from metier.project import FILE_NAME
from metier.sources.importing import import_files

DATA_VARIABLE = "METIER_DATA"
_LOG = "calls.jsonl"
# Spans that make it a bill worth looking at: 300,000 calls a month for the desk, 240,000 for clinc150.
_DAYS = {"support": 1.9, "clinc150": 3.0}
_BAD_EVERY = 500  # a few lines for the quarantine
_SERVED = 400  # calls sent through the gateway
_SETTINGS = """\
# Settings of the demo; `metier init` elsewhere shows all there are.
[project]
seed = {seed}

# Half of the calls were never judged by anyone: take more of the log for the certificate, which needs judged ones.
[curate]
calibration_fraction = 0.35
test_fraction = 0.15

# Fewer passes and shorter inputs than by default, so that the tour stays short on two cores.
[train]
epochs = 3
max_tokens = 48

[generalist]
backend = "replay"
# The answers in this log are made up, so they must not bear a real model's name in the report.
model = "made-up frontier"

# At the gateway: keep what the certificate allows, and let the frontier answer 5% of that too, to measure the error.
[route]
mode = "route"
audit_share = 0.05
"""


@dataclass(frozen=True)
class DemoData:
    """Where the demo's calls come from: what is said of it, and the calls."""

    name: str
    description: str
    calls: Iterator[dict[str, Any]]


def demo_command(
    *,
    folder: Annotated[Path, typer.Option(help="Where the demo's project shall be; it is made if absent.")] = Path(
        "demo-run"
    ),
    calls: Annotated[int, typer.Option(min=500, help="Calls in the log that is made up (not for clinc150).")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the log and of everything after it.")] = 0,
    data: Annotated[
        str, typer.Option(help="auto (clinc150 where METIER_DATA has it), clinc150, or support (made up).")
    ] = "auto",
) -> None:
    """See it all: from a log of calls to a report, on data that needs nothing else."""
    chosen = _data(data, calls, seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_text(_SETTINGS.format(seed=seed), encoding="utf-8")
    out.print(f"Data: [bold]{escape(chosen.name)}[/]. {escape(chosen.description)}", soft_wrap=True)
    log = folder / f"{chosen.name}-{_LOG}"
    if not log.exists():
        partial = log.with_suffix(".part")
        write_jsonl(partial, chosen.calls, bad_every=_BAD_EVERY)
        partial.replace(log)
    with session(folder, err) as at:
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


def _data(wanted: str, n_calls: int, seed: int) -> DemoData:
    root = os.environ.get(DATA_VARIABLE)
    source = Path(root) / "clinc150" if root else None
    found = source is not None and (source / "data_full.json").is_file()
    if wanted == "clinc150" and not found:
        raise NotFound(f"clinc150 is not there: set {DATA_VARIABLE} to the folder that holds clinc150/data_full.json")
    if source is not None and (wanted == "clinc150" or (wanted == "auto" and found)):
        return DemoData(
            "clinc150",
            f"23,700 real requests with human labels (Larson et al. 2019, CC BY 3.0) from {source}; "
            "the frontier's answers, their times and prices are made up.",
            clinc.calls(source, seed, days=_DAYS["clinc150"]),
        )
    if wanted not in ("auto", *LABS):
        raise NotFound(f"no data is called '{wanted}'; there are: auto, clinc150, {', '.join(LABS)}")
    return DemoData(
        "support",
        f"{n_calls:,} calls of a support desk that metier makes up itself (seed {seed}): nothing in it is a real model's "
        "answer, and its figures show how metier works, not how good any model is.",
        LABS["support"](n_calls, seed, days=_DAYS["support"]),
    )


def _biggest_label_task(audit: Audit) -> str:
    labels = [row for row in audit.tasks if row.task.kind is OutputKind.LABEL]
    if not labels:
        raise NotFound(f"the audit found no task with labels among {len(audit.tasks)} tasks")
    return max(labels, key=lambda row: row.n_calls).task.name


def _step(command: str) -> None:
    out.print()
    out.print(Rule(f"[bold]{escape(command)}[/]", align="left"))
