"""From the token probabilities of a written answer to one score in [0, 1]: P(right), calibrated on the tune split.

What is looked at, each higher where the model is surer: the least probable token of any value (one wrong digit makes a
wrong record), the least sure value by its mean log-probability, the whole answer's log-probability (which holds the choice
to leave a field out), how near the input is to those of training, and the share of the values that stand in the input. The
JSON around the values is left out of the first two: it is the constraint's work. The score is a logistic model of these
with weights that are not negative, drawn towards equal ones: with a tune split of some dozens it stays near their plain
mean, and it never falls where one of them rises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy  # its stats and optimize take long to load: at their first use
from scipy.special import expit

from metier.artefacts.tasks import OutputKind
from metier.metrics.auroc import auroc_difference
from metier.statistics.arrays import IntArray, group_codes
from metier.students.base import FloatArray
from metier.students.lm.parts import Generated

BoolArray = npt.NDArray[np.bool_]

FEATURES = (
    "least sure token of a value",
    "least sure value",
    "whole answer",
    "nearness of the input",
    "share of values that stand in the input",
)
AGREEMENT = "agreement of a second sample"
# A second sample costs a second answer: it must rank mistakes better by this much (AUROC, out of fold), and be shown to
# rank them better at all by the lower end of this interval, on a tune split with so many mistakes and right answers.
_GAIN, _SHOWN, _LEAST = 0.02, 0.9, 5
_FOLDS = 5
# Precision of the Gaussian prior on the weights of the standardised features, around equal weights that sum to one.
_PRIOR = 1.0
# A right and a wrong answer of this weight at the centre: keeps the bias finite where the tune split is all one.
_PSEUDO = 0.5
_LEAST_NATS = 1e-6
_MIN_SPREAD = 1e-3
_WHITE = " \t\r\n"


@dataclass(frozen=True)
class AnswerScore:
    """score = expit(bias + weights . (features - centres) / spreads); features (k,), weights >= 0."""

    bias: float
    weights: tuple[float, ...]
    centres: tuple[float, ...]
    spreads: tuple[float, ...]

    @property
    def uses_agreement(self) -> bool:
        """Whether it wants a second sample of every answer."""
        return len(self.weights) > len(FEATURES)

    def scores(self, features: FloatArray) -> FloatArray:
        """(n,) in [0, 1] of features (n, k)."""
        z = self.bias + ((features - np.array(self.centres)) / np.array(self.spreads)) @ np.array(self.weights)
        return np.asarray(expit(z), dtype=np.float64)


def answer_features(kind: OutputKind, answer: Generated, foreignness: float, grounded: float = 1.0) -> FloatArray:
    """(k,) the figures of FEATURES for one answer that is none of the failures; `grounded` in [0, 1]."""
    nats = np.minimum(np.asarray(answer.logprobs, dtype=np.float64), -_LEAST_NATS)
    values = _value_tokens(answer.pieces) if kind is OutputKind.FIELDS else [np.arange(len(nats))]
    told = [nats[tokens] for tokens in values if len(tokens)] or [nats]
    if not len(nats):
        return np.array([0.0, 0.0, 0.0, -foreignness, grounded])
    least = min(float(one.min()) for one in told)
    mean = min(float(one.mean()) for one in told)
    return np.array([_log_odds(least), _log_odds(mean), _log_odds(float(nats.sum())), -foreignness, grounded])


def fit_answer_score(features: FloatArray, right: BoolArray) -> AnswerScore:
    """Fit the weights on features (n, k) of the tune split's answers and whether each is right (n,)."""
    k = features.shape[1]
    centres = np.median(features, axis=0) if len(features) else np.zeros(k)
    spreads = np.maximum(features.std(axis=0), _MIN_SPREAD) if len(features) else np.ones(k)
    x = np.vstack([(features - centres) / spreads, np.zeros((2, k))])
    y = np.concatenate([right.astype(np.float64), [0.0, 1.0]])
    weight = np.concatenate([np.ones(len(right)), [_PSEUDO, _PSEUDO]])
    equal = 1 / k

    def loss(w: FloatArray) -> tuple[float, FloatArray]:
        z = w[0] + x @ w[1:]
        off = w[1:] - equal
        value = float((weight * (np.logaddexp(0.0, z) - y * z)).sum() + _PRIOR / 2 * (off**2).sum())
        slope = weight * (expit(z) - y)
        return value, np.concatenate([[slope.sum()], slope @ x + _PRIOR * off])

    start = np.concatenate([[0.0], np.full(k, equal)])
    found = scipy.optimize.minimize(
        loss, start, jac=True, bounds=[(None, None), *[(0.0, None)] * k], method="L-BFGS-B"
    ).x
    return AnswerScore(
        float(found[0]),
        tuple(float(value) for value in found[1:]),
        tuple(float(value) for value in centres),
        tuple(float(value) for value in spreads),
    )


def choose_answer_score(
    features: FloatArray, agreement: FloatArray | None, right: BoolArray, groups: Sequence[str] | None = None
) -> AnswerScore:
    """The model without `agreement` (n,), or with it where that is shown to rank the mistakes better out of fold. Items of
    `groups` (n,) may be alike; of a single group nothing can be shown."""
    codes, n_groups = group_codes(groups, len(right))
    if agreement is None or n_groups < 2 or not agreement_is_measurable(right):
        return fit_answer_score(features, right)
    more = np.column_stack([features, agreement])
    scores = out_of_fold(more, right, codes), out_of_fold(features, right, codes)
    gain = auroc_difference(*scores, right, groups=codes, level=_SHOWN)
    return fit_answer_score(more if gain.estimate >= _GAIN and gain.lower > 0 else features, right)


def agreement_is_measurable(right: BoolArray) -> bool:
    """Whether a tune split has the mistakes and the right answers that a choice needs."""
    return min(int(right.sum()), int((~right).sum())) >= _LEAST


def out_of_fold(features: FloatArray, right: BoolArray, groups: IntArray) -> FloatArray:
    """(n,) scores of every answer by a model that was fitted without any of its group in `groups` (n,), of two or more."""
    from sklearn.model_selection import GroupKFold  # it takes long to load

    scores = np.empty(len(right))
    folds = GroupKFold(min(_FOLDS, len(np.unique(groups))))
    for others, held in folds.split(features, groups=groups):
        scores[held] = fit_answer_score(features[others], right[others]).scores(features[held])
    return scores


def value_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of every top-level value of the JSON object in `text`; as far as it can be read."""
    decoder, spans = JSONDecoder(), []
    at = text.find("{") + 1
    if not at:
        return []
    try:
        while True:
            at = _skip(text, at, _WHITE + ",")
            _, at = decoder.raw_decode(text, at)
            start = _skip(text, at, _WHITE + ":")
            at = _end(decoder, text, start)
            spans.append((start, at))
    except JSONDecodeError:
        return spans


def _value_tokens(pieces: Sequence[str]) -> list[npt.NDArray[np.int64]]:
    """The places of the tokens of each value, whole or in part."""
    ends = np.cumsum([len(piece) for piece in pieces])
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    return [np.flatnonzero((starts < end) & (ends > start)) for start, end in value_spans("".join(pieces))]


def _end(decoder: JSONDecoder, text: str, start: int) -> int:
    value: tuple[Any, int] = decoder.raw_decode(text, start)
    return value[1]


def _skip(text: str, at: int, characters: str) -> int:
    while at < len(text) and text[at] in characters:
        at += 1
    return at


def _log_odds(nats: float) -> float:
    """log(p / (1 - p)) of log p."""
    held = min(nats, -_LEAST_NATS)
    return held - float(np.log(-np.expm1(held)))
