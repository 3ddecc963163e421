"""How far an input's numbers lie from those of every class that was learnt.

The Mahalanobis distance to the nearest class, with one covariance for all classes (Lee et al. 2018, "A Simple Unified
Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks", eq. 2), of numbers that were first brought to
normal scores by their quantiles: they come in metres, dBm and counts, and few of them are normal. The covariance is
shrunk as Ledoit and Wolf (2004) show, as many numbers say nearly the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from metier.students.trees.boosting import IntArray, Values

FloatArray = npt.NDArray[np.float64]

_KNOTS = 65
# No single number may say more than this: a column that never varied in training may well do so elsewhere.
_FURTHEST = 4.0
_LEAST_SPREAD = 1e-9


@dataclass(frozen=True)
class Foreignness:
    """What is needed of the train split, d numbers and k classes.

    `knots` (d, m) quantiles of each number, ascending; `reach` (d,) the distance between its quartiles, in which values
    beyond all knots are counted; `absent` (d,) the share of inputs that lack it. `whitening` (2d, 2d) and `centres`
    (k, 2d), whitened, are of the normal scores followed by what is absent.
    """

    knots: FloatArray
    reach: FloatArray
    absent: FloatArray
    whitening: FloatArray
    centres: FloatArray

    def distances(self, row: Values) -> FloatArray:
        """(k,) root mean square distance of a row (d,) from each class: about 1 for an input like those learnt from."""
        whitened = np.einsum("ij,j->i", self.whitening, self._scores(row))
        return np.asarray(np.sqrt(((self.centres - whitened) ** 2).mean(axis=1)))

    def _scores(self, row: Values) -> FloatArray:
        return _scores(row, self.knots, self.reach, self.absent)

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """As it is stored."""
        return {field.name: getattr(self, field.name).astype(np.float32) for field in fields(self)}


def read_foreignness(arrays: Mapping[str, npt.NDArray[Any]]) -> Foreignness:
    """What `arrays` gave."""
    return Foreignness(**{field.name: arrays[field.name].astype(np.float64) for field in fields(Foreignness)})


def fit_foreignness(x: Values, y: IntArray, n_classes: int) -> Foreignness:
    """Of rows x (n, d), NaN where absent, of classes y (n,), all of which occur."""
    from sklearn.covariance import ledoit_wolf

    gone = np.isnan(x)
    knots, reach = _quantiles(x)
    absent = gone.mean(axis=0)
    scores = np.array([_scores(row, knots, reach, absent) for row in x])
    means = np.array([scores[y == place].mean(axis=0) for place in range(n_classes)])
    within = scores - means[y]
    # What never varies within a class has no spread to be counted in: its deviations count as they are.
    spread = within.std(axis=0)
    scale = np.where(spread > _LEAST_SPREAD, spread, 1.0)
    covariance, _ = ledoit_wolf(within / scale, assume_centered=True)
    # Ledoit and Wolf's target is a multiple of the unit matrix, so the mix has an inverse, unless nothing varies at all.
    covariance[np.diag_indices_from(covariance)] += np.where(spread > _LEAST_SPREAD, _LEAST_SPREAD, 1.0)
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)) / scale
    return read_foreignness(Foreignness(knots, reach, absent, whitening, means @ whitening.T).arrays())


def _quantiles(x: Values) -> tuple[FloatArray, FloatArray]:
    """Knots (d, m) and the distance between the quartiles (d,), both of the values that there are."""
    n_features = x.shape[1]
    knots, reach = np.zeros((n_features, _KNOTS)), np.ones(n_features)
    for place in range(n_features):
        values = x[:, place].astype(np.float64)
        values = values[~np.isnan(values)]
        if len(values):
            # In the 32 bits of the values themselves: ties must stay ties.
            knots[place] = np.quantile(values, np.linspace(0, 1, _KNOTS)).astype(np.float32)
            low, high = np.quantile(values, (0.25, 0.75))
            reach[place] = next((span for span in (high - low, np.ptp(values)) if span > 0), 1.0)
    return knots, reach


def _scores(row: Values, knots: FloatArray, reach: FloatArray, absent: FloatArray) -> FloatArray:
    """(2d,) a row's normal scores, 0 where a number is absent; then how unusual it is that each is absent or there."""
    values = row.astype(np.float64)
    gone = np.isnan(values)
    values[gone] = knots[gone, 0]
    normal = _normal_scores(values, knots, reach)
    normal[gone] = 0.0
    # Laplace's rule keeps what was always there, or never, within bounds.
    spread = np.sqrt(np.maximum(absent * (1 - absent), 1 / (_FURTHEST * _FURTHEST)))
    return np.concatenate([normal, (gone - absent) / spread])


def _normal_scores(values: FloatArray, knots: FloatArray, reach: FloatArray) -> FloatArray:
    """(d,) the normal score of each value's place among the knots; beyond them, further by its distance in `reach`."""
    last = knots.shape[1] - 1
    lower = (knots < values[:, None]).sum(axis=1)
    upper = (knots <= values[:, None]).sum(axis=1)
    rows = np.arange(len(values))
    left, right = np.clip(lower - 1, 0, last), np.clip(lower, 0, last)
    width = knots[rows, right] - knots[rows, left]
    part = np.divide(values - knots[rows, left], width, out=np.zeros(len(values)), where=width > 0)
    # A value that is a knot stands in the middle of those that are equal to it.
    place = np.where(upper > lower, (lower + upper - 1) / 2, lower - 1 + np.clip(part, 0, 1))
    inside = ndtri((np.clip(place, 0, last) + 0.5) / (last + 1))
    beyond = np.maximum(values - knots[:, last], 0) - np.maximum(knots[:, 0] - values, 0)
    return np.asarray(np.clip(inside + beyond / reach, -_FURTHEST, _FURTHEST))
