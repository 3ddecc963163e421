"""One linear support vector machine a class, against all the rest (scikit-learn's LinearSVC; liblinear, Fan et al. 2008).

Measured against multinomial logistic regression on the same n-grams (docs/students.md): as accurate on clean labels, and
several points better where a share of the labels is wrong, because its margin does not chase single mislabelled texts.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from metier.progress import Progress

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class Weights:
    """Weights (v, k) and bias (k,); x @ weights + bias are the margins."""

    weights: FloatArray
    bias: FloatArray

    def logits(self, x: csr_array) -> FloatArray:
        """(n, k) of sparse rows (n, v)."""
        return np.asarray(x @ self.weights + self.bias, dtype=np.float32)


def fit_machines(x: csr_array, y: IntArray, n_classes: int, *, c: float, seed: int, progress: Progress) -> Weights:
    """Fit on rows x (n, v) of classes y (n,), one class after the other: liblinear draws its random numbers from one
    global state, so machines fitted in threads would differ from run to run."""
    # liblinear takes indices of 32 bits only.
    rows = csr_array((x.data, x.indices.astype(np.int32), x.indptr.astype(np.int32)), shape=x.shape)
    weights = np.zeros((x.shape[1], n_classes), dtype=np.float32)
    bias = np.zeros(n_classes, dtype=np.float32)
    for k in range(n_classes):
        weights[:, k], bias[k] = _fit_one(rows, y == k, c, seed)
        progress("Training linear", k + 1, n_classes)
    return Weights(weights, bias)


def _fit_one(x: csr_array, is_class: npt.NDArray[np.bool_], c: float, seed: int) -> tuple[FloatArray, float]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=c, random_state=seed, max_iter=_MAX_ITERATIONS)
    with warnings.catch_warnings():
        # Contradictory texts keep a machine from converging fully; the tune split says whether that matters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine.fit(x, is_class)
    return machine.coef_[0].astype(np.float32), float(machine.intercept_[0])
