"""The student `linear`: n-grams and one linear machine a class. Seconds to train, no torch; the baseline."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import log_softmax

from metier.artefacts.tasks import OutputKind
from metier.progress import Progress
from metier.students.base import (
    LABEL_TASK,
    EpochPoint,
    FitSummary,
    LabelledTexts,
    Option,
    Reads,
    TaskSpec,
    classes_of,
    label_places,
    merged_options,
)
from metier.students.confidence import ScoreModel, fit_score_model, fit_temperature
from metier.students.exports import (
    done_summary,
    recipe_of,
    versions_of,
    write_meta,
)
from metier.students.linear.machines import Weights, fit_machines
from metier.students.linear.ngrams import fit_ngrams
from metier.students.linear.predictor import (
    FILES,
    LinearPredictor,
    foreignness,
    load_linear,
    meta_of,
    read_scorer,
    write_export,
)

IntArray = npt.NDArray[np.int64]

# c: weight of the errors against that of the margin. min_texts: texts that a character gram must occur in.
DEFAULTS: dict[str, Option] = {"c": 2.0, "min_texts": 2}

# Weights are held in float32 while training: about 300 MiB at most.
_MAX_WEIGHTS = 80_000_000
_GRAMS_RANGE = (20_000, 300_000)


@dataclass(frozen=True)
class LinearStudent:
    """See the module; `fit` and `load` keep the contract of `students.base.Student`."""

    name: str = "linear"
    kinds: frozenset[OutputKind] = frozenset({OutputKind.LABEL})
    reads: Reads = "input"

    def fit(
        self,
        train: LabelledTexts,
        tune: LabelledTexts,
        folder: Path,
        *,
        seed: int,
        progress: Progress,
        options: Mapping[str, Option],
        task: TaskSpec = LABEL_TASK,  # noqa: ARG002 - labels need no more than their texts
    ) -> FitSummary:
        """Train and export. Options: c (float), min_texts (int). It is done in seconds, so a kill means starting over."""
        chosen = merged_options(options, DEFAULTS, self.name)
        recipe = recipe_of(self.name, train, tune, seed, chosen)
        if (done := done_summary(folder, recipe)) is not None:
            return done
        folder.mkdir(parents=True, exist_ok=True)
        return _fit(
            train, tune, folder, recipe, seed, progress, float(chosen["c"] or 1.0), int(chosen["min_texts"] or 1)
        )

    def tune_accuracy(
        self,
        train: LabelledTexts,
        tune: LabelledTexts,
        folder: Path,
        *,
        seed: int,
        progress: Progress,
        options: Mapping[str, Option],
        task: TaskSpec = LABEL_TASK,  # noqa: ARG002 - labels need no more than their texts
    ) -> float:
        """Accuracy on the tune split of a training of its own; nothing is left in `folder`."""
        accuracy = self.fit(train, tune, folder, seed=seed, progress=progress, options=options).tune_accuracy
        shutil.rmtree(folder)
        return accuracy

    def load(self, folder: Path, threads: int = 1) -> LinearPredictor:  # noqa: ARG002
        """The exported form; one thread is all it uses. Raises BadArtefact naming the file that is missing or altered."""
        return load_linear(folder)


def _fit(
    train: LabelledTexts,
    tune: LabelledTexts,
    folder: Path,
    recipe: str,
    seed: int,
    progress: Progress,
    c: float,
    min_texts: int,
) -> FitSummary:
    started = time.perf_counter()
    classes = classes_of(train)
    low, high = _GRAMS_RANGE
    grams = fit_ngrams(train.inputs, min_texts, max(low, min(high, _MAX_WEIGHTS // len(classes))))
    x, x_tune = grams.matrix(train.inputs), grams.matrix(tune.inputs)
    y, y_tune = label_places(train.labels, classes), label_places(tune.labels, classes)
    weights = fit_machines(x, y, len(classes), c=c, seed=seed, progress=progress)
    point = EpochPoint(1, math.nan, *_tune_figures(weights, x_tune, y_tune), time.perf_counter() - started)
    write_export(folder, grams, weights)
    model, right = _calibrate(folder, tune, y_tune)
    summary = FitSummary(
        student="linear",
        base_model="",
        licence="",
        n_train=len(train),
        n_tune=len(tune),
        classes=classes,
        tune_accuracy=right,
        wall_s=time.perf_counter() - started,
        epochs=1,
        curve=(point,),
        precision="float16",
        precision_reason="weights stored in 16 bits; the tune accuracy is that of the stored weights",
        size_bytes=0,
        versions=versions_of(["numpy", "scipy", "scikit-learn"]),
    )
    return write_meta(folder, FILES, recipe, summary, **meta_of(model))


def _calibrate(folder: Path, tune: LabelledTexts, y: IntArray) -> tuple[ScoreModel, float]:
    """The score model and the accuracy on the tune split, both of the weights as they were written."""
    if not len(tune):
        return ScoreModel(1.0, 0.0, 1.0, 0.0, 0.0, 1.0), math.nan
    logits = read_scorer(folder).logits(tune.inputs)
    temperature = fit_temperature(logits, y)
    right = logits.argmax(axis=1) == y
    confidence, foreign = _views(logits, temperature)
    struck = logits.astype(np.float64)
    known = np.flatnonzero(y >= 0)
    struck[known, y[known]] = -np.inf
    # A student of two classes that does not know one is sure of the other: nothing foreign can be learnt from it.
    foreign_seen = _views(struck, temperature) if logits.shape[1] > 2 else (np.empty(0), np.empty(0))
    return fit_score_model(temperature, confidence, foreign, right, *foreign_seen), float(right.mean())


def _views(
    logits: npt.NDArray[np.floating], temperature: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    probabilities = ScoreModel(temperature, 0.0, 1.0, 0.0, 0.0, 1.0).probabilities(logits)
    return probabilities.max(axis=1), foreignness(probabilities, logits)


def _tune_figures(weights: Weights, x: csr_array, y: IntArray) -> tuple[float, float]:
    """Mean negative log-likelihood over the labels that are known, and accuracy; NaN without a tune split."""
    if not len(y):
        return math.nan, math.nan
    logits = weights.logits(x)
    known = np.flatnonzero(y >= 0)
    losses = -log_softmax(logits[known], axis=1)[np.arange(len(known)), y[known]]
    return float(losses.mean()) if len(known) else math.nan, float((logits.argmax(axis=1) == y).mean())
