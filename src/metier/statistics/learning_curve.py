"""Where more labels lead: an inverse power law fitted to a few training sizes, and the labels a target error needs.

error(n) = a + b n^-c (Cortes, Jackel, Solla, Vapnik & Denker 1993), with 0 <= a, 0 <= b and c within ``EXPONENTS``.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from metier.statistics.arrays import (
    FloatArray,
    Groups,
    as_correct,
    as_finite,
    group_codes,
    group_sums,
    in_unit_interval,
)
from metier.statistics.bootstrap import resample_weights
from metier.statistics.intervals import Interval

EXPONENTS = np.linspace(0.05, 2.0, 79)
"""Exponents tried. Published curves lie within them (Hestness et al. 2017 report 0.07 to 0.5 for deep models)."""

MAX_EXTRAPOLATION = 10.0
"""Times the largest size measured that a forecast is given for; beyond it a forecast is only "more than that"."""

_N_DRAWS = 1000
_MIN_SIZES = 3

Reach = Literal["already reached", "within range", "beyond extrapolation range", "not reachable"]


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """The fitted law with the draws of its parameters that carry the uncertainty.

    ``draws`` is (n_draws, 3) of (a, b, c). ``sizes`` are numbers of training labels, ``errors`` shares in [0, 1] on
    ``n_test`` items.
    """

    a: float
    b: float
    c: float
    draws: FloatArray
    sizes: FloatArray
    errors: FloatArray
    n_test: int
    n_groups: int


@dataclass(frozen=True, slots=True)
class LabelsNeeded:
    """Training labels for ``target_error``; a bound is infinite when that share of the draws never gets there.

    ``labels`` is None unless ``reach`` is "already reached" or "within range".
    """

    target_error: float
    labels: int | None
    lower: float
    upper: float
    level: float
    reach: Reach
    max_labels: int


def fit_learning_curve(
    sizes: ArrayLike, correct: ArrayLike, *, groups: Groups | None = None, n_draws: int = _N_DRAWS, seed: int = 0
) -> LearningCurve:
    """Fit the law to ``correct`` (n_sizes, n_test): the same test items answered by students trained on ``sizes``
    (n_sizes,) labels.

    Least squares weighted by the binomial variance of each error. The draws resample test items (whole ``groups``) for
    all sizes together, so the correlation between sizes is kept, and add to each size an independent normal error for
    the luck of the training draw, estimated from the residuals of the fit when there are more than three sizes. Raises
    ValueError on fewer than three sizes, sizes that repeat or are not positive, or NaN.
    """
    labels = _checked_sizes(sizes)
    hits = np.stack([as_correct(row) for row in np.asarray(correct)]).astype(np.float64)
    if len(hits) != len(labels):
        raise ValueError(f"{len(labels)} sizes and {len(hits)} rows of answers; give one row a size")
    n_test = hits.shape[1]
    codes, n_groups = group_codes(groups, n_test)
    wrong = group_sums((1 - hits).T, codes, n_groups)
    counts = np.bincount(codes, minlength=n_groups).astype(np.float64)
    rng = np.random.default_rng(seed)
    weights = resample_weights(n_groups, n_draws, rng)
    return _fit(
        labels, wrong.sum(axis=0) / n_test, (weights @ wrong) / (weights @ counts)[:, None], n_test, n_groups, rng
    )


def fit_learning_curve_to_errors(
    sizes: ArrayLike, errors: ArrayLike, n_test: int, *, n_draws: int = _N_DRAWS, seed: int = 0
) -> LearningCurve:
    """Fit the law when only error rates (n_sizes,) on ``n_test`` items are known; draws are binomial, independent
    between sizes.
    """
    labels, rates = _checked_sizes(sizes), as_finite(errors, "errors")
    if len(rates) != len(labels) or (rates < 0).any() or (rates > 1).any():
        raise ValueError(f"errors {rates} must be one share in [0, 1] for each of {len(labels)} sizes")
    rng = np.random.default_rng(seed)
    return _fit(labels, rates, rng.binomial(n_test, rates, size=(n_draws, len(rates))) / n_test, n_test, n_test, rng)


def forecast_error(curve: LearningCurve, n_labels: float, *, level: float = 0.95) -> Interval:
    """Error expected after training on ``n_labels``, with the percentile interval of the draws."""
    in_unit_interval(level=level)
    drawn = curve.draws[:, 0] + curve.draws[:, 1] * n_labels ** -curve.draws[:, 2]
    lower, upper = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    estimate = min(1.0, curve.a + curve.b * n_labels**-curve.c)
    return Interval(
        estimate,
        float(min(lower, estimate)),
        float(min(1.0, max(upper, estimate))),
        level,
        curve.n_test,
        curve.n_groups,
        f"power law, {len(curve.draws)} draws",
    )


def labels_needed(
    curve: LearningCurve, target_error: float, *, level: float = 0.95, max_extrapolation: float = MAX_EXTRAPOLATION
) -> LabelsNeeded:
    """Training labels at which the fitted law meets ``target_error``, with the percentile interval of the draws.

    "not reachable": the fitted floor a is at or above the target. "beyond extrapolation range": more than
    ``max_extrapolation`` times the largest size measured; no number is given, because none would be honest. Raises
    ValueError unless 0 < target_error < 1.
    """
    in_unit_interval(target_error=target_error, level=level)
    largest = float(curve.sizes.max())
    limit = int(largest * max_extrapolation)
    fitted = np.array([[curve.a, curve.b, curve.c]])
    estimate = float(_labels_at(fitted, target_error)[0])
    drawn = _labels_at(curve.draws, target_error)
    lower, upper = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], method="nearest")
    return LabelsNeeded(
        target_error=target_error,
        labels=int(np.ceil(estimate)) if estimate <= limit else None,
        lower=min(float(lower), estimate),
        upper=max(float(upper), estimate),
        level=level,
        reach=_reach(estimate, largest, limit),
        max_labels=limit,
    )


def _reach(estimate: float, largest: float, limit: int) -> Reach:
    if estimate <= largest:
        return "already reached"
    if estimate <= limit:
        return "within range"
    return "beyond extrapolation range" if np.isfinite(estimate) else "not reachable"


def _labels_at(parameters: FloatArray, target: float) -> FloatArray:
    a, b, c = parameters.T
    room = target - a
    with np.errstate(over="ignore"):
        needed = np.where(room > 0, (b / np.where(room > 0, room, 1.0)) ** (1 / c), np.inf)
    return np.asarray(needed)


def _checked_sizes(sizes: ArrayLike) -> FloatArray:
    labels = as_finite(sizes, "sizes")
    if len(labels) < _MIN_SIZES:
        raise ValueError(f"{len(labels)} training sizes; a learning curve needs at least {_MIN_SIZES}")
    if (labels <= 0).any() or len(np.unique(labels)) != len(labels):
        raise ValueError(f"training sizes {labels} must be positive and distinct")
    return labels


def _fit(
    sizes: FloatArray, errors: FloatArray, draws: FloatArray, n_test: int, n_groups: int, rng: np.random.Generator
) -> LearningCurve:
    smoothed = (errors * n_test + 0.5) / (n_test + 1)
    weights = n_test / (smoothed * (1 - smoothed))
    a, b, c = _least_squares(sizes, errors[None, :], weights)[0]
    spare = len(sizes) - _MIN_SIZES
    if spare > 0:
        residuals = errors - (a + b * sizes**-c)
        luck = max(0.0, float((weights * residuals**2).sum()) / spare - 1.0)
        draws = draws + rng.normal(size=draws.shape) * np.sqrt(luck / weights)
    return LearningCurve(
        float(a),
        float(b),
        float(c),
        _least_squares(sizes, np.clip(draws, 0, 1), weights),
        sizes,
        errors,
        n_test,
        n_groups,
    )


def _least_squares(sizes: FloatArray, errors: FloatArray, weights: FloatArray) -> FloatArray:
    """Best (a, b, c) for each row of ``errors`` (m, n_sizes): closed form in (a, b) for every exponent, the best
    exponent kept.

    Constrained to a >= 0 and b >= 0 by checking the two edges, which is exact in two variables.
    """
    best = np.full(len(errors), np.inf)
    parameters = np.zeros((len(errors), 3))
    total = weights.sum()
    mean_error = errors @ weights / total
    for exponent in EXPONENTS:
        x = (sizes / sizes.min()) ** -exponent
        mean_x = float(x @ weights) / total
        slope = ((errors - mean_error[:, None]) @ (weights * (x - mean_x))) / float(weights @ (x - mean_x) ** 2)
        floor = mean_error - slope * mean_x
        through_zero = errors @ (weights * x) / float(weights @ x**2)
        slope, floor = np.where(floor < 0, through_zero, slope), np.maximum(floor, 0.0)
        floor, slope = np.where(slope < 0, mean_error, floor), np.maximum(slope, 0.0)
        loss = ((errors - floor[:, None] - slope[:, None] * x) ** 2) @ weights
        better = loss < best - 1e-12
        best = np.where(better, loss, best)
        found = np.stack([floor, slope * sizes.min() ** exponent, np.full(len(errors), exponent)], axis=1)
        parameters = np.where(better[:, None], found, parameters)
    return parameters
