"""Which of the tasks that share one template an input belongs to, where no answer tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from metier.mining.features import hashed_words
from metier.mining.meaning import fit_judge

# Of the inputs judged, at most this share may be given to the wrong task, at 95% confidence: else nothing is judged.
MAX_WRONG = 0.02
_CONFIDENCE = 0.95
_MAX_INPUTS = 2_000
_N_FOLDS = 5

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class InputJudge:
    """Naive Bayes over words and word pairs: `weights` has the shape (features, tasks). An input is judged where the best
    task is ahead of the second by `margin` nats or more."""

    weights: npt.NDArray[np.float64]
    margin: float

    def judge(self, text: str) -> int | None:
        """The place of the input's task, or None where it is not clear."""
        if not np.isfinite(self.margin):
            return None
        counts = hashed_words([text])
        scores = counts.data @ self.weights[counts.indices]
        second, best = np.argsort(scores)[-2:]
        return int(best) if scores[best] - scores[second] >= self.margin else None


def fit_input_judge(inputs: Sequence[pl.Series], seed: int) -> InputJudge:
    """A judge between tasks, given each task's inputs; the margin is the least one that keeps MAX_WRONG out of sample."""
    rng = np.random.default_rng(seed)
    texts: list[str] = []
    owner: list[int] = []
    for place, column in enumerate(inputs):
        distinct = column.drop_nulls().unique(maintain_order=True).to_list()
        chosen = sorted(rng.permutation(len(distinct))[:_MAX_INPUTS].tolist())
        texts += [distinct[index] for index in chosen]
        owner += [place] * len(chosen)
    tasks = np.array(owner, dtype=np.int64)
    model = fit_judge(texts, owner)
    weights = np.zeros((model.feature_log_prob_.shape[1], len(inputs)))
    weights[:, model.classes_] = model.feature_log_prob_.T
    return InputJudge(weights, _safe_margin(texts, tasks, rng))


def _safe_margin(texts: Sequence[str], tasks: Int64s, rng: np.random.Generator) -> float:
    from scipy.stats import beta

    margins, right = _out_of_sample(texts, tasks, rng)
    order = np.argsort(-margins)
    n = np.arange(1, len(order) + 1)
    n_wrong = np.cumsum(~right[order])
    # Clopper and Pearson (1934): the upper bound of the share wrong among the n clearest.
    bound = np.where(n_wrong < n, beta.ppf(_CONFIDENCE, n_wrong + 1, np.maximum(n - n_wrong, 1)), 1.0)
    good = np.flatnonzero(bound <= MAX_WRONG)
    return float(margins[order[good[-1]]]) if len(good) else float("inf")


def _out_of_sample(
    texts: Sequence[str], tasks: Int64s, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """For every input the margin of a judge that has not seen it, and whether that judge is right."""
    folds = rng.permutation(len(texts)) % _N_FOLDS
    margins, right = np.full(len(texts), -np.inf), np.zeros(len(texts), dtype=bool)
    for fold in range(_N_FOLDS):
        held, rest = np.flatnonzero(folds == fold).tolist(), np.flatnonzero(folds != fold).tolist()
        if not held or len(np.unique(tasks[rest])) < 2:
            continue
        model = fit_judge([texts[index] for index in rest], tasks[rest].tolist())
        scores = hashed_words([texts[index] for index in held]) @ model.feature_log_prob_.T
        ranked = np.sort(scores, axis=1)
        margins[held] = ranked[:, -1] - ranked[:, -2]
        right[held] = model.classes_[np.argmax(scores, axis=1)] == tasks[held]
    return margins, right
