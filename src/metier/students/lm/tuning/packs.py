"""Which examples go through the network together: steps, and packs of whole sequences without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metier.errors import BadInput
from metier.students.lm.parts import Encoded

IntArray = npt.NDArray[np.int64]

# Packs have a multiple of this many places: for every size that a processor's matrix library has not seen before it
# compiles its kernels anew, which took longer than the products themselves.
FILL = 64


@dataclass(frozen=True)
class Pack:
    """Whole sequences laid end to end; none of them sees another.

    ids (n,) token ids, the last token of every sequence left out (nothing follows it); positions (n,) count from 0 in
    each sequence; bounds (s + 1,) where sequences begin and end, after the examples one of filler; rows (a,) the places
    whose next token is an answer's; targets (a,) those tokens. `examples` are the places in the split of those in it.
    """

    ids: IntArray
    positions: IntArray
    bounds: tuple[int, ...]
    rows: IntArray
    targets: IntArray
    examples: tuple[int, ...]


def check(encoded: Sequence[Encoded], n_vocabulary: int, longest: int, split: str) -> None:
    """Raise BadInput where an example cannot be learnt from: no prompt, no answer, foreign ids, longer than `longest`."""
    for place, one in enumerate(encoded):
        where = f"Example {place} of the {split} split"
        if not 1 <= one.n_prompt < len(one.ids):
            raise BadInput(f"{where} has {one.n_prompt} prompt tokens of {len(one.ids)}: both parts need one or more.")
        if len(one.ids) > longest:
            raise BadInput(f"{where} has {len(one.ids)} tokens; the model reads {longest}. Shorten or drop it.")
        if min(one.ids) < 0 or max(one.ids) >= n_vocabulary:
            raise BadInput(f"{where} holds token {max(one.ids)}; the model has {n_vocabulary} tokens.")


def answer_tokens(one: Encoded) -> int:
    return int(len(one.ids) - one.n_prompt)


def steps_of(encoded: Sequence[Encoded], step_tokens: int, seed: int, epoch: int) -> list[list[int]]:
    """The examples of each step of an epoch: every example once, in an order that depends on seed and epoch alone,
    each step with about the same number of answer tokens, the mean of them within half an example of `step_tokens`."""
    order = np.random.default_rng([seed, epoch]).permutation(len(encoded))
    counts = np.array([answer_tokens(encoded[i]) for i in order], dtype=np.int64)
    n_steps = steps_per_epoch(encoded, step_tokens)
    middles = np.cumsum(counts) - counts / 2
    step = np.minimum((middles * n_steps / counts.sum()).astype(np.int64), n_steps - 1)
    steps = [[int(i) for i in order[step == s]] for s in range(n_steps)]
    return [examples for examples in steps if examples] + [[] for examples in steps if not examples]


def steps_per_epoch(encoded: Sequence[Encoded], step_tokens: int) -> int:
    total = sum(map(answer_tokens, encoded))
    return max(1, min(len(encoded), round(total / step_tokens)))


def packs_of(encoded: Sequence[Encoded], places: Sequence[int], most_tokens: int) -> list[Pack]:
    """The examples at these places in packs of at most `most_tokens`, longest first (a longer one is alone).

    Best fit decreasing (Johnson, 1973): each goes where the least room is left that still takes it.
    """
    bins: list[list[int]] = []
    room: list[int] = []
    for i in sorted(places, key=lambda i: (-len(encoded[i].ids), i)):
        size = len(encoded[i].ids) - 1
        fitting = [(left, b) for b, left in enumerate(room) if left >= size]
        if fitting:
            _, b = min(fitting)
            bins[b].append(i)
            room[b] -= size
        else:
            bins.append([i])
            room.append(most_tokens - size)
    return [pack(encoded, examples, FILL) for examples in bins]


def pack(encoded: Sequence[Encoded], examples: Sequence[int], fill: int = 1) -> Pack:
    """These examples end to end, and filler up to a multiple of `fill`: a sequence that no row is of."""
    ids, positions, bounds, rows, targets = [], [], [0], [], []
    for i in examples:
        one, begin = encoded[i], bounds[-1]
        size = len(one.ids) - 1
        ids.append(np.array(one.ids[:-1], dtype=np.int64))
        positions.append(np.arange(size, dtype=np.int64))
        rows.append(np.arange(begin + one.n_prompt - 1, begin + size, dtype=np.int64))
        targets.append(np.array(one.ids[one.n_prompt :], dtype=np.int64))
        bounds.append(begin + size)
    filler = -bounds[-1] % fill
    if filler:
        ids.append(np.zeros(filler, dtype=np.int64))
        positions.append(np.zeros(filler, dtype=np.int64))
        bounds.append(bounds[-1] + filler)
    return Pack(
        np.concatenate(ids),
        np.concatenate(positions),
        tuple(bounds),
        np.concatenate(rows),
        np.concatenate(targets),
        tuple(examples),
    )
