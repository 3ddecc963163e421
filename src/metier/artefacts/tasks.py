"""Task and Audit: the recurring jobs found in the traffic, and what is worth specialising."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import polars as pl
from pydantic import ConfigDict

from metier.artefacts.estimates import Estimate


class OutputKind(StrEnum):
    LABEL = "label"
    FIELDS = "fields"
    TEXT = "text"
    PAGE = "page"


class AuditVerdict(StrEnum):
    SPECIALISE = "specialise"
    COLLECT = "collect labels first"
    FRONTIER = "stay on the frontier"


@dataclass(frozen=True)
class TemplateMessage:
    """One message of a prompt template. Between two consecutive `literals` stands one variable slot, so a constant
    message has one literal and a message that is all input has the two literals ("", "")."""

    role: str
    literals: tuple[str, ...]


@dataclass(frozen=True)
class Template:
    """Shared instructions around a varying input."""

    id: str
    messages: tuple[TemplateMessage, ...]
    n_calls: int


@dataclass(frozen=True)
class Task:
    """A recurring job in the traffic: prompt templates (wordings of one job), an output kind, and what the answer may be.

    `labels` holds the label set of a `label` task (most frequent first), `output_schema` the JSON Schema inferred for a
    `fields` task. `name` is for people: unique within an audit, stable while the templates stay the same.
    """

    id: str
    name: str
    description: str
    templates: tuple[Template, ...]
    kind: OutputKind
    labels: tuple[str, ...] = ()
    output_schema: dict[str, Any] | None = None


@dataclass(frozen=True)
class Definedness:
    """How well defined a task's output is: `score` in [0, 1], 1 for a closed label set or one fixed JSON shape."""

    score: float
    n_distinct: int
    mean_length_chars: float
    detail: str


@dataclass(frozen=True)
class Affinity:
    """Proxy A-distance in [0, 2] between the task's inputs and the rest of the traffic (Ben-David et al., 2010), beside
    `null_high`, the 95% quantile of the same distance between random halves of both taken together."""

    distance: Estimate
    null_high: float


@dataclass(frozen=True)
class TaskAudit:
    """One row of the audit. Costs are in US dollars a month of 30 days; `variability` in [0, 1] is the share of distinct
    inputs after normalisation; `saving_usd_month` is net of the specialist's own running cost."""

    task: Task
    n_calls: int
    calls_per_month: float
    cost_usd_month: float
    bill_share: float
    n_human_labels: int
    n_teacher_labels: int
    n_feedback: int
    variability: float
    definedness: Definedness
    affinity: Affinity | None
    saving_usd_month: Estimate
    verdict: AuditVerdict
    reason: str


@dataclass(frozen=True)
class Audit:
    """The tasks found in a traffic. `assignments` has one row a trace: trace_id, task_id (null where no task recurs),
    template_id and input (the text that filled the template's slots, joined by a blank line)."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(arbitrary_types_allowed=True)

    n_traces: int
    n_unassigned: int
    span_days: float
    cost_usd_month: float
    cost_note: str
    tasks: tuple[TaskAudit, ...]
    assignments: pl.DataFrame


ASSIGNMENT_SCHEMA = pl.Schema(
    {"trace_id": pl.String(), "task_id": pl.String(), "template_id": pl.String(), "input": pl.String()}
)
