"""The student `encoder`: a small sentence encoder, fine-tuned, exported to ONNX, in int8 where that costs no accuracy."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput, MissingExtra
from metier.progress import Progress
from metier.students.base import (
    LABEL_TASK,
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
from metier.students.encoder.predictor import (
    FILES,
    HEAD_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    EncoderPredictor,
    cosine_logits,
    foreignness,
    load_encoder,
)
from metier.students.exports import done_summary, recipe_of, versions_of, write_arrays, write_meta

if TYPE_CHECKING:
    from metier.students.encoder.base_model import BaseModel
    from metier.students.encoder.training import Material, Trained

# base_model: "minilm" (bundled), "hf:org/name[@revision]" or a folder. precision: "auto" (int8 if the tune split allows),
# "int8", "float32". rate and head_rate: AdamW's, at the top of the schedule; layer_decay multiplies the rate once a layer
# down. scale: the inverse temperature of the cosine head. patience: epochs without progress before an early stop (0:
# never).
# threads: cores used in training (0: all); sums in another order make another result, so it is part of the recipe.
DEFAULTS: dict[str, Option] = {
    "base_model": "minilm",
    "epochs": 5,
    "batch_size": 64,
    "rate": 2e-4,
    "head_rate": 1e-3,
    "layer_decay": 0.9,
    "warm_up": 0.1,
    "weight_decay": 0.01,
    "label_smoothing": 0.0,
    "scale": 16.0,
    "max_tokens": 128,
    "patience": 3,
    "precision": "auto",
    "checkpoint_every_s": 30.0,
    "threads": 0,
}
PRECISIONS = ("auto", "int8", "float32")
_PACKAGES = ("torch", "transformers", "onnx", "onnxruntime", "tokenizers", "numpy")
_WORK = "work"  # checkpoints and both exports; removed when the folder is complete
_NEEDED = ("torch", "transformers", "onnx", "onnxscript")


@dataclass(frozen=True)
class EncoderStudent:
    """See the module; `fit` and `load` keep the contract of `students.base.Student`."""

    name: str = "encoder"
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
        """Fine-tune, export and calibrate; `options` override DEFAULTS.

        Raises MissingExtra without torch, BadInput on a base model or option that cannot be used, TrainingFailed where
        the loss is not a number.
        """
        chosen = _checked(merged_options(options, DEFAULTS, self.name))
        recipe = recipe_of(self.name, train, tune, seed, chosen)
        if (done := done_summary(folder, recipe)) is not None:
            return done
        _need_extra()
        (folder / _WORK).mkdir(parents=True, exist_ok=True)
        return _fit(train, tune, folder, recipe, seed, progress, chosen)

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
        """Accuracy on the tune split of a training of its own, in float32; nothing is left in `folder`."""
        chosen = _checked(merged_options(options, DEFAULTS, self.name))
        _need_extra()
        folder.mkdir(parents=True, exist_ok=True)
        recipe = recipe_of(self.name, train, tune, seed, chosen)
        trained = _fine_tune(_prepare(train, tune, chosen, progress), folder, recipe, seed, progress, chosen)
        shutil.rmtree(folder)
        return trained.curve[trained.best_epoch - 1].tune_accuracy

    def load(self, folder: Path, threads: int = 1) -> EncoderPredictor:
        """The exported form on `threads` cores (0: all). Raises BadArtefact naming the file that is wrong."""
        return load_encoder(folder, threads)


def _checked(chosen: dict[str, Any]) -> dict[str, Any]:
    if chosen["precision"] not in PRECISIONS:
        raise BadInput(f"precision is {chosen['precision']!r}; give one of {', '.join(PRECISIONS)}.")
    for name in ("epochs", "batch_size", "rate", "head_rate", "scale", "max_tokens"):
        if chosen[name] <= 0:
            raise BadInput(f"{name} is {chosen[name]!r}; give more than 0.")
    return chosen


def _need_extra() -> None:
    if any(find_spec(package) is None for package in _NEEDED):
        raise MissingExtra("train", "Training the student 'encoder'")


@dataclass(frozen=True)
class _Prepared:
    base: BaseModel
    max_tokens: int
    classes: tuple[str, ...]
    material: Material


def _prepare(train: LabelledTexts, tune: LabelledTexts, chosen: dict[str, Any], progress: Progress) -> _Prepared:
    from metier.students.encoder.base_model import find_base_model
    from metier.students.encoder.tokens import TextTokenizer
    from metier.students.encoder.training import Material

    classes = classes_of(train)
    progress("Reading the base model", 0, None)
    base = find_base_model(chosen["base_model"])
    max_tokens = min(chosen["max_tokens"], base.max_tokens)
    tokenizer = TextTokenizer.from_file(base.tokenizer_path, max_tokens)
    train_y, tune_y = label_places(train.labels, classes), label_places(tune.labels, classes)
    material = Material(tokenizer.ids(train.inputs), train_y, tokenizer.ids(tune.inputs), tune_y, len(classes))
    return _Prepared(base, max_tokens, classes, material)


def _fine_tune(
    prepared: _Prepared, folder: Path, recipe: str, seed: int, progress: Progress, chosen: dict[str, Any]
) -> Trained:
    from metier.students.encoder.base_model import read_torch_model
    from metier.students.encoder.training import Plan
    from metier.students.encoder.training import train as fine_tune

    plan = Plan(**{name: chosen[name] for name in Plan.__dataclass_fields__ if name != "seed"}, seed=seed)
    return fine_tune(read_torch_model(prepared.base), prepared.material, plan, folder, recipe, progress)


def _fit(
    train: LabelledTexts,
    tune: LabelledTexts,
    folder: Path,
    recipe: str,
    seed: int,
    progress: Progress,
    chosen: dict[str, Any],
) -> FitSummary:
    work = folder / _WORK
    prepared = _prepare(train, tune, chosen, progress)
    shutil.copyfile(prepared.base.tokenizer_path, folder / TOKENIZER_FILE)
    trained = _fine_tune(prepared, work, recipe, seed, progress, chosen)
    base, classes, material = prepared.base, prepared.classes, prepared.material

    exporting = time.perf_counter()
    exported = _export(trained.encoder, trained.prototypes, material, folder, chosen, progress)
    write_arrays(folder / HEAD_FILE, {"prototypes": trained.prototypes})
    model, right = _calibrate(exported.tune_logits, material.tune_y)
    summary = FitSummary(
        student="encoder",
        base_model=base.name,
        licence=base.licence,
        n_train=len(train),
        n_tune=len(tune),
        classes=classes,
        tune_accuracy=right,
        wall_s=trained.wall_s + time.perf_counter() - exporting,
        epochs=len(trained.curve),
        curve=trained.curve,
        precision=exported.precision,
        precision_reason=exported.reason,
        size_bytes=0,
        versions=versions_of(_PACKAGES),
        notes=(
            f"the weights of epoch {trained.best_epoch} of {len(trained.curve)} are kept: best on the tune split",
            *((f"the base model is that of commit {base.revision} of the hub",) if base.revision else ()),
        ),
    )
    more = {"scale": chosen["scale"], "max_tokens": prepared.max_tokens, "score_model": asdict(model)}
    summary = write_meta(folder, FILES, recipe, summary, **more)
    shutil.rmtree(work)
    return summary


@dataclass(frozen=True)
class _Exported:
    precision: str
    reason: str
    tune_logits: npt.NDArray[np.float64]


def _export(
    encoder: Any,
    prototypes: npt.NDArray[np.float32],
    material: Material,
    folder: Path,
    chosen: dict[str, Any],
    progress: Progress,
) -> _Exported:
    """Write both forms, ask both the tune split, and keep one as the folder's network."""
    from metier.students.encoder.export import (
        FLOAT32_FILE,
        INT8_FILE,
        Precision,
        choose_precision,
        features_from,
        write_int8,
        write_onnx,
    )

    work, steps = folder / _WORK, 3

    def tune_logits(path: Path, alone: bool) -> npt.NDArray[np.float64]:
        return cosine_logits(features_from(path, material.tune_ids, alone), prototypes, chosen["scale"])

    progress("Exporting encoder", 0, steps)
    write_onnx(encoder, work / FLOAT32_FILE)
    progress("Exporting encoder", 1, steps)
    logits = {"float32": tune_logits(work / FLOAT32_FILE, alone=False)}
    kept = Precision("float32", "asked for")
    if chosen["precision"] != "float32":
        write_int8(work / FLOAT32_FILE, work / INT8_FILE)
        progress("Exporting encoder", 2, steps)
        logits["int8"] = tune_logits(work / INT8_FILE, alone=True)
        right = {name: found.argmax(axis=1) == material.tune_y for name, found in logits.items()}
        asked = chosen["precision"] == "int8"
        kept = Precision("int8", "asked for") if asked else choose_precision(right["float32"], right["int8"])
    shutil.copyfile(work / (INT8_FILE if kept.name == "int8" else FLOAT32_FILE), folder / MODEL_FILE)
    progress("Exporting encoder", steps, steps)
    return _Exported(kept.name, kept.reason, logits[kept.name])


def _calibrate(logits: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> tuple[ScoreModel, float]:
    """The score model and the accuracy on the tune split, both of the exported form."""
    if not len(y):
        return ScoreModel(1.0, 0.0, 1.0, 0.0, 0.0, 1.0), math.nan
    temperature = fit_temperature(logits, y)
    plain = ScoreModel(temperature, 0.0, 1.0, 0.0, 0.0, 1.0)
    struck = logits.copy()
    known = np.flatnonzero(y >= 0)
    struck[known, y[known]] = -np.inf
    right = logits.argmax(axis=1) == y
    # A student of two classes that does not know one is sure of the other: nothing foreign can be learnt from it.
    foreign = struck if logits.shape[1] > 2 else struck[:0]
    model = fit_score_model(
        temperature,
        plain.probabilities(logits).max(axis=1),
        foreignness(logits),
        right,
        plain.probabilities(foreign).max(axis=1),
        foreignness(foreign),
    )
    return model, float(right.mean())
