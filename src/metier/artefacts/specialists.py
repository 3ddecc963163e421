"""Specialist: a trained student with its card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metier.artefacts.estimates import Estimate, Score
from metier.artefacts.tasks import OutputKind


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
class LanguageModel:
    """What only a tuned language model has to say of itself.

    `base_sha256` is that of the weights it started from, `base_revision` their commit on the hub ("" for those from
    elsewhere, and where an older version did not keep it), `conditions` the terms of their licence in a sentence, with an
    address. Vocabulary sizes in tokens and parameters in numbers, before and after trimming; `vocabulary` is "trim" or
    "keep" with the reason. `prompt_tokens_saved` a call, mean over the tune split: the instructions that the specialist
    does not need to read (0 where they stay), `baking` says how that was decided. `builds` are the exported forms and their
    sizes in bytes, `served` the one that answers; `parity` states how its answers differ from those of the training-time
    model. `preference` says what preference tuning did and whether it was kept, `refit` what was learnt from the tune split
    when all was chosen ("" for nothing). Speeds are those of the training.
    """

    base_sha256: str
    conditions: str
    vocabulary: str
    n_vocabulary_base: int
    n_vocabulary: int
    n_parameters_base: int
    n_parameters: int
    prompt_tokens_saved: Score
    baking: str
    method: str
    examples_per_s: Score
    tokens_per_s: Score
    peak_memory_bytes: int
    builds: tuple[tuple[str, int], ...]
    served: str
    parity: str
    preference: str = ""
    refit: str = ""
    base_revision: str = ""


@dataclass(frozen=True)
class ViewFeature:
    """One number that a view computes: its name, its unit ("" for a count or a share), and what it is."""

    name: str
    unit: str
    description: str


@dataclass(frozen=True)
class ViewUse:
    """The view through which a specialist reads its inputs, as it was when the specialist was trained.

    `sha256` is that of the view's code. `classes` are those between which its inputs let choose, empty where they offer no
    choices of their own.
    """

    name: str
    version: int
    sha256: str
    features: tuple[ViewFeature, ...] = ()
    classes: tuple[str, ...] = ()


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
    kind: OutputKind = OutputKind.LABEL
    language_model: LanguageModel | None = None
    view: ViewUse | None = None


@dataclass(frozen=True)
class Specialist:
    """A trained student. `folder` holds its exported weights in formats that cannot run code."""

    card: Card
    learning_curve: LearningCurve | None
    folder: Path
