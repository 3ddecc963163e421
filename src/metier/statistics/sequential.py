"""A test of a running error rate that may be looked at after every single outcome, and an interval that may be, too.

H: each outcome, given those before it, is wrong with probability at most its `allowed`. One bets against H: the capital of
a gambler who stakes a share of it on "wrong" before every outcome is, under H, a non-negative supermartingale, so by
Ville's inequality the chance that it EVER reaches 1 / delta times what it began with is at most delta (Waudby-Smith &
Ramdas 2024, "Estimating means of bounded random variables by betting"; Ramdas, Gruenwald, Vovk & Shafer 2023).

Which stake pays depends on how far the rate has risen and when, which nobody knows: the capital is spread over several
stakes (method of mixtures) and over every outcome as a place to begin, with weights that sum to one. A mixture of
e-processes is an e-process, so what is bought with this is power after a long good run; the error rate stays delta over
the whole run.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy  # its stats and optimize take long to load: at their first use
from numpy.typing import ArrayLike
from scipy import special

from metier.statistics.arrays import FloatArray, in_unit_interval
from metier.statistics.intervals import Interval

# Each stake is the best one (Kelly 1956) where the odds of "wrong" are this many times those allowed.
ODDS_RATIOS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
# Half of the capital bets from the first outcome on, at the price of a factor of two.
_AT_THE_START = 0.5
# The decision has long been made at such capitals, and a larger one would overflow; a capped e-process is still one.
_MOST = 1e100
# Prior Beta(1/2, 1/2) of the interval: tight for rates near 0, which is where error rates are.
_PRIOR = 0.5


@dataclass(frozen=True)
class EProcess:
    """The state after `n` outcomes: `capital` (k,) is what each of the k stakes has made of the money it was given."""

    n: int = 0
    capital: FloatArray = field(default_factory=lambda: np.zeros(len(ODDS_RATIOS)))

    @property
    def e_value(self) -> float:
        """Evidence against H, at least 0; H is rejected at error rate delta where it has ever been 1 / delta or more."""
        return float(self.capital.mean() + held_back(self.n))

    def after(self, outcome: float, allowed: float) -> EProcess:
        """The state after one more outcome in [0, 1] (1: wrong). `allowed` > 0 may depend on anything known before it."""
        outcomes, nulls = _checked([outcome], [allowed])
        factors = _factors(outcomes, nulls, ODDS_RATIOS)[0]
        return EProcess(self.n + 1, _step(self.capital, self.n, factors))


def e_process(outcomes: ArrayLike, allowed: ArrayLike, odds_ratios: Sequence[float] = ODDS_RATIOS) -> FloatArray:
    """The e-value after each outcome.

    Args:
        outcomes: (n,) or (runs, n), in [0, 1]; 1 is wrong.
        allowed: the largest probability of "wrong" under H, above 0, of the same shape or broadcast to it. It may differ
            from outcome to outcome if it is fixed before the outcome is known; 1 or more means that nothing is tested.
        odds_ratios: the stakes, all above 1.

    Returns:
        e-values of the shape of `outcomes`. P(any of them >= 1 / delta) <= delta under H, for every delta.

    Raises:
        ValueError: an outcome outside [0, 1] or NaN, an `allowed` that is not above 0, an odds ratio not above 1.
    """
    values, nulls = _checked(outcomes, allowed)
    if not all(ratio > 1 for ratio in odds_ratios):
        raise ValueError(f"odds_ratios = {tuple(odds_ratios)}; each must be above 1")
    factors = _factors(values, nulls, odds_ratios)
    capital = np.zeros((*values.shape[:-1], len(odds_ratios)))
    e_values = np.empty(values.shape)
    for place in range(values.shape[-1]):
        capital = _step(capital, place, factors[..., place, :])
        e_values[..., place] = capital.mean(axis=-1) + held_back(place + 1)
    return e_values


def first_rejection(e_values: FloatArray, delta: float) -> int | None:
    """The place (from 0) of the first e-value (n,) that rejects H at error rate `delta`; None where none does."""
    in_unit_interval(delta=delta)
    reached = np.flatnonzero(e_values >= 1 / delta)
    return int(reached[0]) if len(reached) else None


def held_back(n: int) -> float:
    """The share of the capital that begins to bet only after outcome n; it tends to 0, so the weights sum to 1."""
    return 1.0 if n == 0 else (1 - _AT_THE_START) / float(np.log2(n + 1))


def start_weight(place: int) -> float:
    """The share that begins to bet at outcome `place` (from 0): a half at once; then like 1 / (j ln^2 j), about the slowest
    decrease that can be summed, so that a late start has capital enough to be heard."""
    return held_back(place) - held_back(place + 1)


def confidence_sequence(n_wrong: int, n: int, level: float = 0.95) -> Interval:
    """Bounds on a constant rate of "wrong" that hold after every outcome at once with probability `level`.

    Robbins' (1970) beta-binomial mixture: the rates p whose e-value B(a + w, a + n - w) / (B(a, a) p^w (1 - p)^(n - w)),
    a = 1/2, is below 1 / (1 - level). Wider than an interval for a fixed n, which holds only if it is looked at once.
    Raises ValueError where `n_wrong` is not among 0 ... n.
    """
    in_unit_interval(level=level)
    if not 0 <= n_wrong <= n:
        raise ValueError(f"n_wrong = {n_wrong} of n = {n}; it must lie between 0 and n")
    if n == 0:
        return Interval(float("nan"), 0.0, 1.0, level, 0, 0, _METHOD)
    n_right = n - n_wrong
    marginal = special.betaln(_PRIOR + n_wrong, _PRIOR + n_right) - special.betaln(_PRIOR, _PRIOR)
    limit = -np.log(1 - level)

    def excess(p: float) -> float:
        return float(marginal - special.xlogy(n_wrong, p) - special.xlog1py(n_right, -p) - limit)

    estimate = n_wrong / n
    lower = scipy.optimize.brentq(excess, _TINY, estimate) if n_wrong and excess(_TINY) > 0 else 0.0
    upper = scipy.optimize.brentq(excess, estimate, 1 - _TINY) if n_right and excess(1 - _TINY) > 0 else 1.0
    return Interval(estimate, float(lower), float(upper), level, n, n, _METHOD)


_METHOD = "beta-binomial confidence sequence"
_TINY = 1e-12


@functools.lru_cache(maxsize=8)
def _excess_odds(odds_ratios: tuple[float, ...]) -> FloatArray:
    return np.asarray(odds_ratios, dtype=np.float64) - 1


def _factors(outcomes: FloatArray, allowed: FloatArray, odds_ratios: Sequence[float]) -> FloatArray:
    """(..., n, k): what one unit of capital becomes, 1 + lambda (x - m) with the stake lambda = f / m, f in [0, 1).

    f = (p - m) / (1 - m), where p has r times the odds of m: then the factor is p / m on "wrong" and (1 - p) / (1 - m) on
    "right", the likelihood ratio of p against m. In odds, f = (r - 1) m / (1 + (r - 1) m).
    """
    m = np.minimum(allowed, 1.0)[..., None]
    rise = _excess_odds(tuple(odds_ratios)) * m
    share = np.where(m < 1, rise / (1 + rise), 0.0)
    return np.asarray(1 - share + share * outcomes[..., None] / m)


def _step(capital: FloatArray, place: int, factors: FloatArray) -> FloatArray:
    return np.asarray(np.minimum((capital + start_weight(place)) * factors, _MOST))


def _checked(outcomes: ArrayLike, allowed: ArrayLike) -> tuple[FloatArray, FloatArray]:
    values = np.asarray(outcomes, dtype=np.float64)
    if values.ndim == 0:
        raise ValueError("outcomes is a single number; give an array, the last axis in the order of time")
    nulls = np.broadcast_to(np.asarray(allowed, dtype=np.float64), values.shape)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("outcomes holds NaN or a value outside [0, 1]; leave out what was not judged")
    if not (nulls > 0).all():
        raise ValueError("allowed holds NaN or a value that is not above 0: H could never be rejected by betting")
    return values, nulls
