"""The kinds of artefact that can be stored, by the name their folder has."""

from __future__ import annotations

from metier.artefacts.benchmarks import Benchmark
from metier.artefacts.datasets import Dataset
from metier.artefacts.economics import Economics
from metier.artefacts.evaluations import Evaluation
from metier.artefacts.policies import Policy
from metier.artefacts.reports import Report
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import Audit

Artefact = Audit | Dataset | Specialist | Evaluation | Economics | Policy | Report | Benchmark

KINDS: dict[str, type[Artefact]] = {
    "audit": Audit,
    "dataset": Dataset,
    "specialist": Specialist,
    "evaluation": Evaluation,
    "policy": Policy,
    "economics": Economics,
    "report": Report,
    "benchmark": Benchmark,
}


def kind_of(artefact: Artefact) -> str:
    """The name of an artefact's kind."""
    return next(name for name, cls in KINDS.items() if isinstance(artefact, cls))
