"""The encoder's exported form: an ONNX network, a tokenizer.json, class prototypes, and a few numbers in meta.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from metier.errors import BadArtefact
from metier.students.base import Answers, FloatArray, as_labels
from metier.students.confidence import ScoreModel
from metier.students.encoder.runtime import Session
from metier.students.encoder.tokens import TextTokenizer
from metier.students.exports import read_arrays, read_meta

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
HEAD_FILE = "head.npz"
FILES = (MODEL_FILE, TOKENIZER_FILE, HEAD_FILE)
_BATCH = 4096  # texts whose features and probabilities are held at once
_TINY = 1e-12


def cosine_logits(features: npt.NDArray[np.float32], prototypes: npt.NDArray[np.float32], scale: float) -> FloatArray:
    """(n, k): `scale` times the cosine of features (n, w) with unit prototypes (k, w)."""
    lengths = np.sqrt((features * features).sum(axis=1, keepdims=True))
    return np.asarray(scale * ((features / np.maximum(lengths, _TINY)) @ prototypes.T), dtype=np.float64)


def foreignness(logits: FloatArray) -> FloatArray:
    """(n,) minus the log-sum-exp of the logits (n, k): the energy score (Liu et al. 2020, eq. 4, at temperature 1).

    The logits are cosines with class prototypes, so it says how far a text lies from every class that was learnt; it is
    read at the scale of training, since a calibrated temperature would flatten it towards the number of classes.
    """
    return np.asarray(-logsumexp(logits, axis=1), dtype=np.float64)


@dataclass(frozen=True)
class EncoderPredictor:
    """Answers from a fine-tuned sentence encoder; some milliseconds each on one core."""

    classes_: tuple[str, ...]
    tokenizer: TextTokenizer
    session: Session
    prototypes: npt.NDArray[np.float32]
    scale: float
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
        features = self.session.features(self.tokenizer.ids(inputs))
        logits = cosine_logits(features, self.prototypes, self.scale)
        probabilities = self.model.probabilities(logits)
        foreign = foreignness(logits)
        labels = as_labels(probabilities.argmax(axis=1), self.classes_)
        scores = self.model.scores(probabilities.max(axis=1), foreign)
        return Answers(labels, scores, foreign, probabilities.astype(np.float32))


def load_encoder(folder: Path, threads: int) -> EncoderPredictor:
    """The exported student of a folder. Raises BadArtefact naming the file that is missing, altered or misfit."""
    meta = read_meta(folder, "encoder")
    classes = tuple(meta["summary"]["classes"])
    session = Session.open(folder / MODEL_FILE, threads, alone=meta["summary"]["precision"] == "int8")
    prototypes = read_arrays(folder / HEAD_FILE)["prototypes"]
    if prototypes.shape != (len(classes), session.width):
        raise BadArtefact(
            f"{folder / HEAD_FILE} has the shape {prototypes.shape}, not {(len(classes), session.width)}."
        )
    tokenizer = TextTokenizer.from_file(folder / TOKENIZER_FILE, int(meta["max_tokens"]))
    return EncoderPredictor(
        classes, tokenizer, session, prototypes, float(meta["scale"]), ScoreModel(**meta["score_model"])
    )
