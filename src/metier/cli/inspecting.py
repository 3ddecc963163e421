"""`metier evaluate --inspect FOLDER`: the run as logs that `inspect view` opens."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from metier.artefacts.datasets import Dataset
from metier.artefacts.evaluations import Evaluation
from metier.cli.session import Session
from metier.evaluation.inspect_log import inspect_logs
from metier.store.folders import Stored

_NOT_IN_A_NAME = re.compile(r"[^\w.+-]+")


def write_inspect_logs(at: Session, stored: Stored, folder: Path) -> list[Path]:
    """One file a candidate, called as Inspect calls its own: time, task, candidate. Writing again makes the same files."""
    manifest = stored.manifest
    evaluation = cast(Evaluation, stored.artefact)
    dataset = cast(Dataset, at.store.load(at.store.manifest("dataset", manifest.inputs["dataset"])))
    made = datetime.fromisoformat(manifest.time).astimezone(UTC)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for candidate, log in inspect_logs(evaluation, dataset, created=made.isoformat(timespec="seconds")).items():
        stem = f"{made:%Y-%m-%dT%H-%M-%S}+00-00_{evaluation.task_name}_{candidate}"
        path = folder / f"{_NOT_IN_A_NAME.sub('-', stem)}.json"
        path.write_text(json.dumps(log, ensure_ascii=False, allow_nan=False), encoding="utf-8")
        written.append(path)
    return written
