"""The linear student's exported form: a gram list, one float16 matrix, and a few numbers in meta.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.errors import BadArtefact
from metier.students.base import Answers, FloatArray, as_labels
from metier.students.confidence import ScoreModel
from metier.students.exports import read_arrays, read_meta, write_arrays, write_bytes
from metier.students.linear.machines import Weights
from metier.students.linear.ngrams import NGrams

WEIGHTS_FILE = "weights.npz"
GRAMS_FILE = "ngrams.json"
FILES = (WEIGHTS_FILE, GRAMS_FILE)
_BATCH = 4096  # bounds the rows whose logits are held at once
_TINY = 1e-12


def write_export(folder: Path, grams: NGrams, weights: Weights) -> None:
    """Write the files that `load` reads; the weights lose half their bits, which no argmax notices."""
    write_bytes(folder / GRAMS_FILE, json.dumps({"n_words": grams.n_words, "grams": grams.grams}).encode())
    arrays: dict[str, npt.NDArray[Any]] = {
        "weights": weights.weights.astype(np.float16),
        "bias": weights.bias,
        "idf": grams.idf,
    }
    write_arrays(folder / WEIGHTS_FILE, arrays)


@dataclass(frozen=True)
class LinearScorer:
    """Logits over k classes from n-grams, without any view on how far to trust them."""

    grams: NGrams
    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]

    def logits(self, inputs: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, k)."""
        if len(inputs) == 1:
            # The way through a sparse matrix costs more than the answer itself.
            places, values = self.grams.row(inputs[0])
            return np.asarray(values @ self.weights[places] + self.bias, dtype=np.float32)[None]
        return np.asarray(self.grams.matrix(inputs) @ self.weights + self.bias, dtype=np.float32)


def read_scorer(folder: Path) -> LinearScorer:
    """The exported weights. Raises BadArtefact where the files do not fit together."""
    arrays = read_arrays(folder / WEIGHTS_FILE)
    listed = json.loads((folder / GRAMS_FILE).read_bytes())
    weights = arrays["weights"].astype(np.float32)
    if len(listed["grams"]) != len(weights) or len(arrays["idf"]) != len(weights):
        raise BadArtefact(f"{folder}: {GRAMS_FILE} and {WEIGHTS_FILE} are of different trainings. Train again.")
    grams = NGrams(tuple(listed["grams"]), arrays["idf"], int(listed["n_words"]))
    return LinearScorer(grams, weights, arrays["bias"])


def foreignness(probabilities: FloatArray, logits: npt.NDArray[np.floating]) -> FloatArray:
    """(n,) how little the best class stands out: minus its log-odds, minus its logit over the mean logit.

    The first alone is the maximum softmax probability (Hendrycks and Gimpel 2017), the second the maximum logit
    (Hendrycks et al. 2022), which a text of unknown grams cannot raise; a class struck out has the logit -inf.
    """
    best = np.asarray(probabilities.max(axis=1), dtype=np.float64)
    odds = np.log(np.maximum(best, _TINY)) - np.log(np.maximum(1 - best, _TINY))
    known = np.where(np.isfinite(logits), logits, np.nan)
    height = np.asarray(np.nanmax(known, axis=1) - np.nanmean(known, axis=1), dtype=np.float64)
    return -odds - height


@dataclass(frozen=True)
class LinearPredictor:
    """Answers from n-grams; a fraction of a millisecond each."""

    classes_: tuple[str, ...]
    scorer: LinearScorer
    model: ScoreModel

    def predict(self, inputs: Sequence[str]) -> Answers:
        """Answer every input, in order."""
        parts = [self._answer(inputs[i : i + _BATCH]) for i in range(0, max(len(inputs), 1), _BATCH)]
        if len(parts) == 1:
            return parts[0]
        return Answers(
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.ood_scores for part in parts]),
            np.concatenate([part.probabilities for part in parts]),
        )

    def _answer(self, inputs: Sequence[str]) -> Answers:
        logits = self.scorer.logits(inputs)
        probabilities = self.model.probabilities(logits)
        foreign = foreignness(probabilities, logits)
        confidence = probabilities.max(axis=1)
        labels = as_labels(probabilities.argmax(axis=1), self.classes_)
        return Answers(labels, self.model.scores(confidence, foreign), foreign, probabilities.astype(np.float32))


def load_linear(folder: Path) -> LinearPredictor:
    """The exported student of a folder. Raises BadArtefact naming the file that is missing or was altered."""
    meta = read_meta(folder, "linear")
    return LinearPredictor(tuple(meta["summary"]["classes"]), read_scorer(folder), ScoreModel(**meta["score_model"]))


def meta_of(model: ScoreModel) -> dict[str, dict[str, float]]:
    return {"score_model": asdict(model)}
