"""The content of a report as data: what the HTML page shows and what report.json holds. Change it, and SCHEMA_VERSION."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from metier.artefacts.datasets import Contradiction
from metier.artefacts.economics import Economics
from metier.artefacts.estimates import Estimate, Score
from metier.artefacts.evaluations import Basis, CandidateScore, Comparison
from metier.artefacts.manifests import Manifest
from metier.artefacts.policies import Policy
from metier.artefacts.specialists import Card, LearningCurve
from metier.artefacts.tasks import OutputKind, TaskAudit

SCHEMA_NAME = "metier-report"
SCHEMA_VERSION = 1


class Outcome(StrEnum):
    """The advice in a word or two."""

    SPECIALISE = "specialise"
    NOT_CERTIFIED = "not certified"
    NOT_PROVEN = "not proven"
    NO_COMPARISON = "no comparison"
    FRONTIER = "stay on the frontier"
    NOT_EVALUATED = "not evaluated"


@dataclass(frozen=True)
class Headline:
    """The verdict in one sentence, and what qualifies it, a sentence each."""

    outcome: Outcome
    sentence: str
    qualifications: tuple[str, ...] = ()


@dataclass(frozen=True)
class Missing:
    """A stage that has not been run: what the report cannot say without it, and the command that mends this."""

    stage: str
    what: str
    command: str


@dataclass(frozen=True)
class SplitSize:
    """One split: examples, groups that never cross splits, distinct labels."""

    name: str
    n: int
    n_groups: int
    n_classes: int


@dataclass(frozen=True)
class NamedCount:
    """How often something occurred."""

    name: str
    n: int


@dataclass(frozen=True)
class DataSummary:
    """The dataset in figures. `contradictions` holds the first of `n_contradictions`; `rarest` the classes with the fewest
    training examples."""

    kind: str
    n_examples: int
    n_classes: int
    splits: tuple[SplitSize, ...]
    provenance: tuple[NamedCount, ...]
    rarest: tuple[NamedCount, ...]
    removed: tuple[NamedCount, ...]
    n_removed: int
    n_contradictions: int
    contradictions: tuple[Contradiction, ...]
    split_rule: str
    ood_source: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class LearningPoint:
    """Accuracy on the tune split after training on `n_train` examples, with its Wilson interval."""

    n_train: int
    accuracy: Estimate


@dataclass(frozen=True)
class ForecastPoint:
    """The fitted learning curve, 1 - (a + b * n^-c), at `n_train` examples."""

    n_train: float
    accuracy: Score


@dataclass(frozen=True)
class SpecialistSummary:
    """A specialist's card and its learning curve: as fitted, as measured and as forecast."""

    card: Card
    learning_curve: LearningCurve | None
    measured: tuple[LearningPoint, ...]
    forecast: tuple[ForecastPoint, ...]


@dataclass(frozen=True)
class ExampleCell:
    """What one candidate gave, and whether it is right; also right where nothing was asked."""

    text: str
    right: bool


@dataclass(frozen=True)
class ExampleRow:
    """One field of a record, or a whole text: what was expected, and a cell for every candidate."""

    name: str
    expected: str
    cells: tuple[ExampleCell, ...]


@dataclass(frozen=True)
class Example:
    """The answers to one test item side by side. `input` is shortened from `n_chars` characters."""

    id: str
    input: str
    n_chars: int
    candidates: tuple[str, ...]
    rows: tuple[ExampleRow, ...]

    @property
    def n_wrong(self) -> int:
        """Rows that the first candidate has wrong, failures aside."""
        return sum(not row.cells[0].right for row in self.rows if row.cells and row.name != "what went wrong")


@dataclass(frozen=True)
class Quality:
    """Every candidate on the same test items, and each specialist against each generalist. `examples` are a few answers
    side by side, where the output is no label."""

    truth: str
    basis: Basis
    n_test: int
    n_judged: int
    n_ood: int
    champion: str | None
    summary: str
    notes: tuple[str, ...]
    unseen_labels: tuple[tuple[str, int], ...]
    candidates: tuple[CandidateScore, ...]
    comparisons: tuple[Comparison, ...]
    kind: OutputKind = OutputKind.LABEL
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Term:
    """A word of the report, explained for people who are not statisticians."""

    term: str
    meaning: str


@dataclass(frozen=True)
class ReportData:
    """A whole report. `policy.curve` and `quality.candidates[].confusions` are thinned to what the page shows;
    `n_curve` says of how many points."""

    schema: str
    schema_version: int
    metier_version: str
    time: str
    task_id: str
    task_name: str
    headline: Headline
    missing: tuple[Missing, ...]
    quality: Quality | None
    economics: Economics | None
    policy: Policy | None
    n_curve: int
    specialists: tuple[SpecialistSummary, ...]
    data: DataSummary | None
    audit: TaskAudit | None
    limits: tuple[str, ...]
    lineage: tuple[Manifest, ...]
    glossary: tuple[Term, ...]
