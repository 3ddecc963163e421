"""Near-duplicates: MinHash proposes pairs of texts, the edit distance decides.

Candidates: MinHash over character trigrams, runs of six in long texts (Broder, 1997), banded for locality-sensitive
hashing (Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, ch. 3), sketched by rensa. Decision: the normalised
Indel similarity of rapidfuzz, 2 * LCS / (len(a) + len(b)). On the 23,601 distinct inputs of clinc150 the pairs proposed
hold 99.9% of the 3,496 pairs that comparing every input with every other finds at 0.9 (docs/curate.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz, process
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from metier.progress import Progress, silent

IntArray = npt.NDArray[np.int64]

# Two texts of numbers share most runs of three characters; in long ones longer runs tell them apart.
_GRAM, _LONG_GRAM = 3, 6
_LONG_CHARS = 400
_PERMUTATIONS = 128
_ROWS_PER_BAND = 4
_SKETCH_SEED = 42
# Beginning and end stand for a longer text: the edit distance costs the square of the length.
_HALF_CHARS = 1_000
# One edit changes most trigrams of a text as short as this, so that sketches miss pairs: they are compared directly too.
_BRIEF_CHARS = 20
# Buckets up to this size become pairs that are checked in one pass over all bands; larger ones are compared in blocks.
_SMALL_BUCKET = 32
_JOINED_BUCKET = 512
# A block of texts of `_BLOCK_CHARS` characters; blocks of longer texts are smaller, so that a block's cost is the same.
_BLOCK_TEXTS = 4_000
_BLOCK_CHARS = 50
_PAIRS_AT_ONCE = 1_000_000
_SKETCH_CHARS_AT_ONCE = 2_000_000
# Within a block of look-alikes, the most similar partners that are kept for each text.
_PAIRS_PER_TEXT = 50
_NONE: IntArray = np.empty((0, 2), dtype=np.int64)


def near_pairs(texts: Sequence[str], threshold: float, progress: Progress = silent) -> IntArray:
    """Pairs of different texts whose normalised Indel similarity reaches `threshold`.

    Args:
        texts: distinct texts, best given as their `duplicate_key`.
        threshold: similarity in (0, 1]; at 1 nothing but the same text is similar, so no pair is returned.

    Returns:
        Array of shape (n_pairs, 2) of positions, each row ascending, rows sorted and distinct.
    """
    if len(texts) < 2 or threshold >= 1:
        return _NONE
    short = np.array([_shortened(text) for text in texts], dtype=object)
    lengths = np.array([len(text) for text in short])
    # The shorter of two similar texts has this share of the longer one's length at least: no pair falls between both.
    shortest = threshold / (2 - threshold)
    sides = (
        (np.flatnonzero(lengths <= _LONG_CHARS / shortest), _GRAM),
        (np.flatnonzero(lengths > _LONG_CHARS), _LONG_GRAM),
    )
    found = [side[_near_pairs(short[side], threshold, gram, progress)] for side, gram in sides if side.size > 1]
    return np.unique(np.concatenate([_NONE, *found]), axis=0)


def _near_pairs(short: npt.NDArray[np.object_], threshold: float, gram: int, progress: Progress) -> IntArray:
    """Pairs of texts, proposed by their grams of one length."""
    sketches = _sketch(short, gram, progress)
    parts = np.arange(len(short), dtype=np.int64)
    brief = np.flatnonzero([len(text) <= _BRIEF_CHARS for text in short])
    found = list(_compare_bucket(short, brief, parts, threshold)) if brief.size > 1 else []
    checked = np.empty(0, dtype=np.int64)
    n_bands = _PERMUTATIONS // _ROWS_PER_BAND
    for band in range(n_bands):
        parts = components(len(short), np.concatenate([_NONE, *found]))
        proposed = [np.empty(0, dtype=np.int64)]
        for bucket in _buckets(sketches[:, band * _ROWS_PER_BAND : (band + 1) * _ROWS_PER_BAND]):
            if bucket.size <= _SMALL_BUCKET:
                first, second = np.triu_indices(bucket.size, 1)
                proposed.append(bucket[first] * len(short) + bucket[second])
            else:
                found.extend(_compare_bucket(short, bucket, parts, threshold))
        fresh = np.setdiff1d(np.concatenate(proposed), checked)
        checked = np.union1d(checked, fresh)
        found.extend(_compare_pairs(short, fresh, threshold))
        progress("Looking for near-duplicates", band + 1, n_bands)
    return np.concatenate([_NONE, *found])


def components(n: int, pairs: IntArray) -> IntArray:
    """Connected components of `n` items joined by `pairs`: a component number in [0, n) for each item."""
    graph = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _shortened(text: str) -> str:
    return text if len(text) <= 2 * _HALF_CHARS else text[:_HALF_CHARS] + text[-_HALF_CHARS:]


def _grams(text: str, n: int) -> list[str]:
    padded = f" {text} "
    return [padded[start : start + n] for start in range(len(padded) - n + 1)] or [padded]


def _sketch(texts: npt.NDArray[np.object_], gram: int, progress: Progress) -> npt.NDArray[np.uint32]:
    from rensa import RMinHash

    parts = []
    blocks = np.cumsum([len(text) for text in texts]) // _SKETCH_CHARS_AT_ONCE
    for block in np.split(texts, np.flatnonzero(np.diff(blocks)) + 1):
        grams = [_grams(text, gram) for text in block]
        parts.append(np.array(RMinHash.digests_from_token_sets(grams, _PERMUTATIONS, _SKETCH_SEED), dtype=np.uint32))
        progress("Sketching inputs", sum(map(len, parts)), len(texts))
    return np.concatenate(parts)


def _buckets(rows: npt.NDArray[np.uint32]) -> Iterator[IntArray]:
    """Positions of rows that are equal, for every row value that occurs more than once; positions ascending."""
    wide = np.ascontiguousarray(rows).view(np.uint64)
    order = np.lexsort(wide.T[::-1])
    ordered = wide[order]
    edges = np.flatnonzero(np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1), True])
    sizes = np.diff(edges)
    for start, size in zip(edges[:-1][sizes > 1], sizes[sizes > 1], strict=True):
        yield np.sort(order[start : start + size]).astype(np.int64)


def _compare_pairs(texts: npt.NDArray[np.object_], codes: IntArray, threshold: float) -> Iterator[IntArray]:
    for start in range(0, len(codes), _PAIRS_AT_ONCE):
        pairs = np.stack(np.divmod(codes[start : start + _PAIRS_AT_ONCE], len(texts)), axis=1)
        scores = process.cpdist(
            texts[pairs[:, 0]], texts[pairs[:, 1]], scorer=fuzz.ratio, score_cutoff=100 * threshold, dtype=np.float32
        )
        yield pairs[scores > 0]


def _compare_bucket(
    texts: npt.NDArray[np.object_], bucket: IntArray, parts: IntArray, cut: float
) -> Iterator[IntArray]:
    """Pairs within a large bucket. One larger than a block is cut into blocks of neighbours in alphabetical order, each
    overlapping the next by half, so that what is compared stays proportional to the bucket's size; a very large one is
    left out once its texts are all joined already (`parts`, the components of the pairs found in earlier bands)."""
    mean_chars = max(1.0, float(np.mean([len(text) for text in texts[bucket]])))
    size = max(_SMALL_BUCKET, int(_BLOCK_TEXTS * min(1.0, _BLOCK_CHARS / mean_chars)))
    if bucket.size > _JOINED_BUCKET and np.all(parts[bucket] == parts[bucket[0]]):
        return
    ordered = bucket[np.argsort(texts[bucket], kind="stable")]
    for start in range(0, max(1, ordered.size - size // 2), size // 2):
        yield _compare_block(texts, ordered[start : start + size], cut)


def _compare_block(texts: npt.NDArray[np.object_], chosen: IntArray, threshold: float) -> IntArray:
    scores = process.cdist(
        texts[chosen], texts[chosen], scorer=fuzz.ratio, score_cutoff=100 * threshold, dtype=np.uint8
    )
    near = np.triu(scores, 1) > 0
    if near.sum() > _PAIRS_PER_TEXT * chosen.size:
        near = _thinned(scores, near)
    first, second = np.nonzero(near)
    return np.sort(np.stack([chosen[first], chosen[second]], axis=1), axis=1)


def _thinned(scores: npt.NDArray[np.uint8], near: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Of very many pairs, those that keep every component joined and each text's most similar partners: pairs of a
    block of look-alikes would otherwise grow with the square of its size."""
    graph = csr_array(near)
    kept = np.zeros_like(near)
    labels = connected_components(graph, directed=False)[1]
    for root in np.unique(labels, return_index=True)[1]:
        order, before = breadth_first_order(graph, root, directed=False)
        child = order[1:]
        kept[np.minimum(child, before[child]), np.maximum(child, before[child])] = True
    best = np.argpartition(np.where(near | near.T, scores, 0), -_PAIRS_PER_TEXT, axis=1)[:, -_PAIRS_PER_TEXT:]
    rows = np.repeat(np.arange(len(scores)), best.shape[1])
    kept[np.minimum(rows, best.ravel()), np.maximum(rows, best.ravel())] = True
    return kept & near
