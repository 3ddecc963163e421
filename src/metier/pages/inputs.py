"""What a report is made from: whatever exists of one task so far."""

from __future__ import annotations

from dataclasses import dataclass

from metier.artefacts.datasets import Dataset
from metier.artefacts.economics import Economics
from metier.artefacts.evaluations import Evaluation
from metier.artefacts.manifests import Manifest
from metier.artefacts.policies import Policy
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import TaskAudit


@dataclass(frozen=True)
class ReportInputs:
    """The artefacts of one task; each may be missing, and the report then says which command makes it.

    `lineage` holds the manifests of the artefacts given and of everything that they were made from.
    """

    task_id: str
    task_name: str
    lineage: tuple[Manifest, ...] = ()
    audit: TaskAudit | None = None
    dataset: Dataset | None = None
    specialists: tuple[Specialist, ...] = ()
    evaluation: Evaluation | None = None
    economics: Economics | None = None
    policy: Policy | None = None
