"""How foreign an input is: its cross-entropy under a character model of the training inputs.

Interpolated Witten-Bell n-grams (Witten and Bell, 1991; Chen and Goodman, 1999, section 2.4):
p(c | h) = (N(hc) + T(h) p(c | h')) / (N(h) + T(h)), with N(hc) how often c follows the history h, T(h) how many different
characters do, and h' the history without its first character; below the empty history every character is equally likely.
The token probabilities of the answer say how sure the model is of what it writes; of the input they say nothing, and
reading them would take a second pass over the vocabulary at every input token.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metier.students.base import FloatArray

HashArray = npt.NDArray[np.uint64]

ORDER = 5  # characters of the longest n-gram
# A text tells what it is like within this many characters, and a data set within that many.
_MAX_CHARS = 20_000
_MAX_TRAINING_CHARS = 4_000_000
_N_CHARACTERS = 0x11_0000
_MULTIPLIER = np.uint64(0x9E37_79B9_7F4A_7C15)
_EDGE = "\n\n\n\n"  # what stands before a text: the first characters have a history too


@dataclass(frozen=True)
class CharacterModel:
    """Counts of the n-grams of 1 to ORDER characters: `histories` (h,) sorted hashes with `followers` N(h) and `kinds`
    T(h), `grams` (g,) sorted hashes with `counts` N(hc)."""

    histories: HashArray
    followers: npt.NDArray[np.uint32]
    kinds: npt.NDArray[np.uint32]
    grams: HashArray
    counts: npt.NDArray[np.uint32]

    def cross_entropy(self, text: str) -> float:
        """Mean nats per character; higher is more foreign. An empty text is as foreign as a character never seen."""
        codes = _codes(text)
        if len(codes) < ORDER:
            return float(np.log(_N_CHARACTERS))
        p = np.full(len(codes) - ORDER + 1, 1 / _N_CHARACTERS)
        for n in range(1, ORDER + 1):
            history, gram = _hashes(codes, n)
            followers, kinds = _look_up(self.histories, history, self.followers, self.kinds)
            (count,) = _look_up(self.grams, gram, self.counts)
            known = followers + kinds
            p = np.where(known > 0, (count + kinds * p) / np.maximum(known, 1), p)
        return float(-np.log(p).mean())

    def cross_entropies(self, texts: Sequence[str]) -> FloatArray:
        """(n,) `cross_entropy` of every text."""
        return np.array([self.cross_entropy(text) for text in texts], dtype=np.float64)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The arrays as they are stored."""
        return dict(vars(self))


def fit_character_model(texts: Sequence[str]) -> CharacterModel:
    """Count the n-grams of `texts`; of a data set beyond some million characters, those of its first texts."""
    kept, total = [], 0
    for text in texts:
        kept.append(_codes(text))
        total += len(kept[-1])
        if total > _MAX_TRAINING_CHARS:
            break
    pairs = [_hashed(kept, n) for n in range(1, ORDER + 1)]
    histories, grams = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    found, first, counts = np.unique(grams, return_index=True, return_counts=True)
    names, followers = np.unique(histories, return_counts=True)
    kinds = np.unique(histories[first], return_counts=True)[1]
    return CharacterModel(names, followers.astype(np.uint32), kinds.astype(np.uint32), found, counts.astype(np.uint32))


def _codes(text: str) -> npt.NDArray[np.uint64]:
    """(n,) code points, with the edge before them."""
    plain = unicodedata.normalize("NFKC", text[:_MAX_CHARS]).casefold()[:_MAX_CHARS]
    raw = (_EDGE + plain).encode("utf-32-le", errors="surrogatepass")
    return np.frombuffer(raw, dtype=np.uint32).astype(np.uint64)


def _hashed(texts: Sequence[npt.NDArray[np.uint64]], n: int) -> tuple[HashArray, HashArray]:
    pairs = [_hashes(codes, n) for codes in texts if len(codes) >= ORDER]
    empty = np.empty(0, dtype=np.uint64)
    return (
        np.concatenate([pair[0] for pair in pairs] or [empty]),
        np.concatenate([pair[1] for pair in pairs] or [empty]),
    )


def _hashes(codes: npt.NDArray[np.uint64], n: int) -> tuple[HashArray, HashArray]:
    """For every character after the edge: the hash of the n - 1 before it, and that of these with it. Overflow wraps."""
    size = len(codes) - ORDER + 1
    history = np.full(size, n, dtype=np.uint64)
    for back in range(n - 1, 0, -1):
        start = ORDER - 1 - back
        history = _mixed(history, codes[start : start + size])
    return history, _mixed(history, codes[ORDER - 1 :])


def _mixed(so_far: HashArray, codes: npt.NDArray[np.uint64]) -> HashArray:
    mixed: HashArray = (so_far ^ (codes + np.uint64(1))) * _MULTIPLIER
    mixed ^= mixed >> np.uint64(29)
    return mixed


def _look_up(names: HashArray, wanted: HashArray, *columns: npt.NDArray[np.uint32]) -> list[FloatArray]:
    """The columns' values where a wanted name is known, else 0."""
    if not len(names):
        return [np.zeros(len(wanted)) for _ in columns]
    places = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
    known = names[places] == wanted
    return [np.where(known, column[places], 0).astype(np.float64) for column in columns]
