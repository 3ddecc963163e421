"""`metier predict`: answers from a file or stdin, as JSONL or CSV."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from metier.artefacts.policies import Policy
from metier.artefacts.specialists import Specialist
from metier.cli.inputs import InputFormat, batched, inputs_of, opened
from metier.cli.lookup import latest_dataset, latest_of, specialists
from metier.cli.session import Session, session
from metier.cli.terminal import err
from metier.errors import NotFound
from metier.predict import predict
from metier.students import STUDENTS, Predictor

_BATCH = 256


def predict_command(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Name of the task.")],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Text lines, JSONL or CSV; stdin where it is left out or '-'."),
    ] = None,
    *,
    student: Annotated[str | None, typer.Option(help="Which specialist answers; by default the policy's.")] = None,
    form: Annotated[
        InputFormat, typer.Option("--format", help="How the inputs are written; auto goes by the suffix.")
    ] = "auto",
    output: Annotated[Literal["jsonl", "csv"], typer.Option(help="How the answers are written.")] = "jsonl",
) -> None:
    """Answer inputs: label, score, ood score, and whether the policy keeps the answer or escalates."""
    with session(Path.cwd(), err) as at:
        predictor, policy = _load(at, task, student)
        header = output == "csv"
        with opened(file) as source:
            for batch in batched(inputs_of(source, form, str(file or "stdin")), _BATCH):
                answers = predict(predictor, policy, batch)
                text = answers.write_csv(include_header=header) if output == "csv" else answers.write_ndjson()
                sys.stdout.write(text)
                sys.stdout.flush()
                header = False


def _load(at: Session, task: str, student: str | None) -> tuple[Predictor, Policy | None]:
    found = latest_dataset(at, task)
    trained = specialists(at, found.manifest)
    stored = latest_of(at, "policy", found.manifest)
    policy = cast(Policy, stored.artefact) if stored else None
    name = student or (policy.student if policy else next(reversed(trained)))
    if name not in trained:
        raise NotFound(f"no '{name}' specialist of task '{found.dataset.task_name}'; trained are: {', '.join(trained)}")
    if policy is not None and policy.specialist_id != trained[name].manifest.id:
        err.print(f"The policy is not of this {name} specialist: everything escalates. Run: metier calibrate {task}")
        policy = None
    specialist = cast(Specialist, trained[name].artefact)
    return STUDENTS[name].load(specialist.folder), policy
