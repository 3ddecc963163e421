"""Prompts as sets of shingles: every run of three tokens, hashed, with the ends of messages as tokens of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metier.mining.prompts import Prompt, text_key
from metier.mining.tables import NO_KEYS, Keys, without_tables

# Instructions stand near the ends of a message; what lies further inside a huge one is taken as input unread.
HEAD_CHARS = 6_000
TAIL_CHARS = 2_000
TOKEN = re.compile(r"\w+|[^\w\s]")
_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Shingles:
    """One row a (shingle, prompt) pair, sorted by shingle: `shingle` indexes the arrays by shingle, `prompt` the prompts,
    `count` says how often it occurs there. `anchored` shingles touch the end of a message; `in_user` ones hold at least
    two tokens of a user message."""

    shingle: Int64s
    prompt: Int64s
    count: Int64s
    anchored: Bools
    in_user: Bools
    hashes: UInt64s
    n_prompts: int


def mined_text(text: str, fixed: Keys = NO_KEYS) -> str:
    """The part of a message that is mined: all of it but tables that are not `fixed`, or the two ends of a huge one."""
    text = without_tables(text, fixed)
    if len(text) <= HEAD_CHARS + TAIL_CHARS:
        return text
    return text[:HEAD_CHARS] + "\n" + text[-TAIL_CHARS:]


def shingle_prompts(prompts: Sequence[Prompt], min_support: int, ids_of: TokenIds, fixed: Keys = NO_KEYS) -> Shingles:
    """The shingles that occur in at least `min_support` of the prompts, tables that are not `fixed` left out."""
    ids, prompt, marker, user = _token_stream(prompts, ids_of, fixed)
    if len(ids) < 4:
        empty = np.zeros(0, dtype=np.int64)
        return Shingles(
            empty, empty, empty, empty.astype(bool), empty.astype(bool), empty.astype(np.uint64), len(prompts)
        )
    hashes = shingle_hashes(ids)
    n_markers = marker[:-2].astype(np.int8) + marker[1:-1] + marker[2:]
    n_user = user[:-2].astype(np.int8) + user[1:-1] + user[2:]
    keep = (prompt[:-2] == prompt[2:]) & (n_markers < 3)
    edge_hashes, at_edge = _edge_shingles(ids, hashes, marker, prompt)
    hashes = np.r_[hashes[keep], edge_hashes]
    owner = np.r_[prompt[:-2][keep], prompt[at_edge]]
    is_anchored = np.r_[n_markers[keep] > 0, np.ones(len(at_edge), dtype=bool)]
    is_user = np.r_[n_user[keep] >= 2, n_user[at_edge] >= 2]
    unique, inverse = np.unique(hashes, return_inverse=True)
    anchored, in_user = np.zeros(len(unique), dtype=bool), np.zeros(len(unique), dtype=bool)
    anchored[inverse[is_anchored]] = True
    in_user[inverse[is_user]] = True
    pairs, count = np.unique(inverse.astype(np.int64) * len(prompts) + owner, return_counts=True)
    shingle, owner = np.divmod(pairs, max(len(prompts), 1))
    frequent = np.bincount(shingle, minlength=len(unique)) >= min_support
    rows = frequent[shingle]
    renumbered = np.cumsum(frequent) - 1
    return Shingles(
        renumbered[shingle[rows]],
        owner[rows],
        count[rows].astype(np.int64),
        anchored[frequent],
        in_user[frequent],
        unique[frequent],
        len(prompts),
    )


def shingle_hashes(ids: UInt64s) -> UInt64s:
    """The hash of each run of three token ids; shape (n - 2,)."""
    mixed: UInt64s = (ids[:-2] * _FACTORS[0]) ^ (ids[1:-1] * _FACTORS[1] + (ids[2:] * _FACTORS[2]))
    scrambled: UInt64s = mixed * _FACTORS[0]
    return scrambled


def _edge_shingles(ids: UInt64s, hashes: UInt64s, marker: Bools, prompt: Int64s) -> tuple[UInt64s, Int64s]:
    """Runs of four tokens at the ends of messages, and where each begins: a short instruction ("User request:") would
    otherwise leave too few shingles to be told from chance."""
    starts = marker[:-3] & ~marker[1:-2] & ~marker[2:-1] & ~marker[3:]
    stops = marker[3:] & ~marker[2:-1] & ~marker[1:-2] & ~marker[:-3]
    at = np.flatnonzero((starts | stops) & (prompt[:-3] == prompt[3:]))
    mixed: UInt64s = (hashes[at] ^ (ids[at + 3] + _FACTORS[2])) * _FACTORS[1]
    return mixed, at


class TokenIds(dict[str, int]):
    """The 64-bit number of each token: a hash that is the same in every process, computed once a distinct token."""

    def __missing__(self, token: str) -> int:
        number = self[token] = text_key(token)
        return number


def start_marker(role: str) -> str:
    """The token that stands before a message of this role."""
    return f"\x02{role}"


END_MARKER = "\x03"


def _token_stream(prompts: Sequence[Prompt], ids_of: TokenIds, fixed: Keys) -> tuple[UInt64s, Int64s, Bools, Bools]:
    ids: list[int] = []
    lengths: list[int] = []
    marker_at: list[int] = []
    user_spans: list[tuple[int, int]] = []
    end = ids_of[END_MARKER]
    for prompt in prompts:
        begin = len(ids)
        marker_at.append(begin)
        ids.append(end)
        for role, text in zip(prompt.roles, prompt.texts, strict=True):
            marker_at.append(len(ids))
            ids.append(ids_of[start_marker(role)])
            first = len(ids)
            ids.extend(map(ids_of.__getitem__, TOKEN.findall(mined_text(text, fixed))))
            if role == "user":
                user_spans.append((first, len(ids)))
            marker_at.append(len(ids))
            ids.append(end)
        lengths.append(len(ids) - begin)
    stream = np.array(ids, dtype=np.uint64)
    marker = np.zeros(len(ids), dtype=bool)
    marker[marker_at] = True
    edges = np.zeros(len(ids) + 1, dtype=np.int64)
    for first, last in user_spans:
        edges[first] += 1
        edges[last] -= 1
    return stream, np.repeat(np.arange(len(prompts)), lengths), marker, np.cumsum(edges[:-1]) > 0
