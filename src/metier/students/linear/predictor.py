"""The linear student's exported form: a gram list, one float16 matrix, and a few numbers in meta.json."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.errors import BadArtefact
from metier.students.base import Answers, FloatArray
from metier.students.confidence import ScoreModel
from metier.students.exports import read_arrays, read_meta, write_arrays, write_bytes
from metier.students.linear.machines import Weights
from metier.students.linear.ngrams import NGrams

WEIGHTS_FILE = "weights.npz"
GRAMS_FILE = "ngrams.json"
FILES = (WEIGHTS_FILE, GRAMS_FILE)
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
        found = np.empty((len(inputs), len(self.bias)), dtype=np.float32)
        for i, text in enumerate(inputs):
            found[i] = self.logits_of(text)
        return found

    def logits_of(self, text: str) -> npt.NDArray[np.float32]:
        """(k,) of one text. Through a sparse matrix, one text or thousands would take longer."""
        places, values = self.grams.row(text)
        # A product by BLAS would split a long text's sums among its threads: slower, and other last bits on other machines.
        logits: npt.NDArray[np.float32] = np.einsum("i,ij->j", values, self.weights.take(places, axis=0))
        logits += self.bias
        return logits


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
    """Answers from n-grams, in some hundredths of a millisecond each.

    Every input is answered by itself: a certificate's threshold is one of the calibration scores, so an input must have
    the same score, to the last bit, alone at the gateway as among thousands. Through arrays it took longer as well.
    """

    classes_: tuple[str, ...]
    scorer: LinearScorer
    model: ScoreModel

    def predict(self, inputs: Sequence[str]) -> Answers:
        """Answer every input, in order."""
        n = len(inputs)
        labels, scores, foreign = np.empty(n, dtype=np.object_), np.empty(n), np.empty(n)
        probabilities = np.empty((n, len(self.classes_)), dtype=np.float32)
        for i, text in enumerate(inputs):
            place, scores[i], foreign[i] = self._answer(text, probabilities[i])
            labels[i] = self.classes_[place]
        return Answers(labels, scores, foreign, probabilities)

    def _answer(self, text: str, probabilities: npt.NDArray[np.float32]) -> tuple[int, float, float]:
        """The best class's place, the score and the foreignness of one text; writes `probabilities` (k,)."""
        # What `ScoreModel.probabilities` and `foreignness` do for arrays; numpy's and scipy's set-up is what takes time.
        found = self.scorer.logits_of(text)
        place = int(found.argmax())
        height = float(found[place] - np.add.reduce(found) / np.float32(len(found)))
        logits = found.astype(np.float64)
        logits /= self.model.temperature
        logits -= logits[place]
        shares = np.exp(logits, out=logits)
        shares /= np.add.reduce(shares)
        probabilities[:] = shares
        best = float(shares[place])
        odds = math.log(max(best, _TINY)) - math.log(max(1 - best, _TINY))
        foreign = -odds - height
        return place, self.model.score(best, foreign), foreign


def load_linear(folder: Path) -> LinearPredictor:
    """The exported student of a folder. Raises BadArtefact naming the file that is missing or was altered."""
    meta = read_meta(folder, "linear")
    return LinearPredictor(tuple(meta["summary"]["classes"]), read_scorer(folder), ScoreModel(**meta["score_model"]))


def meta_of(model: ScoreModel) -> dict[str, Any]:
    """What the loader needs beside the files."""
    return {"score_model": asdict(model)}
