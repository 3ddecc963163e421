"""Specialist: a trained student with its card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metier.artefacts.estimates import Estimate, Score


@dataclass(frozen=True)
class CurvePoint:
    """One point of a learning curve: training examples used and the error measured on the tune split (in [0, 1])."""

    n_train: int
    error: float
    n_tune: int


@dataclass(frozen=True)
class LearningCurve:
    """Points measured, the fit error = a + b * n^-c, and what it forecasts.

    `labels_needed` maps a target accuracy to the training examples forecast to reach it; value inf means that the fitted
    asymptote lies above the target error. `note` says where the forecast leaves the measured range.
    """

    points: tuple[CurvePoint, ...]
    asymptote: Score
    scale: Score
    exponent: Score
    targets: tuple[tuple[float, Estimate], ...]
    note: str


@dataclass(frozen=True)
class Card:
    """What the specialist is: for the report and the model card."""

    student: str
    task_id: str
    task_name: str
    classes: tuple[str, ...]
    base_model: str
    licence: str
    n_train: int
    n_tune: int
    precision: str
    precision_reason: str
    size_bytes: int
    train_wall_s: float
    tune_accuracy: Estimate
    versions: dict[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Specialist:
    """A trained student. `folder` holds its exported weights in formats that cannot run code."""

    card: Card
    learning_curve: LearningCurve | None
    folder: Path
