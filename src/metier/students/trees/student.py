"""The student `trees`: gradient boosting on the numbers that a view computes. Seconds to train, no torch."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput, MissingExtra
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
from metier.students.exports import done_summary, recipe_of, versions_of, write_arrays, write_meta
from metier.students.trees.boosting import Growing, Grown, IntArray, Values, grow
from metier.students.trees.export import MODEL_FILE, check_parity, write_trees
from metier.students.trees.foreignness import fit_foreignness
from metier.students.trees.predictor import (
    FILES,
    FOREIGNNESS_FILE,
    TreesPredictor,
    load_trees,
    look_at_all,
    read_scorer,
)
from metier.students.viewing import Viewed, find_view, need_readable, offered, stored_view, view_examples, view_use
from metier.views import View

# See `boosting.Growing`.
DEFAULTS: dict[str, Option] = {
    "iterations": 300,
    "rate": 0.1,
    "leaves": 15,
    "min_leaf": 20,
    "l2": 1.0,
    "feature_share": 0.5,
    "patience": 20,
}
_NAMED_FEATURES = 5


@dataclass(frozen=True)
class TreesStudent:
    """See the module; `fit` and `load` keep the contract of `students.base.Student`."""

    name: str = "trees"
    kinds: frozenset[OutputKind] = frozenset({OutputKind.LABEL})
    reads: Reads = "view"

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
        """Train and export; options are those of `boosting.Growing`. It is done in seconds, so a kill means starting over.

        Raises BadInput where the task has no view, MissingExtra where the library that writes ONNX is not installed,
        NotEnoughData where the view can read no example, ExportFailed where the exported trees answer otherwise.
        """
        if task.view is None:
            raise BadInput("the student 'trees' learns from the numbers of a view, and this task has none")
        if find_spec("onnx") is None:
            raise MissingExtra("train", "Exporting the student 'trees'")
        view = find_view(task.view)
        chosen = merged_options(options, DEFAULTS, self.name)
        recipe = recipe_of(self.name, train, tune, seed, chosen, view_use(view))
        if (done := done_summary(folder, recipe)) is not None:
            return done
        folder.mkdir(parents=True, exist_ok=True)
        return _fit(train, tune, view, folder, recipe, seed, progress, _growing(chosen))

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
        """Accuracy on the tune split of a training of its own; nothing is left in `folder`."""
        accuracy = self.fit(train, tune, folder, seed=seed, progress=progress, options=options, task=task).tune_accuracy
        shutil.rmtree(folder)
        return accuracy

    def load(self, folder: Path, threads: int = 1) -> TreesPredictor:  # noqa: ARG002
        """The exported form; one thread is all it uses. Raises BadArtefact naming what is missing, altered, or read through
        a view that is not the one of the training."""
        return load_trees(folder)


def _growing(chosen: Mapping[str, Option]) -> Growing:
    """The options as numbers; merged_options has seen to their types."""
    number = {name: float(value) for name, value in chosen.items() if value is not None}
    whole = {name: int(number[name]) for name in ("iterations", "leaves", "min_leaf", "patience")}
    return Growing(**whole, rate=number["rate"], l2=number["l2"], feature_share=number["feature_share"])


def _fit(
    train: LabelledTexts,
    tune: LabelledTexts,
    view: View,
    folder: Path,
    recipe: str,
    seed: int,
    progress: Progress,
    how: Growing,
) -> FitSummary:
    started = time.perf_counter()
    learn, check = (view_examples(view, texts, split, progress) for texts, split in ((train, "train"), (tune, "tune")))
    need_readable(learn, view, len(train))
    classes = classes_of(LabelledTexts(learn.classes, learn.classes))
    x, y = learn.values(), label_places(learn.classes, classes)
    y_tune = label_places(check.classes, classes)
    x_tune = check.values() if len(y_tune) else x[:0]
    known = y_tune >= 0
    progress("Growing trees", 0, None)
    grown = grow(x, y, x_tune[known], y_tune[known], len(classes), how, seed)
    write_trees(grown.forest, folder / MODEL_FILE)
    write_arrays(folder / FOREIGNNESS_FILE, fit_foreignness(x, y, len(classes)).arrays())
    apart = check_parity(read_scorer(folder).session, x, grown.logits)
    model, accuracy = _calibrate(folder, check, x_tune, y_tune, classes)
    wall_s = time.perf_counter() - started
    use = view_use(view)
    summary = FitSummary(
        student="trees",
        base_model="",
        licence="",
        n_train=len(y),
        n_tune=len(y_tune),
        classes=classes,
        tune_accuracy=accuracy,
        wall_s=wall_s,
        epochs=grown.n_rounds,
        curve=(EpochPoint(grown.n_rounds, grown.train_loss, grown.tune_loss, accuracy, wall_s),),
        precision="float32",
        precision_reason=f"ONNX; its logits are scikit-learn's to within {apart:.1g}",
        size_bytes=0,
        versions=versions_of(["numpy", "scipy", "scikit-learn", "onnx", "onnxruntime"]),
        notes=(*learn.notes, *check.notes, *_notes(grown, view)),
        view=use,
    )
    return write_meta(folder, FILES, recipe, summary, view=stored_view(use), score_model=asdict(model))


def _notes(grown: Grown, view: View) -> tuple[str, ...]:
    shares = grown.forest.importances()
    first = [place for place in np.argsort(-shares, kind="stable")[:_NAMED_FEATURES] if shares[place] > 0]
    if not first:
        return ()
    named = ", ".join(f"{view.features[place].name} {shares[place]:.0%}" for place in first)
    return (f"{grown.n_rounds} rounds of trees; of what their splits gained came from {named}",)


def _calibrate(
    folder: Path, tune: Viewed, x: Values, y: IntArray, classes: tuple[str, ...]
) -> tuple[ScoreModel, float]:
    """The score model and the accuracy on the tune split, both of the trees as they were written, among the choices that
    each input offers."""
    if not len(y):
        return ScoreModel(1.0, 0.0, 1.0, 0.0, 0.0, 1.0), math.nan
    logits, distances = look_at_all(read_scorer(folder), x)
    among = np.array([offered(reading, classes) for reading in tune.readings])
    answerable = among.any(axis=1)
    logits, distances, among, y = logits[answerable], distances[answerable], among[answerable], y[answerable]
    held = np.where(among, logits, -np.inf)
    temperature = fit_temperature(held, y)
    right = np.equal(held.argmax(axis=1), y)
    # "Leave own class out": the same inputs seen by trees that do not know their class, nor what is near to it.
    rows = np.flatnonzero((y >= 0) & (among.sum(axis=1) > 2))
    struck, away = held[rows].copy(), distances[rows].copy()
    struck[np.arange(len(rows)), y[rows]] = -np.inf
    away[np.arange(len(rows)), y[rows]] = np.inf
    model = fit_score_model(
        temperature,
        _confidence(held, temperature),
        distances.min(axis=1),
        right,
        _confidence(struck, temperature),
        away.min(axis=1, initial=np.inf) if len(rows) else np.empty(0),
    )
    return model, float(right.sum() / len(tune.readings))


def _confidence(logits: npt.NDArray[np.float64], temperature: float) -> npt.NDArray[np.float64]:
    """(n,) the largest probability of logits (n, k)."""
    if not len(logits):
        return np.empty(0)
    return np.asarray(ScoreModel(temperature, 0.0, 1.0, 0.0, 0.0, 1.0).probabilities(logits).max(axis=1))
