"""Texts as weighted word and character n-grams, fast enough to answer one text in a fraction of a millisecond.

Two blocks, each of length one: word 1- and 2-grams, and character 2- to 5-grams within white-space tokens padded by a
blank (scikit-learn's `char_wb`). Weight of a gram: (1 + ln tf) * (ln((1 + n) / (1 + df)) + 1) (Salton and Buckley 1988,
with scikit-learn's smoothing). Grams of the training texts are found once a token and remembered, as tokens repeat.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

CHAR_GRAMS = (2, 5)
WORD_MARK = "\x01"  # keeps the word "an" apart from the character gram "an"; cannot occur in a normalised text
_WORD = re.compile(r"\w+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
# A pathological input (a line of many megabytes) is cut: an intent shows long before this many characters.
MAX_CHARACTERS = 20_000
_MAX_TOKEN = 64  # a longer token (base64, a URL) is cut before its character grams are taken
_CACHE_TOKENS = 100_000
# 1 + ln tf at place tf, for the counts that occur; nothing has the count 0.
_DAMPED = (1 + np.log(np.maximum(np.arange(256), 1))).astype(np.float32)
_HALF = np.float32(2**-0.5)  # what each of two blocks of length one counts for


def normalise(text: str) -> str:
    """Lower case, compatibility forms unified (NFKC), control characters as blanks, at most MAX_CHARACTERS."""
    return _CONTROL.sub(" ", unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).lower())


def char_grams(token: str) -> list[str]:
    """Every character gram of a token padded by one blank each side."""
    padded = f" {token[:_MAX_TOKEN]} "
    low, high = CHAR_GRAMS
    return [padded[i : i + n] for n in range(low, min(high, len(padded)) + 1) for i in range(len(padded) - n + 1)]


def word_grams(text: str) -> list[str]:
    """Every word and every two neighbouring words of a normalised text."""
    words = _WORD.findall(text)
    return [WORD_MARK + word for word in words] + [f"{WORD_MARK}{left} {right}" for left, right in pairwise(words)]


@dataclass(frozen=True)
class NGrams:
    """A vocabulary of v grams with their inverse document frequencies `idf` (v,); the first `n_words` are word grams."""

    grams: tuple[str, ...]
    idf: FloatArray
    n_words: int
    # Of words and pairs of words without their mark, and of character grams.
    _place_of_words: dict[str, int] = field(init=False, repr=False, compare=False)
    _place: dict[str, int] = field(init=False, repr=False, compare=False)
    _of_token: dict[str, IntArray] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        n = self.n_words
        words = {gram.removeprefix(WORD_MARK): i for i, gram in enumerate(self.grams[:n])}
        object.__setattr__(self, "_place_of_words", words)
        object.__setattr__(self, "_place", {gram: i for i, gram in enumerate(self.grams[n:], n)})

    def row(self, text: str) -> tuple[IntArray, FloatArray]:
        """The places, ascending, and weights of one text's known grams; its length is 1, or 0 when no gram is known."""
        text = normalise(text)
        tokens, of_token = text.split(), self._of_token
        # Places of grams, one for each time a gram occurs; those of words are the lower ones.
        parts = [of_token[token] if token in of_token else self._token(token) for token in tokens]
        parts.append(np.array(self._words(text), dtype=np.int64))
        found = np.concatenate(parts)
        if not len(found):
            return found, np.empty(0, dtype=np.float32)
        found.sort()
        places, counts = _counted(found)
        weights = _damped(counts) * self.idf.take(places)
        n_words = int(places.searchsorted(self.n_words))
        if n_words in (0, len(places)):
            return places, _unit(weights)
        _unit(weights[:n_words])
        _unit(weights[n_words:])
        weights *= _HALF
        return places, weights

    def matrix(self, texts: Sequence[str]) -> csr_array:
        """(n, v) float32, a row a text."""
        rows = [self.row(text) for text in texts]
        starts = np.concatenate([[0], np.cumsum([len(places) for places, _ in rows])]).astype(np.int64)
        places = np.concatenate([places for places, _ in rows]) if rows else np.empty(0, dtype=np.int64)
        weights = np.concatenate([weights for _, weights in rows]) if rows else np.empty(0, dtype=np.float32)
        return csr_array((weights.astype(np.float32), places, starts), shape=(len(rows), len(self.grams)))

    def _words(self, text: str) -> list[int]:
        """The places of the known ones of `word_grams`."""
        words, get = _WORD.findall(text), self._place_of_words.get
        found = [get(word) for word in words]
        found += [get(f"{left} {right}") for left, right in pairwise(words)]
        return [place for place in found if place is not None]

    def _token(self, token: str) -> IntArray:
        place = self._place
        known = np.array([place[gram] for gram in char_grams(token) if gram in place], dtype=np.int64)
        if len(self._of_token) >= _CACHE_TOKENS:
            self._of_token.clear()
        self._of_token[token] = known
        return known


def _counted(found: IntArray) -> tuple[IntArray, IntArray]:
    """The different values of sorted `found`, one or more, and how often each occurs: np.unique in fewer calls."""
    ends = np.empty(len(found), dtype=np.bool_)
    ends[-1] = True
    np.not_equal(found[1:], found[:-1], out=ends[:-1])
    last = ends.nonzero()[0]
    counts = last + 1
    counts[1:] -= counts[:-1].copy()
    return found[last], counts


def _damped(counts: IntArray) -> FloatArray:
    """1 + ln tf of counts tf."""
    try:
        damped: FloatArray = _DAMPED.take(counts)
    except IndexError:
        damped = (1 + np.log(counts)).astype(np.float32)
    return damped


def _unit(block: FloatArray) -> FloatArray:
    """`block`, not empty, scaled in place to length one."""
    block /= math.sqrt(block.dot(block))
    return block


def fit_ngrams(texts: Iterable[str], min_texts_char: int, max_grams: int) -> NGrams:
    """The grams of `texts`: all word grams, the character grams of `min_texts_char` texts or more.

    Of more than `max_grams` the ones in most texts stay, so memory is bounded however long the training data.
    """
    words, chars, n = _document_frequencies(texts)
    kept_words = _most_common(words, 1, max_grams // 2)
    kept_chars = _most_common(chars, min_texts_char, max_grams - len(kept_words))
    grams = (*kept_words, *kept_chars)
    frequency = np.array([words[g] for g in kept_words] + [chars[g] for g in kept_chars], dtype=np.float64)
    idf = np.log((1 + n) / (1 + frequency)) + 1
    return NGrams(grams, idf.astype(np.float32), len(kept_words))


def _document_frequencies(texts: Iterable[str]) -> tuple[dict[str, int], dict[str, int], int]:
    words: dict[str, int] = {}
    chars: dict[str, int] = {}
    of_token: dict[str, frozenset[str]] = {}
    n = 0
    for text in map(normalise, texts):
        n += 1
        for gram in set(word_grams(text)):
            words[gram] = words.get(gram, 0) + 1
        seen: set[str] = set()
        for token in text.split():
            if token not in of_token:
                of_token[token] = frozenset(char_grams(token))
            seen |= of_token[token]
        for gram in seen:
            chars[gram] = chars.get(gram, 0) + 1
    return words, chars, n


def _most_common(frequency: dict[str, int], least: int, most: int) -> list[str]:
    kept = [gram for gram, count in frequency.items() if count >= least]
    if len(kept) > most:
        kept = sorted(kept, key=lambda gram: (-frequency[gram], gram))[:most]
    return sorted(kept)
