"""What must stay together, and what the given splits make impossible to keep."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metier.curation.duplicates import components

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def row_pairs(keys: IntArray, key_pairs: IntArray) -> IntArray:
    """Pairs of near-duplicate keys as pairs of rows; every row of a key is also paired with the key's first row.

    Args:
        keys: key number of each row, shape (n,).
        key_pairs: pairs of key numbers, shape (m, 2); keys that no row has are left out.

    Returns:
        Shape (k, 2): enough pairs to join all rows of near-duplicate keys; where a key has several rows, the first one
        stands for it.
    """
    first = np.full(max(int(keys.max(initial=-1)), int(key_pairs.max(initial=-1))) + 1, -1, dtype=np.int64)
    first[keys[::-1]] = np.arange(len(keys), dtype=np.int64)[::-1]
    between = first[key_pairs]
    within = np.stack([np.arange(len(keys), dtype=np.int64), first[keys]], axis=1)
    return np.concatenate([between[(between >= 0).all(axis=1)], within[within[:, 0] != within[:, 1]]])


def leaking_rows(pairs: IntArray, ranks: IntArray, labels: IntArray) -> dict[int, int]:
    """Rows that are near-duplicates, with the same label, of a row on a side that is held out more strictly.

    The strictest side is served first; a row that is itself removed causes no further removal. Near-duplicates with
    different labels ("that is correct", "that is incorrect") teach the difference rather than the answer; they stay.

    Returns:
        Row to remove -> the held-out row that it resembles.
    """
    removed: dict[int, int] = {}
    same = pairs[labels[pairs[:, 0]] == labels[pairs[:, 1]]]
    swap = ranks[same[:, 0]] < ranks[same[:, 1]]
    ordered = np.where(swap[:, None], same[:, ::-1], same)
    ordered = ordered[ranks[ordered[:, 0]] > ranks[ordered[:, 1]]]
    for high, low in ordered[np.lexsort((ordered[:, 1], -ranks[ordered[:, 0]]))].tolist():
        if high not in removed:
            removed.setdefault(low, high)
    return removed


def leaking_groups(groups: IntArray, ranks: IntArray) -> BoolArray:
    """Rows whose own group (negative: none) also has rows on a side that is held out more strictly."""
    top: dict[int, int] = {}
    for group, rank in zip(groups.tolist(), ranks.tolist(), strict=True):
        top[group] = max(rank, top.get(group, rank))
    return np.array(
        [group >= 0 and top[group] > rank for group, rank in zip(groups.tolist(), ranks.tolist(), strict=True)],
        dtype=np.bool_,
    )


def bind(n: int, pairs: IntArray, groups: IntArray, ranks: IntArray) -> IntArray:
    """Group number of each row: rows of one side that share a group of their own (negative: none) or are
    near-duplicates, directly or through others (union of both relations)."""
    grouped = np.flatnonzero(groups >= 0)
    _, first, inverse = np.unique(groups[grouped], return_index=True, return_inverse=True)
    own = np.stack([grouped, grouped[first[inverse]]], axis=1) if len(grouped) else np.empty((0, 2), dtype=np.int64)
    joined = np.concatenate([pairs, own])
    return components(n, joined[ranks[joined[:, 0]] == ranks[joined[:, 1]]])
