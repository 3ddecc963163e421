"""The contract of the small models that can be trained: what a student takes, gives and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from metier.artefacts.specialists import LanguageModel, ViewUse
from metier.artefacts.tasks import OutputKind, Template
from metier.errors import BadInput, NotEnoughData
from metier.progress import Progress

Option = str | int | float | bool | None
FloatArray = npt.NDArray[np.float64]
ProbabilityArray = npt.NDArray[np.float32]
LabelArray = npt.NDArray[np.object_]
# What a student reads: the input as it is, what a view makes of it, or whichever of the two there is.
Reads = Literal["input", "view", "either"]

MIN_CLASSES = 2


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with the label of each; `groups`, where given, names what must stay together when it is split again,
    `rationales` what somebody reasoned before the label, None for those without."""

    inputs: tuple[str, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    rationales: tuple[str | None, ...] | None = None

    def __post_init__(self) -> None:
        for name, other in (("labels", self.labels), ("groups", self.groups), ("rationales", self.rationales)):
            if other is not None and len(other) != len(self.inputs):
                raise BadInput(f"{len(self.inputs)} inputs but {len(other)} {name}: give one for each input.")

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, places: Sequence[int] | npt.NDArray[np.int64]) -> LabelledTexts:
        """The texts at these places, in their order."""
        return LabelledTexts(
            tuple(self.inputs[i] for i in places),
            tuple(self.labels[i] for i in places),
            None if self.groups is None else tuple(self.groups[i] for i in places),
            None if self.rationales is None else tuple(self.rationales[i] for i in places),
        )


@dataclass(frozen=True)
class TaskSpec:
    """What is asked of a student: the kind of output, the JSON Schema of a record (`fields` only), the prompt that the
    frontier model gets for it, where the traffic has one, and the name of the view (in `metier.views.VIEWS`) through which
    inputs are read, where there is one."""

    kind: OutputKind = OutputKind.LABEL
    output_schema: Mapping[str, Any] | None = None
    template: Template | None = None
    view: str | None = None


LABEL_TASK = TaskSpec()


@dataclass(frozen=True)
class Answers:
    """What a student says about n inputs over k classes.

    labels (n,) object array of str: the answers. Of a `fields` task each is a record as canonical JSON
    (`metrics.records.canonical`), of a `text` task the text. scores (n,) in [0, 1]: one figure that ranks the student's own
    mistakes, low for foreign inputs too. ood_scores (n,): higher is more foreign. probabilities (n, k), rows sum to 1,
    columns in the order of `classes_`; they are calibrated for inputs of the known classes and know nothing of foreignness.
    Where the output is no label, k is 0.

    `failures` (n,) says why an answer is none, None where it is one: of students that write, "degenerate", "cut off",
    "invalid", "too long"; of those that read through a view, "unreadable" (see `metrics.generation`). A failed answer keeps
    its text and has score 0. `input_tokens` and `output_tokens` (n,) count what was read and written, second samples that
    the scores rest on included.
    """

    labels: LabelArray
    scores: FloatArray
    ood_scores: FloatArray
    probabilities: ProbabilityArray
    failures: tuple[str | None, ...] | None = None
    input_tokens: npt.NDArray[np.int64] | None = None
    output_tokens: npt.NDArray[np.int64] | None = None

    @property
    def gate_scores(self) -> FloatArray:
        """(n,) the scores as `Policy.keeps` must have them: NaN for a failed answer, which is never kept."""
        if self.failures is None:
            return self.scores
        return np.where([failure is not None for failure in self.failures], np.nan, self.scores)


@dataclass(frozen=True)
class EpochPoint:
    """The tune split after an epoch: mean negative log-likelihood (nats) and accuracy in [0, 1]; NaN if not measured."""

    epoch: int
    train_loss: float
    tune_loss: float
    tune_accuracy: float
    wall_s: float


@dataclass(frozen=True)
class FitSummary:
    """How a training went. `tune_accuracy` is that of the exported form; `wall_s` spans export and earlier, killed runs;
    `language_model` is what only a student that writes has to say, `view` through what the inputs were read."""

    student: str
    base_model: str
    licence: str
    n_train: int
    n_tune: int
    classes: tuple[str, ...]
    tune_accuracy: float
    wall_s: float
    epochs: int
    curve: tuple[EpochPoint, ...]
    precision: str
    precision_reason: str
    size_bytes: int
    versions: dict[str, str]
    notes: tuple[str, ...] = field(default=())
    language_model: LanguageModel | None = None
    view: ViewUse | None = None


class Predictor(Protocol):
    """A trained student in its exported form."""

    @property
    def classes_(self) -> tuple[str, ...]:
        """The labels it can give, sorted; empty where its output is no label. Where inputs name their own choices, the
        classes behind them."""
        ...

    def predict(self, inputs: Sequence[str]) -> Answers:
        """Answer every input, in order; no inputs give empty arrays."""
        ...


class Student(Protocol):
    """A kind of small model that can be trained."""

    @property
    def name(self) -> str:
        """The name it has in the registry."""
        ...

    @property
    def kinds(self) -> frozenset[OutputKind]:
        """The kinds of output it can learn."""
        ...

    @property
    def reads(self) -> Reads:
        """Whether it reads inputs as they are, needs a view of them, or takes one where there is one."""
        ...

    def fit(
        self,
        train: LabelledTexts,
        tune: LabelledTexts,
        folder: Path,
        *,
        seed: int,
        progress: Progress,
        options: Mapping[str, Option],
        task: TaskSpec = LABEL_TASK,
    ) -> FitSummary:
        """Train, export into `folder` and write meta.json last.

        Called again on the same folder with the same arguments it goes on from the last checkpoint, or gives back the
        summary of a training that is done. Raises BadInput on options it does not know, NotEnoughData below two classes.
        """
        ...

    def tune_accuracy(
        self,
        train: LabelledTexts,
        tune: LabelledTexts,
        folder: Path,
        *,
        seed: int,
        progress: Progress,
        options: Mapping[str, Option],
        task: TaskSpec = LABEL_TASK,
    ) -> float:
        """Train as `fit` does and give the accuracy on the tune split, without an export: a point of a learning curve.

        `folder` holds checkpoints on the way and is empty again at the end.
        """
        ...

    def load(self, folder: Path, threads: int = 1) -> Predictor:
        """The exported form, without torch and from formats that cannot run code; raises BadArtefact if altered.

        `threads` cores answer a batch (0: all); a single answer is one core's work.
        """
        ...


def classes_of(train: LabelledTexts) -> tuple[str, ...]:
    """The labels of `train`, sorted. Raises NotEnoughData where there are fewer than two."""
    classes = tuple(sorted(set(train.labels)))
    if len(classes) < MIN_CLASSES:
        seen = f"only {classes[0]!r}" if classes else "none"
        raise NotEnoughData(f"A classifier needs {MIN_CLASSES} classes or more to learn; the train split has {seen}.")
    return classes


def label_places(labels: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """(n,) the place of every label in `classes`; -1 for a label that is not among them (never answered right)."""
    place = {label: i for i, label in enumerate(classes)}
    return np.array([place.get(label, -1) for label in labels], dtype=np.int64)


def as_labels(places: npt.NDArray[np.int64], classes: Sequence[str]) -> LabelArray:
    """(n,) object array of the labels at `places`."""
    table = np.empty(len(classes), dtype=object)
    table[:] = classes
    return table[places]


def merged_options(given: Mapping[str, Option], defaults: Mapping[str, Option], student: str) -> dict[str, Option]:
    """`defaults` overridden by `given`. Raises BadInput for a name not in `defaults` or a value of another type."""
    merged = dict(defaults)
    for name, value in given.items():
        if name not in defaults:
            raise BadInput(f"The student {student!r} has no option {name!r}; it has: {', '.join(sorted(defaults))}.")
        merged[name] = _as_type_of(defaults[name], value, name)
    return merged


def _as_type_of(default: Option, value: Option, name: str) -> Option:
    if isinstance(default, bool) or isinstance(value, bool):
        fits = isinstance(default, bool) and isinstance(value, bool)
    elif isinstance(default, float):
        fits = isinstance(value, int | float)
        value = float(value) if isinstance(value, int | float) else value
    else:
        fits = default is None or isinstance(value, type(default))
    if not fits:
        raise BadInput(f"Option {name!r} is {value!r}; give a value like the default, {default!r}.")
    return value
