"""From artefacts to the content of a report: counted, shortened, cleaned."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Sequence
from typing import cast

import numpy as np
import polars as pl

from metier.artefacts.datasets import SPLITS, Dataset
from metier.artefacts.estimates import Estimate
from metier.artefacts.evaluations import Evaluation
from metier.artefacts.policies import Policy, RiskPoint
from metier.artefacts.specialists import CurvePoint, LearningCurve, Specialist
from metier.artefacts.tasks import OutputKind, TaskAudit
from metier.pages.content import (
    SCHEMA_NAME,
    SCHEMA_VERSION,
    DataSummary,
    ForecastPoint,
    LearningPoint,
    Missing,
    NamedCount,
    Quality,
    ReportData,
    SpecialistSummary,
    SplitSize,
    Term,
)
from metier.pages.examples import examples_of
from metier.pages.glossary import GLOSSARY, WRITTEN
from metier.pages.inputs import ReportInputs
from metier.pages.limits import limits
from metier.pages.text import clean_tree
from metier.pages.verdict import headline
from metier.statistics.intervals import wilson
from metier.version import __version__

MAX_CURVE_POINTS = 40
MAX_CONFUSIONS = 12
_MAX_CONTRADICTIONS = 20
_MAX_RAREST = 10
_MAX_UNSEEN = 20
_MAX_TEMPLATES = 10
_N_FORECAST = 48
# How far past the largest training size the fitted curve is drawn: beyond this it is fiction.
_FORECAST_REACH = 16.0

# Field of ReportInputs -> what it would tell, and the command that makes it.
STAGES: dict[str, tuple[str, str]] = {
    "audit": ("what recurs in the traffic, what it costs, and whether this task is worth specialising", "metier audit"),
    "dataset": ("the examples, how they were split, and what was removed", "metier curate"),
    "specialists": ("what was trained, and how accuracy grows with labels", "metier train"),
    "evaluation": ("how good the specialists are, beside the frontier model, on the same items", "metier evaluate"),
    "policy": ("how many calls the specialist may keep at which risk", "metier calibrate"),
    "economics": ("what both sides cost, and when the specialist has paid for itself", "metier price"),
}


def gather(inputs: ReportInputs, time: str) -> ReportData:
    """The content of the report, safe to show: text is cleaned, long lists are cut to what the page shows."""
    content = ReportData(
        schema=SCHEMA_NAME,
        schema_version=SCHEMA_VERSION,
        metier_version=__version__,
        time=time,
        task_id=inputs.task_id,
        task_name=inputs.task_name,
        headline=headline(inputs),
        missing=_missing(inputs),
        quality=_quality(inputs.evaluation, inputs.dataset) if inputs.evaluation else None,
        economics=inputs.economics,
        policy=_thinned(inputs.policy) if inputs.policy else None,
        n_curve=len(inputs.policy.curve) if inputs.policy else 0,
        specialists=tuple(_specialist(item) for item in inputs.specialists),
        data=summarise(inputs.dataset) if inputs.dataset else None,
        audit=_shortened(inputs.audit) if inputs.audit else None,
        limits=limits(inputs),
        lineage=inputs.lineage,
        glossary=tuple(Term(*item) for item in _terms(inputs).items()),
    )
    return cast(ReportData, clean_tree(content))


def _terms(inputs: ReportInputs) -> dict[str, str]:
    """The words that this report uses."""
    kind = inputs.evaluation.kind if inputs.evaluation else inputs.dataset.kind if inputs.dataset else OutputKind.LABEL
    return GLOSSARY if kind is OutputKind.LABEL else GLOSSARY | WRITTEN


def summarise(dataset: Dataset) -> DataSummary:
    """A dataset in figures."""
    examples = dataset.examples
    training = dataset.split("train")
    has_classes = dataset.kind is OutputKind.LABEL
    rarest = training.group_by("output").len().sort("len", "output").head(_MAX_RAREST if has_classes else 0)
    return DataSummary(
        kind=dataset.kind.value,
        n_examples=examples.height,
        n_classes=len(dataset.classes),
        splits=tuple(_split_size(name, dataset.split(name), has_classes) for name in SPLITS),
        provenance=_counts(examples.filter(pl.col("split") != "ood"), "provenance"),
        rarest=tuple(NamedCount(str(name), n) for name, n in rarest.iter_rows()),
        removed=_counts(dataset.removed, "reason"),
        n_removed=dataset.removed.height,
        n_contradictions=len(dataset.contradictions),
        contradictions=dataset.contradictions[:_MAX_CONTRADICTIONS],
        split_rule=dataset.split_rule,
        ood_source=dataset.ood_source,
        warnings=dataset.warnings,
    )


def _split_size(name: str, frame: pl.DataFrame, has_classes: bool) -> SplitSize:
    n_classes = frame["output"].drop_nulls().n_unique() if frame.height and has_classes else 0
    return SplitSize(name, frame.height, frame["group"].n_unique() if frame.height else 0, n_classes)


def _counts(frame: pl.DataFrame, column: str) -> tuple[NamedCount, ...]:
    counted = frame.group_by(column).len().sort("len", column, descending=[True, False])
    return tuple(NamedCount(str(name), n) for name, n in counted.iter_rows())


def _missing(inputs: ReportInputs) -> tuple[Missing, ...]:
    task = shlex.quote(inputs.task_name)
    return tuple(
        Missing(stage, what, command if stage == "audit" else f"{command} {task}")
        for stage, (what, command) in STAGES.items()
        if not getattr(inputs, stage)
    )


def _quality(evaluation: Evaluation, dataset: Dataset | None) -> Quality:
    candidates = tuple(
        dataclasses.replace(item, confusions=item.confusions[:MAX_CONFUSIONS]) for item in evaluation.candidates
    )
    return Quality(
        truth=evaluation.truth,
        basis=evaluation.basis,
        n_test=evaluation.n_test,
        n_judged=evaluation.n_judged,
        n_ood=evaluation.n_ood,
        champion=evaluation.champion,
        summary=evaluation.summary,
        notes=evaluation.notes,
        unseen_labels=evaluation.unseen_labels[:_MAX_UNSEEN],
        candidates=candidates,
        comparisons=evaluation.comparisons,
        kind=evaluation.kind,
        examples=examples_of(evaluation, dataset),
    )


def _thinned(policy: Policy) -> Policy:
    """The policy with its curve cut to points spread evenly over coverage; the certificate's own threshold stays in."""
    points = sorted(policy.curve, key=lambda point: (point.coverage, point.threshold))
    if len(points) <= MAX_CURVE_POINTS:
        return dataclasses.replace(policy, curve=tuple(points))
    wanted = np.linspace(points[0].coverage, points[-1].coverage, MAX_CURVE_POINTS - 1)
    at = np.searchsorted([point.coverage for point in points], wanted)
    kept = {int(min(index, len(points) - 1)) for index in at} | set(_certified(policy, points))
    return dataclasses.replace(policy, curve=tuple(points[index] for index in sorted(kept)))


def _certified(policy: Policy, points: Sequence[RiskPoint]) -> list[int]:
    if policy.certificate is None:
        return []
    threshold = policy.certificate.threshold
    return [min(range(len(points)), key=lambda index: abs(points[index].threshold - threshold))]


def _specialist(specialist: Specialist) -> SpecialistSummary:
    curve = specialist.learning_curve
    return SpecialistSummary(
        card=specialist.card,
        learning_curve=curve,
        measured=tuple(_measured(point) for point in curve.points) if curve else (),
        forecast=_forecast(curve) if curve else (),
    )


def _measured(point: CurvePoint) -> LearningPoint:
    accuracy = 1 - point.error
    if math.isnan(accuracy):
        return LearningPoint(point.n_train, Estimate(accuracy, accuracy, accuracy, point.n_tune, method="not scored"))
    low, high = wilson(accuracy * point.n_tune, point.n_tune)
    return LearningPoint(point.n_train, Estimate(accuracy, low, high, point.n_tune, 0.95, "wilson"))


def _forecast(curve: LearningCurve) -> tuple[ForecastPoint, ...]:
    sizes = [point.n_train for point in curve.points if point.n_train > 0]
    fitted = all(math.isfinite(value) for value in (curve.asymptote, curve.scale, curve.exponent))
    if not sizes or not fitted:
        return ()
    wanted = [target.value for _, target in curve.targets if math.isfinite(target.value)]
    furthest = min(max([2.0 * max(sizes), *(1.1 * n for n in wanted)]), _FORECAST_REACH * max(sizes))
    grid = np.geomspace(min(sizes), furthest, _N_FORECAST)
    errors = curve.asymptote + curve.scale * grid**-curve.exponent
    return tuple(ForecastPoint(float(n), float(1 - error)) for n, error in zip(grid, errors, strict=True))


def _shortened(audit: TaskAudit) -> TaskAudit:
    task = dataclasses.replace(audit.task, templates=audit.task.templates[:_MAX_TEMPLATES])
    return dataclasses.replace(audit, task=task)
