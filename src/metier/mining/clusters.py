"""Prompts that share a template, found by splitting a sample again and again at literal text.

A template's literal text gives shingles that occur in exactly the same prompts. Such a set of shingles is a block. Words
that merely are common do not make blocks: the prompts of each of their shingles differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metier.mining.shingles import Bools, Int64s, Shingles, UInt64s

# A shingle is literal in a cluster when this share of its prompts holds it: room for odd prompts and chance damage.
LITERAL_SHARE = 0.98
# Three-token shingles a block needs: three are two words and a colon at the head of a message, counted with its start.
MIN_BLOCK = 3
# ... and those of them that must lie in a user message before it counts as instructed.
_MIN_IN_USER = 2
# Wordings that begin alike must differ by more than a value of few tokens in a slot (a name, a language) touches.
MIN_WORDING_BLOCK = 6
# Text that recurs inside messages, away from both ends, is boilerplate of inputs more often than instructions.
MIN_INNER_BLOCK = 12
# Once prompts share instructions, a further split must explain most of them: wordings that begin alike do, inputs that
# happen to begin alike do not.
MIN_COVERAGE = 0.8
_MAX_OVERLAP = 0.05
_MAX_DEPTH = 12


@dataclass(frozen=True)
class Cluster:
    """Prompts (indices into the sample) and the indices of the shingles that are literal in them."""

    prompts: Int64s
    literal: Int64s
    has_instructions: bool


@dataclass(frozen=True)
class _Block:
    prompts: Int64s
    n_shingles: int
    anchored: bool


def cluster_prompts(shingles: Shingles, min_support: int, seed: int) -> list[Cluster]:
    """Disjoint clusters that cover every prompt; those without instructions of their own hold what was left over."""
    weights = np.random.default_rng(seed).integers(0, 2**63, shingles.n_prompts, dtype=np.uint64)
    return _split(shingles, np.arange(shingles.n_prompts), weights, min_support, 0)


def _split(shingles: Shingles, prompts: Int64s, weights: UInt64s, min_support: int, depth: int) -> list[Cluster]:
    within = _restrict(shingles, prompts)
    support = np.bincount(within.shingle, minlength=len(shingles.hashes))
    literal = np.flatnonzero(support >= LITERAL_SHARE * len(prompts))
    has_instructions = int(shingles.in_user[literal].sum()) >= _MIN_IN_USER
    parts: list[Int64s] = []
    if depth < _MAX_DEPTH and len(prompts) >= 2 * min_support:
        between = (support >= min_support) & (support < LITERAL_SHARE * len(prompts))
        # Wordings that begin alike differ in the middle; there, what has to cover most prompts need not be long.
        smallest = (MIN_WORDING_BLOCK, MIN_WORDING_BLOCK) if has_instructions else (MIN_BLOCK, MIN_INNER_BLOCK)
        parts = _choose(_blocks(within, between, weights, *smallest), shingles.n_prompts)
        if has_instructions and sum(map(len, parts)) < MIN_COVERAGE * len(prompts):
            parts = []
    if not parts:
        return [Cluster(prompts, literal, has_instructions)]
    rest = np.setdiff1d(prompts, np.concatenate(parts), assume_unique=True)
    if len(rest):
        parts.append(rest)
    return [cluster for part in parts for cluster in _split(within, part, weights, min_support, depth + 1)]


def _restrict(shingles: Shingles, prompts: Int64s) -> Shingles:
    chosen: Bools = np.zeros(shingles.n_prompts, dtype=bool)
    chosen[prompts] = True
    rows = chosen[shingles.prompt]
    return Shingles(
        shingles.shingle[rows],
        shingles.prompt[rows],
        shingles.count[rows],
        shingles.anchored,
        shingles.in_user,
        shingles.hashes,
        shingles.n_prompts,
    )


def _blocks(within: Shingles, between: Bools, weights: UInt64s, min_anchored: int, min_inner: int) -> list[_Block]:
    """Sets of shingles that occur in exactly the same prompts, told by the sum of the prompts' random weights."""
    rows = between[within.shingle]
    shingle, prompt = within.shingle[rows], within.prompt[rows]
    if not len(shingle):
        return []
    starts = np.flatnonzero(np.r_[True, shingle[1:] != shingle[:-1]])
    fingerprints = np.add.reduceat(weights[prompt], starts)
    members = shingle[starts]
    _, first, inverse, sizes = np.unique(fingerprints, return_index=True, return_inverse=True, return_counts=True)
    anchored = np.zeros(len(first), dtype=bool)
    anchored[inverse[within.anchored[members]]] = True
    big = sizes >= np.where(anchored, min_anchored, min_inner)
    ends = np.r_[starts[1:], len(shingle)]
    blocks = [
        _Block(prompt[starts[first[i]] : ends[first[i]]], int(sizes[i]), bool(anchored[i])) for i in np.flatnonzero(big)
    ]
    return sorted(blocks, key=lambda block: (-block.anchored, -len(block.prompts), -block.n_shingles, block.prompts[0]))


def _choose(blocks: list[_Block], n_prompts: int) -> list[Int64s]:
    """The prompts of blocks that exclude one another, taken greedily, anchored and frequent ones first."""
    covered = np.zeros(n_prompts, dtype=bool)
    chosen: list[Int64s] = []
    for block in blocks:
        taken = covered[block.prompts]
        if taken.mean() <= _MAX_OVERLAP:
            chosen.append(block.prompts[~taken])
            covered[block.prompts] = True
    return chosen
