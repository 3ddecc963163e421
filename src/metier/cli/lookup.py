"""Finding what a command works on: the task by name, and the newest artefacts that belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from rapidfuzz import process

from metier.artefacts.datasets import Dataset
from metier.artefacts.evaluations import Evaluation
from metier.artefacts.manifests import Manifest
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import Audit, TaskAudit
from metier.cli.session import Session
from metier.errors import NotFound
from metier.store.folders import Stored


@dataclass(frozen=True)
class Found:
    """A stored dataset with its task's name."""

    dataset: Dataset
    manifest: Manifest


def find_task(at: Session, name: str) -> tuple[Stored, TaskAudit]:
    """The newest audit and its row for a task, by name, id, or a beginning of either that fits no other task."""
    manifest = at.store.latest("audit")
    if manifest is None:
        raise NotFound("no audit yet. Find the tasks in your traffic with: metier audit")
    audit = cast(Audit, at.store.load(manifest))
    return Stored(audit, manifest, fresh=False), match_task(audit, name)


def match_task(audit: Audit, name: str) -> TaskAudit:
    """The row of the task called `name`. Raises NotFound with the nearest names."""
    exact = [row for row in audit.tasks if name in (row.task.name, row.task.id)]
    begun = [row for row in audit.tasks if row.task.name.startswith(name) or row.task.id.startswith(name)]
    found = exact or begun
    if len(found) == 1:
        return found[0]
    names = [row.task.name for row in (found or audit.tasks)]
    near = [match[0] for match in process.extract(name, names, limit=5)]
    problem = f"'{name}' fits {len(found)} tasks" if found else f"no task is called '{name}'"
    raise NotFound(f"{problem}. Nearest: {', '.join(near) or 'none'}. 'metier audit' lists all {len(audit.tasks)}.")


def latest_dataset(at: Session, name: str) -> Found:
    """The newest dataset of a task."""
    manifest = at.store.latest("dataset", name) or at.store.latest("dataset", find_task(at, name)[1].task.name)
    if manifest is None:
        raise NotFound(f"no dataset of task '{name}' yet. Make one with: metier curate {name}")
    return Found(cast(Dataset, at.store.load(manifest)), manifest)


def latest_of(at: Session, kind: str, dataset: Manifest) -> Stored | None:
    """The newest artefact of a kind that was made from this very dataset."""
    for manifest in at.store.manifests(kind, dataset.task):
        if manifest.inputs.get("dataset") == dataset.id:
            return Stored(at.store.load(manifest), manifest, fresh=False)
    return None


def require(at: Session, kind: str, verb: str, dataset: Manifest) -> Stored:
    """`latest_of`, or NotFound with the command that makes one."""
    found = latest_of(at, kind, dataset)
    if found is None:
        raise NotFound(f"no {kind} for the newest dataset of '{dataset.task}' yet. Run: metier {verb} {dataset.task}")
    return found


def trained_so_far(at: Session, dataset: Manifest) -> dict[str, Stored]:
    """The newest specialist of each student trained on this dataset, smallest first; empty where there is none."""
    newest: dict[str, Stored] = {}
    for manifest in at.store.manifests("specialist", dataset.task):
        if manifest.inputs.get("dataset") == dataset.id and manifest.settings["student"] not in newest:
            newest[manifest.settings["student"]] = Stored(at.store.load(manifest), manifest, fresh=False)
    return dict(sorted(newest.items(), key=lambda item: cast(Specialist, item[1].artefact).card.size_bytes))


def specialists(at: Session, dataset: Manifest) -> dict[str, Stored]:
    """`trained_so_far`, or NotFound with the command that trains one."""
    trained = trained_so_far(at, dataset)
    if not trained:
        raise NotFound(
            f"no specialist for the newest dataset of '{dataset.task}' yet. Run: metier train {dataset.task}"
        )
    return trained


def commit_before(at: Session, source: str) -> str:
    """The commit of the hub from which the project's newest specialist of the base `source` started; "" where none is
    known."""
    for manifest in at.store.manifests("specialist"):
        if manifest.settings.get("student") == "lm" and manifest.settings.get("options", {}).get("base") == source:
            model = cast(Specialist, at.store.load(manifest, verify=False)).card.language_model
            return model.base_revision if model else ""
    return ""


def best_student(at: Session, dataset: Manifest) -> str:
    """The champion of the newest evaluation; where none was proven, the specialist with the highest accuracy."""
    evaluation = cast(Evaluation, require(at, "evaluation", "evaluate", dataset).artefact)
    if evaluation.champion is not None:
        return evaluation.champion
    scored = [one for one in evaluation.candidates if one.role == "specialist" and one.accuracy.scored]
    if not scored:
        raise NotFound(f"the evaluation of '{dataset.task}' scored no specialist")
    return max(scored, key=lambda one: one.accuracy.value).name


def audited_task(at: Session, dataset: Manifest) -> TaskAudit | None:
    """The audit's row for the task of a dataset; None where that audit is gone."""
    try:
        audit = cast(Audit, at.store.load(at.store.resolve(dataset.inputs["audit"])))
    except NotFound:
        return None
    return next((row for row in audit.tasks if row.task.name == dataset.task), None)
