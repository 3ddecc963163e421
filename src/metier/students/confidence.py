"""From logits and foreignness to one honest score.

Confidence is the largest softmax probability at a temperature that minimises the tune split's negative log-likelihood
(Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2). The score is P(right and known | confidence,
foreignness) by a logistic model with two non-negative weights, so it never rises with foreignness nor falls with
confidence. It is fitted on the tune split's own answers and, as foreign inputs are not at hand, on the same inputs seen
by a student that does not know their class (the class is struck from the head): "leave own class out".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy  # its stats and optimize take long to load: at their first use
from scipy.special import expit, log_softmax, softmax

from metier.students.base import FloatArray

TEMPERATURES = (0.02, 50.0)
# The share of foreign inputs for which the score is fitted. Ranking changes little with it; a job's own traffic seldom
# holds more, and none at all would leave foreignness without a weight.
FOREIGN_SHARE = 0.2
# Weight of the pull towards zero on the two slopes: keeps them finite when a small tune split has no mistakes at all.
_RIDGE = 1e-2
_MARGIN = 1e-6


@dataclass(frozen=True)
class ScoreModel:
    """score = expit(bias + confidence_weight * logit(confidence) - foreign_weight * (ood_score - centre) / spread)."""

    temperature: float
    bias: float
    confidence_weight: float
    foreign_weight: float
    centre: float
    spread: float

    def probabilities(self, logits: npt.NDArray[np.floating]) -> FloatArray:
        """(n, k) calibrated probabilities of logits (n, k)."""
        return np.asarray(softmax(np.asarray(logits, dtype=np.float64) / self.temperature, axis=1))

    def scores(self, confidence: FloatArray, ood_scores: FloatArray) -> FloatArray:
        """(n,) in [0, 1]: rises with confidence (n,), falls with ood_scores (n,)."""
        x = _design(confidence, ood_scores, self.centre, self.spread)
        return np.asarray(expit(self.bias + x @ np.array([self.confidence_weight, self.foreign_weight])))

    def score(self, confidence: float, ood_score: float) -> float:
        """`scores` of a single answer, without arrays: the same to about 1e-15."""
        held = min(max(confidence, _MARGIN), 1 - _MARGIN)
        odds = math.log(held) - math.log1p(-held)
        z = self.bias + (odds * self.confidence_weight - (ood_score - self.centre) / self.spread * self.foreign_weight)
        if z >= 0:
            return 1 / (1 + math.exp(-z))
        grown = math.exp(z)
        return grown / (1 + grown)


def fit_temperature(logits: npt.NDArray[np.floating], places: npt.NDArray[np.int64]) -> float:
    """The temperature with the least mean negative log-likelihood; labels at place -1 are left out, 1.0 if none is left."""
    known = places >= 0
    if not known.any():
        return 1.0
    kept, right = np.asarray(logits, dtype=np.float64)[known], places[known]
    rows = np.arange(len(right))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(kept / np.exp(log_temperature), axis=1)[rows, right].mean())

    low, high = np.log(TEMPERATURES)
    return float(np.exp(scipy.optimize.minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def fit_score_model(
    temperature: float,
    confidence: FloatArray,
    ood_scores: FloatArray,
    correct: npt.NDArray[np.bool_],
    foreign_confidence: FloatArray,
    foreign_ood_scores: FloatArray,
) -> ScoreModel:
    """Fit the two slopes. The first arrays (n,) are the tune split's, the last two (m,) of inputs of unknown class."""
    centre = float(np.median(ood_scores)) if len(ood_scores) else 0.0
    spread = max(float(np.std(ood_scores)), _MARGIN) if len(ood_scores) else 1.0
    x = np.vstack(
        [
            _design(confidence, ood_scores, centre, spread),
            _design(foreign_confidence, foreign_ood_scores, centre, spread),
        ]
    )
    y = np.concatenate([correct, np.zeros(len(foreign_confidence), dtype=np.bool_)]).astype(np.float64)
    weight = np.concatenate(
        [
            np.full(len(confidence), (1 - FOREIGN_SHARE) / max(len(confidence), 1)),
            np.full(len(foreign_confidence), FOREIGN_SHARE / max(len(foreign_confidence), 1)),
        ]
    )

    def loss(w: FloatArray) -> tuple[float, FloatArray]:
        z = w[0] + x @ w[1:]
        p = expit(z)
        value = float((weight * (np.logaddexp(0.0, z) - y * z)).sum() + _RIDGE / len(y) * (w[1:] ** 2).sum())
        slope = weight * (p - y)
        gradient = np.concatenate([[slope.sum()], slope @ x + 2 * _RIDGE / len(y) * w[1:]])
        return value, gradient

    bounds = [(None, None), (0.0, None), (0.0, None)]
    bias, confidence_weight, foreign_weight = scipy.optimize.minimize(
        loss, np.array([0.0, 1.0, 1.0]), jac=True, bounds=bounds, method="L-BFGS-B"
    ).x
    if confidence_weight + foreign_weight <= _MARGIN:
        # A split on which neither says anything (no mistakes seen, or nothing but mistakes): rank by confidence.
        bias, confidence_weight, foreign_weight = 0.0, 1.0, 0.0
    return ScoreModel(temperature, float(bias), float(confidence_weight), float(foreign_weight), centre, spread)


def _design(confidence: FloatArray, ood_scores: FloatArray, centre: float, spread: float) -> FloatArray:
    held = np.clip(confidence, _MARGIN, 1 - _MARGIN)
    return np.column_stack([np.log(held) - np.log1p(-held), -(np.asarray(ood_scores) - centre) / spread])
