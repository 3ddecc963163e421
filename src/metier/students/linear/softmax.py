"""Multinomial logistic regression on sparse rows by AdaGrad, whose step size per weight suits rare n-grams.

Duchi, Hazan and Singer 2011, "Adaptive Subgradient Methods": w -= rate * g / sqrt(sum of g²), with the rate falling
linearly to zero. Only the columns that a mini-batch holds are touched, so an epoch costs what its non-zeros cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

RATE = 0.3
MAX_BATCH = 256
# A handful of examples still gets this many steps an epoch, so that small data is learnt in as few epochs as large.
MIN_STEPS = 40
_START = 1e-6  # of the squared gradients: keeps the first step finite


@dataclass
class Weights:
    """Weights (v, k) and bias (k,), each with its running sum of squared gradients."""

    weights: FloatArray
    bias: FloatArray
    weight_squares: FloatArray
    bias_squares: FloatArray

    @classmethod
    def zeros(cls, n_grams: int, n_classes: int) -> Weights:
        shape = (n_grams, n_classes)
        return cls(
            np.zeros(shape, np.float32),
            np.zeros(n_classes, np.float32),
            np.full(shape, _START, np.float32),
            np.full(n_classes, _START, np.float32),
        )

    def logits(self, x: csr_array) -> FloatArray:
        """(n, k) of sparse rows (n, v)."""
        return np.asarray(x @ self.weights + self.bias, dtype=np.float32)


def train_epoch(state: Weights, x: csr_array, y: IntArray, epoch: int, epochs: int, seed: int) -> float:
    """One pass over rows x (n, v) with classes y (n,); changes `state`. The mean loss in nats.

    Order depends on seed and epoch alone, so a training that goes on after a kill makes the same steps.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(y))
    size = max(1, min(MAX_BATCH, math.ceil(len(y) / MIN_STEPS)))
    steps = math.ceil(len(y) / size)
    loss = 0.0
    for step in range(steps):
        rows = order[step * size : (step + 1) * size]
        rate = RATE * (1 - (epoch * steps + step) / (epochs * steps))
        loss += _step(state, x[rows], y[rows], rate)
    return loss / len(y)


def _step(state: Weights, x: csr_array, y: IntArray, rate: float) -> float:
    columns, place = np.unique(x.indices, return_inverse=True)
    x = csr_array((x.data, place, x.indptr), shape=(len(y), len(columns)))
    weights = state.weights[columns]
    z = np.asarray(x @ weights) + state.bias
    z -= z.max(axis=1, keepdims=True)
    p = np.exp(z)
    total = p.sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    loss = float((np.log(total[:, 0]) - z[rows, y]).sum())
    p /= total
    p[rows, y] -= 1
    p /= np.float32(math.sqrt(len(y)))
    gradient = np.asarray(x.T.tocsr() @ p)
    squares = state.weight_squares[columns] + gradient * gradient
    state.weight_squares[columns] = squares
    state.weights[columns] = weights - np.float32(rate) * gradient / np.sqrt(squares)
    bias_gradient = p.sum(axis=0)
    state.bias_squares += bias_gradient * bias_gradient
    state.bias -= np.float32(rate) * bias_gradient / np.sqrt(state.bias_squares)
    return loss
