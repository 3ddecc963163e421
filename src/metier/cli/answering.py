"""`metier predict`: answers from a file or stdin, as JSONL or CSV."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal, cast

import polars as pl
import typer

from metier.artefacts.policies import Policy
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import OutputKind
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
    """Answer inputs: the answer, its score, ood score, and whether the policy keeps the answer or escalates."""
    with session(Path.cwd(), err) as at:
        predictor, policy, kind = _load(at, task, student)
        header = output == "csv"
        with opened(file) as source:
            for batch in batched(inputs_of(source, form, str(file or "stdin")), _BATCH):
                answers = predict(predictor, policy, batch)
                text = answers.write_csv(include_header=header) if output == "csv" else as_lines(answers, kind)
                sys.stdout.write(text)
                sys.stdout.flush()
                header = False


def as_lines(answers: pl.DataFrame, kind: OutputKind) -> str:
    """The rows of `predict.predict`, a JSON object a line; the label of a `fields` task is the record itself."""
    if kind is not OutputKind.FIELDS:
        return answers.write_ndjson()
    rows = ({**row, "label": json.loads(row["label"] or "null")} for row in answers.iter_rows(named=True))
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def _load(at: Session, task: str, student: str | None) -> tuple[Predictor, Policy | None, OutputKind]:
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
    # What writes has all cores, as when it is served; for others a second core is no gain.
    threads = 0 if specialist.card.language_model is not None else 1
    return STUDENTS[name].load(specialist.folder, threads), policy, found.dataset.kind
