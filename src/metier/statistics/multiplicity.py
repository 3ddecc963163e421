"""Holm's correction for having tried several candidates."""

from collections.abc import Mapping

import numpy as np


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm (1979) adjusted p-values, one a candidate: those at or below alpha keep the family-wise error at alpha
    under any dependence.

    Raises ValueError on a p-value outside [0, 1] or NaN: a candidate that was tried and not scored may not shrink the
    family.
    """
    from statsmodels.stats.multitest import multipletests

    bad = {name: p for name, p in p_values.items() if not 0 <= p <= 1}
    if bad:
        raise ValueError(f"p-values outside [0, 1]: {bad}")
    if not p_values:
        return {}
    adjusted = multipletests(np.fromiter(p_values.values(), dtype=np.float64), method="holm")[1]
    return {name: float(p) for name, p in zip(p_values, adjusted, strict=True)}
