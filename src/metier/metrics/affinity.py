"""How different two sets of inputs are: the proxy A-distance, with an interval and what chance alone would give.

Ben-David, Blitzer, Crammer & Pereira (2007, 2010): train a linear classifier to tell the two sets apart; with held-out
error e, the proxy A-distance is 2 (1 - 2 e): 0 when they cannot be told apart, 2 when they always can.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metier.statistics.arrays import FloatArray, Groups, IntArray, group_codes
from metier.statistics.intervals import Interval, proportion

MAX_ITEMS_PER_SIDE = 1000
N_FOLDS = 5
N_NULL = 50
_RIDGES = np.logspace(-3, 3, 5)  # share of the mean feature variance; one is chosen inside each training fold


@dataclass(frozen=True, slots=True)
class Affinity:
    """Proxy A-distance in [0, 2] between two samples.

    ``null_upper`` is the 95% point and ``null_mean`` the mean of the distance between random halves of the same pooled
    items, so a distance at or below ``null_upper`` shows no difference; ``p_value`` is the permutation p-value.
    ``error`` is the held-out error.
    """

    distance: Interval
    error: Interval
    null_mean: float
    null_upper: float
    p_value: float
    n_per_side: int


def proxy_a_distance(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    *,
    groups_first: Groups | None = None,
    groups_second: Groups | None = None,
    max_items_per_side: int = MAX_ITEMS_PER_SIDE,
    n_folds: int = N_FOLDS,
    n_null: int = N_NULL,
    level: float = 0.95,
    seed: int = 0,
) -> Affinity:
    """Distance between feature matrices ``first`` (n1, d) and ``second`` (n2, d), embeddings for example.

    Both sides are subsampled to the same size. The classifier is ridge-regularised least squares on +-1 (Fisher's
    discriminant), its ridge chosen by leave-one-out error inside each training fold, its error measured by
    cross-validation in which no group crosses folds. The interval is Wilson's on the held-out errors (effective size
    with groups); it does not carry the choice of the training items. The null keeps the pooled items and shuffles the
    sides, by whole groups where there are groups.

    Raises ValueError when a side has fewer than ``n_folds`` items or groups, when widths differ, or on NaN.
    """
    rng = np.random.default_rng(seed)
    features, sides, groups, n = _balanced(first, second, groups_first, groups_second, max_items_per_side, rng)
    n_groups = int(groups.max()) + 1
    if n < n_folds or n_groups < 2 * n_folds:
        raise ValueError(f"{n} items a side in {n_groups} groups; the distance needs at least {n_folds} a side")
    folds = (rng.permutation(n_groups) % n_folds)[groups]
    targets = np.stack([sides, *(_shuffled(sides, groups, n_groups, rng) for _ in range(n_null))], axis=1)
    wrong = _held_out_errors(features, targets, folds, n_folds)
    error = proportion(wrong[:, 0], groups if n_groups < len(groups) else None, level)
    errors = wrong.mean(axis=0)
    null = _distance(errors[1:])
    observed = float(_distance(errors[:1])[0])
    distance = Interval(
        observed,
        float(_distance(np.array([error.upper]))[0]),
        float(_distance(np.array([error.lower]))[0]),
        level,
        error.n,
        error.n_groups,
        "2 (1 - 2 error), " + error.method,
    )
    return Affinity(
        distance=distance,
        error=error,
        null_mean=float(null.mean()) if n_null else float("nan"),
        null_upper=float(np.quantile(null, 0.95)) if n_null else float("nan"),
        p_value=(1 + int((errors[1:] <= errors[0]).sum())) / (n_null + 1),
        n_per_side=n,
    )


def _distance(errors: FloatArray) -> FloatArray:
    """2 (1 - 2 e), clipped to [0, 2]: an error above one half is chance, not closeness."""
    return np.asarray(np.clip(2 * (1 - 2 * errors), 0.0, 2.0))


def _balanced(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    groups_first: Groups | None,
    groups_second: Groups | None,
    max_items: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray, IntArray, int]:
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            f"feature matrices have shapes {first.shape} and {second.shape}; both must be (items, same width)"
        )
    n = min(len(first), len(second), max_items)
    rows_first, rows_second = rng.permutation(len(first))[:n], rng.permutation(len(second))[:n]
    features = np.concatenate([first[rows_first], second[rows_second]]).astype(np.float64)
    if not np.isfinite(features).all():
        raise ValueError("feature matrices hold NaN or infinite entries")
    sides = np.repeat([1.0, -1.0], n)
    codes_first, _ = group_codes(groups_first, len(first))
    codes_second, _ = group_codes(groups_second, len(second))
    offset = int(codes_first.max()) + 1 if len(codes_first) else 0
    _, groups = np.unique(
        np.concatenate([codes_first[rows_first], codes_second[rows_second] + offset]), return_inverse=True
    )
    return features, sides, np.asarray(groups, dtype=np.int64), n


def _shuffled(sides: FloatArray, groups: IntArray, n_groups: int, rng: np.random.Generator) -> FloatArray:
    """Sides permuted over whole groups; the two sides of the draw may then differ slightly in size."""
    side_of_group = np.zeros(n_groups)
    side_of_group[groups] = sides
    return np.asarray(rng.permutation(side_of_group)[groups])


def _held_out_errors(features: FloatArray, targets: FloatArray, folds: IntArray, n_folds: int) -> NDArray[np.bool_]:
    """Wrong held-out answers (n, 1 + n_null): one factorisation a fold serves the observed and all shuffled sides."""
    wrong = np.zeros(targets.shape, dtype=np.bool_)
    for fold in range(n_folds):
        held = folds == fold
        train, mean = features[~held], features[~held].mean(axis=0)
        scale = np.maximum(train.std(axis=0), 1e-12)
        scores = _ridge_scores((train - mean) / scale, targets[~held], (features[held] - mean) / scale)
        wrong[held] = np.where(scores >= 0, 1.0, -1.0) != targets[held]
    return wrong


def _ridge_scores(train: FloatArray, targets: FloatArray, held: FloatArray) -> FloatArray:
    """Least-squares scores of ``held``, the ridge of each target column the one with the fewest leave-one-out errors."""
    left, values, right = np.linalg.svd(train, full_matrices=False)
    centre = targets.mean(axis=0)
    projected = left.T @ (targets - centre)
    best = np.full(targets.shape[1], np.inf)
    coefficients = np.zeros((len(values), targets.shape[1]))
    for ridge in _RIDGES * len(train):
        shrink = values**2 / (values**2 + ridge)
        fitted = left @ (shrink[:, None] * projected) + centre
        leverage = np.minimum((left**2) @ shrink + 1 / len(train), 1 - 1e-9)
        left_out = targets - (targets - fitted) / (1 - leverage)[:, None]
        n_errors = (np.sign(left_out) != targets).mean(axis=0)
        better = n_errors < best
        best = np.where(better, n_errors, best)
        step = (np.divide(values, values**2 + ridge))[:, None] * projected
        coefficients = np.where(better, step, coefficients)
    return np.asarray(held @ (right.T @ coefficients) + centre)
