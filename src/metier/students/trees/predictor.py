"""The trees' exported form: an ONNX file, an .npz of what is foreign, and the view by name, version and hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metier.errors import BadArtefact, Unreadable
from metier.metrics.generation import UNREADABLE
from metier.students.base import Answers, FloatArray
from metier.students.confidence import ScoreModel
from metier.students.exports import read_arrays, read_meta
from metier.students.trees.boosting import Values
from metier.students.trees.export import MODEL_FILE, TreeSession, open_trees
from metier.students.trees.foreignness import Foreignness, read_foreignness
from metier.students.viewing import UNREADABLE_OOD, label_of, offered, opened_view, values_of
from metier.views import Reading, View

FOREIGNNESS_FILE = "foreignness.npz"
FILES = (MODEL_FILE, FOREIGNNESS_FILE)


@dataclass(frozen=True)
class TreeScorer:
    """Logits and distances over k classes from a view's numbers."""

    session: TreeSession
    foreignness: Foreignness

    def look(self, row: Values) -> tuple[FloatArray, FloatArray]:
        """(k,) logits and (k,) distances of a row (n_features,)."""
        return self.session.logits(row).astype(np.float64), self.foreignness.distances(row)


@dataclass(frozen=True)
class TreesPredictor:
    """Answers from a view's numbers. What the view cannot read is not answered: `failures` says "unreadable", the score is
    0 and the ood score `viewing.UNREADABLE_OOD`.

    Every input is answered by itself, as a server answers it.
    """

    classes_: tuple[str, ...]
    view: View
    scorer: TreeScorer
    model: ScoreModel

    def predict(self, inputs: Sequence[str]) -> Answers:
        """Answer every input, in order, each among the choices that it offers and by the name that it gives them."""
        n, k = len(inputs), len(self.classes_)
        labels, scores, foreign = np.full(n, "", dtype=np.object_), np.zeros(n), np.full(n, UNREADABLE_OOD)
        probabilities = np.full((n, k), 1 / k, dtype=np.float32)
        failures: list[str | None] = [UNREADABLE] * n
        for i, text in enumerate(inputs):
            try:
                reading = self.view.read(text)
            except Unreadable:
                continue
            found = self._answer(reading)
            if found is None:
                continue
            place, scores[i], foreign[i], probabilities[i] = found
            labels[i], failures[i] = label_of(reading, self.classes_[place]), None
        return Answers(labels, scores, foreign, probabilities, tuple(failures))

    def _answer(self, reading: Reading) -> tuple[int, float, float, FloatArray] | None:
        """Best place, score, foreignness, (k,) probabilities; None where the input offers no class that was learnt."""
        among = offered(reading, self.classes_)
        if not among.any():
            return None
        logits, distances = self.scorer.look(values_of(reading))
        probabilities = self.model.probabilities(np.where(among, logits, -np.inf)[None, :])[0]
        place, nearest = int(probabilities.argmax()), float(distances.min())
        return place, self.model.score(float(probabilities[place]), nearest), nearest, probabilities


def look_at_all(scorer: TreeScorer, rows: Values) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(n, k) logits and (n, k) distances, row by row as at run time."""
    seen = [scorer.look(row) for row in rows]
    return np.array([logits for logits, _ in seen]), np.array([distances for _, distances in seen])


def read_scorer(folder: Path) -> TreeScorer:
    """The exported trees. Raises BadArtefact where a file is no such thing."""
    return TreeScorer(open_trees(folder / MODEL_FILE), read_foreignness(read_arrays(folder / FOREIGNNESS_FILE)))


def load_trees(folder: Path) -> TreesPredictor:
    """The exported student of a folder. Raises BadArtefact naming the file that is missing or was altered, and where the
    view that it reads through is not the one that it was trained with."""
    meta = read_meta(folder, "trees")
    view = opened_view(meta.get("view"), folder)
    classes, scorer = tuple(meta["summary"]["classes"]), read_scorer(folder)
    wanted, found = (len(view.features), len(classes)), (scorer.session.n_features, scorer.session.n_classes)
    if wanted != found:
        raise BadArtefact(f"{folder / MODEL_FILE} takes and gives {found} numbers, not {wanted}. Train again.")
    return TreesPredictor(classes, view, scorer, ScoreModel(**meta["score_model"]))
