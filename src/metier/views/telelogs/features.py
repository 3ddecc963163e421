"""The view's features: every measure averaged over the window's low samples and the others, and what spans samples."""

from __future__ import annotations

from typing import Literal

import numpy as np

from metier.views.base import Feature, FloatArray
from metier.views.telelogs.handovers import SPANS, spans
from metier.views.telelogs.measures import MEASURES, PLACES, BoolArray, Measured

# Measures whose level is the network's own affair (its power, its band, its antennas): only their changes are features.
_LEVEL_FREE = frozenset(["rsrp_over_free_space", "rate_per_rb"])
_LEVELS = tuple(place for place, measure in enumerate(MEASURES) if measure.name not in _LEVEL_FREE)

# The worst sample among the low ones, by measure, and on which side it lies.
_WORST: tuple[tuple[str, Literal["least", "most"]], ...] = (
    ("throughput_margin", "least"),
    ("distance_margin", "most"),
    ("speed_margin", "most"),
    ("rb_margin", "least"),
    ("sinr", "least"),
    ("beyond_far_edge", "most"),
    ("best_gap", "most"),
    ("apart_sum_gap", "most"),
    ("mod30_gap", "most"),
)
# Shares of the low samples beyond a limit: name, measure, whether above the limit, the limit.
_SHARES: tuple[tuple[str, str, bool, float], ...] = (
    ("far_share", "distance_margin", True, 0.0),
    ("fast_share", "speed_margin", True, 0.0),
    ("few_rb_share", "rb_margin", False, 0.0),
    ("beyond_far_edge_share", "beyond_far_edge", True, 0.0),
    ("neighbour_stronger_share", "best_gap", True, 0.0),
    ("neighbour_3db_stronger_share", "best_gap", True, 3.0),
    ("mod30_within_6db_share", "mod30_gap", True, -6.0),
    ("overlap_share", "apart_within_6db", True, 1.5),
)
_LIMITS = {"overlap_share": "two or more neighbours on other sites within 6 dB"}
# What throughput may follow, over all samples.
_FOLLOWS = (
    "distance_margin",
    "speed_margin",
    "rb_margin",
    "rsrp",
    "sinr",
    "beyond_far_edge",
    "best_gap",
    "apart_sum_gap",
    "mod30_gap",
)


def _described() -> tuple[Feature, ...]:
    units = {measure.name: measure.unit for measure in MEASURES}
    said = {measure.name: measure.description for measure in MEASURES}
    levels = [MEASURES[place] for place in _LEVELS]
    return (
        *(Feature(f"{m.name}_all", m.unit, f"{m.description}; mean over all samples") for m in levels),
        *(Feature(f"{m.name}_low", m.unit, f"{m.description}; mean over the low samples") for m in levels),
        *(Feature(f"{m.name}_drop", m.unit, f"{m.description}; mean over low minus the others") for m in MEASURES),
        *(
            Feature(
                f"{name}_low_{side}",
                units[name],
                f"{said[name]}; the {side} among the low samples",
            )
            for name, side in _WORST
        ),
        *(
            Feature(
                f"{name}_low",
                "",
                "share of the low samples with "
                + _LIMITS.get(name, f"{of} {'above' if above else 'below'} {limit:g} {units[of]}".rstrip()),
            )
            for name, of, above, limit in _SHARES
        ),
        *(Feature(f"follows_{name}", "", f"correlation of throughput with {name}") for name in _FOLLOWS),
        *SPANS,
    )


FEATURES = _described()


def features(measured: Measured) -> FloatArray:
    """The values of FEATURES (n_features,), NaN where one does not exist (no low sample, no serving cell in the table)."""
    low = measured.of("throughput_margin") < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        values = measured.values
        everywhere, at_low, at_others = _means(values, low, measured.of("throughput_margin") >= 0)
        return np.concatenate(
            [
                everywhere[list(_LEVELS)],
                at_low[list(_LEVELS)],
                at_low - at_others,
                _worst(values, low),
                _shares(values, low),
                _correlations(values),
                spans(measured, low),
            ]
        )


def _means(values: FloatArray, low: BoolArray, others: BoolArray) -> FloatArray:
    """(3, n_measures): the mean over all, the low and the other samples, NaN where none of them was measured."""
    there = ~np.isnan(values)
    samples = np.stack([np.ones(len(low)), low, others])
    return np.asarray((samples @ np.where(there, values, 0.0).T) / (samples @ there.T))


def _worst(values: FloatArray, low: BoolArray) -> FloatArray:
    if not low.any():
        return np.full(len(_WORST), np.nan)
    signs = np.array([1.0 if side == "most" else -1.0 for _, side in _WORST])
    chosen = values[[PLACES[name] for name, _ in _WORST]][:, low]
    return np.asarray(signs * np.fmax.reduce(signs[:, None] * chosen, axis=1))


def _shares(values: FloatArray, low: BoolArray) -> FloatArray:
    signs = np.array([1.0 if above else -1.0 for _, _, above, _ in _SHARES])
    limits = np.array([limit for *_, limit in _SHARES])
    chosen = values[[PLACES[of] for _, of, _, _ in _SHARES]][:, low]
    beyond = (signs[:, None] * (chosen - limits[:, None]) > 0).sum(axis=1)
    return np.asarray(beyond / (~np.isnan(chosen)).sum(axis=1))


def _correlations(values: FloatArray) -> FloatArray:
    """Pearson's, over the samples where both were measured; 0 where one of the two does not vary."""
    throughput, others = values[0], values[[PLACES[name] for name in _FOLLOWS]]
    there = ~np.isnan(others) & ~np.isnan(throughput)
    n = there.sum(axis=1, keepdims=True)
    x, y = np.where(there, others, 0.0), np.where(there, throughput, 0.0)
    x = np.where(there, x - x.sum(axis=1, keepdims=True) / n, 0.0)
    y = np.where(there, y - y.sum(axis=1, keepdims=True) / n, 0.0)
    size = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    # Rounding leaves a constant row a variation of about 1e-13.
    found = np.where(size > 1e-6, (x * y).sum(axis=1) / np.maximum(size, 1e-6), 0.0)
    return np.where(n[:, 0] > 1, found, np.nan)
