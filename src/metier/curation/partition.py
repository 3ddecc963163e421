"""Dividing examples without parting a group: stratified at random, or with the newest groups held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_GOLDEN = (np.sqrt(5) - 1) / 2
# A group larger than this share of a part's intended size would make that part; it goes to the first part instead.
_LARGEST_SHARE = 0.5


def draw(
    groups: IntArray, strata: IntArray, shares: Sequence[float], rng: np.random.Generator, *, cover: bool = False
) -> IntArray:
    """Assign whole groups to parts at random, each stratum in the given shares.

    Groups are dealt out stratum by stratum by the golden-ratio rotation x_k = frac(u + k * phi) with one random start
    u (Weyl's equidistribution): any run of groups, so also any stratum, is shared out with a deviation of O(log run).

    Args:
        groups: group of each row, shape (n,).
        strata: class of each row, shape (n,); a group belongs to the stratum of most of its rows.
        shares: positive shares of the parts, adding up to 1; the first part is the one to train on.
        rng: source of randomness.
        cover: every stratum must have a row in the first part: where the draw left it without, it gets the smallest
            group that has one.

    Returns:
        The part of each row, in [0, len(shares)), shape (n,).
    """
    n_groups, group_of_row = _renumbered(groups)
    sizes = np.bincount(group_of_row, minlength=n_groups)
    stratum = _majority(group_of_row, strata, n_groups)
    order = np.lexsort((rng.permutation(n_groups), -sizes, rng.permutation(stratum.max() + 1)[stratum]))
    rotation = (rng.random() + np.arange(n_groups) * _GOLDEN) % 1.0
    part = np.empty(n_groups, dtype=np.int64)
    part[order] = np.searchsorted(np.cumsum(shares)[:-1], rotation, side="right")
    intended = np.asarray(shares) * len(groups)
    part[sizes > np.maximum(1.0, _LARGEST_SHARE * intended[part])] = 0
    if cover:
        _cover(part, group_of_row, strata, sizes)
    return part[group_of_row]


def _cover(part: IntArray, group_of_row: IntArray, strata: IntArray, sizes: IntArray) -> None:
    covered = np.unique(strata[part[group_of_row] == 0])
    for stratum in np.setdiff1d(np.unique(strata), covered):
        holders = group_of_row[strata == stratum]
        part[holders[np.argmin(sizes[holders])]] = 0


def newest(groups: IntArray, times: FloatArray, share: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """The rows of the groups that began last, about `share` of all rows; none if groups are too long-lived for that.

    A group begins with its first row; rows without a time (NaN) count as oldest, so a group with one is never newest.
    Groups that began at the same moment come in random order. Groups larger than half the share are never taken.
    """
    n_groups, group_of_row = _renumbered(groups)
    sizes = np.bincount(group_of_row, minlength=n_groups)
    begun = np.full(n_groups, np.inf)
    np.minimum.at(begun, group_of_row, np.where(np.isnan(times), -np.inf, times))
    order = np.lexsort((rng.permutation(n_groups), -begun))
    able = np.isfinite(begun[order]) & (sizes[order] <= np.maximum(1.0, _LARGEST_SHARE * share * len(groups)))
    order = order[able]
    chosen = order[np.cumsum(sizes[order]) <= round(share * len(groups))]
    taken = np.zeros(n_groups, dtype=bool)
    taken[chosen] = True
    return taken[group_of_row]


def _renumbered(groups: IntArray) -> tuple[int, IntArray]:
    values, numbers = np.unique(groups, return_inverse=True)
    return len(values), numbers.astype(np.int64)


def _majority(group_of_row: IntArray, strata: IntArray, n_groups: int) -> IntArray:
    pairs, counts = np.unique(np.stack([group_of_row, strata], axis=1), axis=0, return_counts=True)
    order = np.lexsort((pairs[:, 1], -counts, pairs[:, 0]))
    groups_seen, first = np.unique(pairs[order, 0], return_index=True)
    majority = np.zeros(n_groups, dtype=np.int64)
    majority[groups_seen] = pairs[order, 1][first]
    return majority
