"""Stated figures with their uncertainty, as arrays: element 0 is the figure as stated, the others are draws around it.

One formula applied to such arrays gives the result at the stated figures and its Monte Carlo distribution together.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from metier.artefacts.estimates import Estimate

Floats = NDArray[np.float64]
LEVEL = 0.90
METHOD = "Monte Carlo, 5% and 95% quantiles"
# Weight of the mode in a PERT distribution (Malcolm, Roseboom, Clark and Fazar, 1959).
_PERT_WEIGHT = 4.0


def exact(value: float, n: int) -> Floats:
    """A figure taken as it is: shape (1 + n,), all equal to `value`."""
    return np.full(1 + n, float(value))


def lognormal(value: float, sigma: float, n: int, rng: np.random.Generator) -> Floats:
    """A positive figure with median `value` and standard deviation `sigma` of its logarithm: shape (1 + n,)."""
    return np.concatenate([[value], value * np.exp(sigma * rng.standard_normal(n))])


def pert(low: float, mode: float, high: float, n: int, rng: np.random.Generator) -> Floats:
    """A figure known by its least, most likely and greatest value: shape (1 + n,), the first being `mode`.

    Beta-PERT: Beta(1 + 4 (mode - low) / (high - low), 1 + 4 (high - mode) / (high - low)) scaled to [low, high]. Raises
    ValueError unless low <= mode <= high.
    """
    if not low <= mode <= high:
        raise ValueError(f"a PERT distribution needs low <= mode <= high, received {low}, {mode}, {high}")
    if low == high:
        return exact(mode, n)
    a = 1 + _PERT_WEIGHT * (mode - low) / (high - low)
    b = 1 + _PERT_WEIGHT * (high - mode) / (high - low)
    return np.concatenate([[mode], low + (high - low) * rng.beta(a, b, n)])


def share_between(estimate: Estimate, n: int, rng: np.random.Generator) -> Floats:
    """A measured share with its interval as a normal distribution cut to [0, 1]: shape (1 + n,).

    An interval that is not scored leaves the share as it is.
    """
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return exact(estimate.value, n)
    z = _normal_quantile(0.5 + estimate.level / 2)
    sd = (estimate.high - estimate.low) / (2 * z)
    drawn = estimate.value + sd * rng.standard_normal(n)
    return np.concatenate([[estimate.value], np.clip(drawn, 0.0, 1.0)])


def quantiles(values: Floats) -> tuple[float, float]:
    """The 5% and 95% quantile of the draws (element 0 left out); draws may be inf.

    Order statistics, never interpolated: between a finite and an infinite draw there is no number.
    """
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values[1:], [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def estimate(values: Floats) -> Estimate:
    """The stated figure's result with the 90% range of the draws."""
    low, high = quantiles(values)
    return Estimate(float(values[0]), low, high, values.size - 1, LEVEL, METHOD)


def _normal_quantile(p: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)
