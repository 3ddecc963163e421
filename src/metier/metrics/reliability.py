"""Does a score of 0.9 mean right nine times in ten? Brier score and expected calibration error."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metier.statistics.arrays import FloatArray, Groups, as_correct, as_finite, same_length
from metier.statistics.bootstrap import N_RESAMPLES, mean_interval
from metier.statistics.intervals import Interval, proportion

N_BINS = 15


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bin: score range, items, mean score, share right with its interval."""

    lower: float
    upper: float
    n: int
    mean_score: float
    accuracy: Interval


@dataclass(frozen=True, slots=True)
class Reliability:
    """Brier score with interval; expected calibration error (ECE) over ``bins``, equally filled and never empty.

    ``ece_if_perfect`` is the ECE that perfectly calibrated scores would show on this many items by chance alone: an
    ECE is read against it.
    """

    brier: Interval
    ece: float
    ece_if_perfect: float
    bins: tuple[ReliabilityBin, ...]
    n: int


def reliability(
    scores: ArrayLike,
    correct: ArrayLike,
    *,
    groups: Groups | None = None,
    n_bins: int = N_BINS,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Reliability:
    """Judge scores (n,) in [0, 1] as probabilities of ``correct`` (n,).

    Brier (1950) is the mean of (score - correct)^2. ECE (Naeini, Cooper & Hauskrecht 2015) is the mean over items of
    |accuracy - mean score| of their bin, with ``n_bins`` bins of equal count. Raises ValueError on scores outside [0,
    1], NaN or no items.
    """
    values, hits = as_finite(scores, "scores"), as_correct(correct)
    n = same_length(scores=values, correct=hits, groups=groups)
    if n == 0:
        raise ValueError("no items; reliability needs at least one scored answer")
    if values.min() < 0 or values.max() > 1:
        raise ValueError(f"scores run from {values.min()} to {values.max()}; give probabilities in [0, 1]")
    order = np.argsort(values, kind="stable")
    edges = np.unique(np.linspace(0, n, min(n_bins, n) + 1).astype(np.int64))
    rng = np.random.default_rng(seed)
    perfect = rng.random((200, n)) < values[order]
    return Reliability(
        brier=mean_interval((values - hits) ** 2, groups, level=level, n_resamples=n_resamples, seed=seed),
        ece=float(_ece(values[order], hits[order][None, :].astype(np.float64), edges)[0]),
        ece_if_perfect=float(_ece(values[order], perfect.astype(np.float64), edges).mean()),
        bins=tuple(
            _bin(values[rows], hits[rows], None if groups is None else np.asarray(groups)[rows], level)
            for rows in np.split(order, edges[1:-1])
        ),
        n=n,
    )


def _ece(ascending: FloatArray, hits: FloatArray, edges: np.ndarray[tuple[int], np.dtype[np.int64]]) -> FloatArray:
    gaps = np.add.reduceat(hits - ascending, edges[:-1], axis=1)
    return np.asarray(np.abs(gaps).sum(axis=1) / len(ascending))


def _bin(scores: FloatArray, hits: ArrayLike, groups: Groups | None, level: float) -> ReliabilityBin:
    return ReliabilityBin(
        float(scores.min()), float(scores.max()), len(scores), float(scores.mean()), proportion(hits, groups, level)
    )
