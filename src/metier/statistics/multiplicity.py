"""Holm's correction for having tried several candidates."""

from collections.abc import Mapping

import numpy as np

from metier.statistics.arrays import FloatArray


def holm_adjust(p_values: FloatArray) -> FloatArray:
    """Holm (1979) adjusted p-values along the last axis: the k-th smallest of m times m - k + 1, made monotone, at
    most 1.

    Four lines of our own: statsmodels' ``multipletests``, which the tests hold it to, takes seconds to import.
    """
    order = np.argsort(p_values, axis=-1, kind="stable")
    scaled = np.take_along_axis(p_values, order, axis=-1) * np.arange(p_values.shape[-1], 0, -1)
    adjusted = np.empty_like(scaled)
    np.put_along_axis(adjusted, order, np.minimum(np.maximum.accumulate(scaled, axis=-1), 1.0), axis=-1)
    return adjusted


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-value of each candidate: at or below alpha it keeps the family-wise error.

    Raises ValueError on a p-value outside [0, 1] or NaN: a candidate tried and not scored may not shrink the family.
    """
    bad = {name: p for name, p in p_values.items() if not 0 <= p <= 1}
    if bad:
        raise ValueError(f"p-values outside [0, 1]: {bad}; every candidate that was tried needs one")
    adjusted = holm_adjust(np.fromiter(p_values.values(), dtype=np.float64))
    return {name: float(p) for name, p in zip(p_values, adjusted, strict=True)}
