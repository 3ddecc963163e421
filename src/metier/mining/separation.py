"""How separable the inputs of one task are from those of the rest: the affinity figure of the audit."""

from __future__ import annotations

import numpy as np
import polars as pl

from metier.artefacts.estimates import Estimate
from metier.artefacts.tasks import Affinity
from metier.metrics.affinity import N_FOLDS, proxy_a_distance
from metier.mining.features import topic_features

# Enough for an interval of some hundredths, and seconds rather than minutes over all tasks.
MAX_INPUTS = 1_000
_MIN_INPUTS = 4 * N_FOLDS


def measure_affinity(inside: pl.DataFrame, outside: pl.DataFrame, seed: int) -> Affinity | None:
    """Proxy A-distance between distinct inputs of a task and of other tasks; None where either side has too few."""
    first, second = (_distinct_inputs(side, seed) for side in (inside, outside))
    if min(len(first), len(second)) < _MIN_INPUTS:
        return None
    features = topic_features([*first, *second], seed)
    if not np.isfinite(features).all():
        return None
    measured = proxy_a_distance(features[: len(first)], features[len(first) :], seed=seed)
    found = measured.distance
    distance = Estimate(found.estimate, found.lower, found.upper, found.n, found.level, found.method)
    return Affinity(distance, measured.null_upper)


def _distinct_inputs(calls: pl.DataFrame, seed: int) -> list[str]:
    rows = calls.lazy().select("input", "input_key").filter(pl.col("input").str.len_chars() > 0)
    few = rows.with_columns(rank=pl.col("input_key").hash(seed)).unique("input_key", keep="any")
    chosen = few.sort("rank").head(MAX_INPUTS).collect()
    return chosen["input"].to_list()
