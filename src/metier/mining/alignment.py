"""Where a template's literal text stands in a prompt that is worded a little differently."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from metier.artefacts.tasks import Template
from metier.mining.prompts import Prompt

# Words, single characters of scripts without spaces, single marks.
_TOKEN = re.compile(r"[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|\S")
_QUOTES = str.maketrans(dict.fromkeys("“”„«»‟", '"') | dict.fromkeys("‘’‚‛`´", "'") | dict.fromkeys("–—‒―", "-"))
# Longer prompts are not read for what they mean: this is some 10,000 tokens, and tens of milliseconds.
_MOST_CHARS = 40_000
# A token found brings 1. A token of the literal left out costs half of that. Foreign tokens in between cost once for their
# being there, little for their number (Gotoh, 1982): an added sentence is one change.
_LEFT_OUT = np.float32(0.5)
_OPENED = np.float32(1.0)
_EXTENDED = np.float32(0.1)
# Words of at least four letters are one word with a typo where this share of their letters stands in the same order.
_SAME_WORD = 75.0
_TYPO_CHARS = 4

Ids = npt.NDArray[np.int64]
Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Alignment:
    """`similarity` in [0, 1] of a template's literal text and what stands for it; the slots' contents as mining joins
    them; `is_verbatim` where nothing but white space differs."""

    similarity: float
    input: str
    is_verbatim: bool


@dataclass(frozen=True)
class _Text:
    """A text's tokens as written, folded, and where they stand."""

    text: str
    spans: tuple[tuple[int, int], ...]
    tokens: tuple[str, ...]
    folded: tuple[str, ...]


@dataclass(frozen=True)
class Pattern:
    """A template ready to be aligned: its messages' literals as tokens."""

    template: Template
    messages: tuple[tuple[_Text, ...], ...]

    @property
    def n_tokens(self) -> int:
        return sum(len(literal.tokens) for message in self.messages for literal in message)


def fold(text: str) -> str:
    """A text without regard to case, width of characters and kind of quotes and dashes."""
    if text.isascii():
        return text.lower().translate(_QUOTES)
    return unicodedata.normalize("NFKC", text.translate(_QUOTES)).casefold()


def make_pattern(template: Template) -> Pattern:
    """The pattern of a template."""
    return Pattern(template, tuple(tuple(map(_read, message.literals)) for message in template.messages))


def read_texts(prompt: Prompt) -> list[_Text] | None:
    """A prompt ready to be aligned; None where a message is longer than is read."""
    if sum(map(len, prompt.texts)) > _MOST_CHARS:
        return None
    return [_read(text) for text in prompt.texts]


def align(pattern: Pattern, texts: Sequence[_Text]) -> Alignment:
    """The best alignment of a template with a prompt of as many messages."""
    n_both, n_all, slots, verbatim = 0.0, 0.0, [], True
    for literals, text in zip(pattern.messages, texts, strict=True):
        found = _align_message(literals, text)
        n_both += 2 * sum(piece.n_found for piece in found)
        n_all += sum(
            len(literal.tokens) + piece.stop - piece.start for literal, piece in zip(literals, found, strict=True)
        )
        verbatim = verbatim and all(
            literal.tokens == text.tokens[piece.start : piece.stop]
            for literal, piece in zip(literals, found, strict=True)
        )
        slots += [
            text.text[_end(text, before.stop) : _begin(text, after.start)].strip() for before, after in pairwise(found)
        ]
    joined = "\n\n".join(slot for slot in slots if slot)
    return Alignment(min(1.0, n_both / n_all) if n_all else 0.0, joined, verbatim)


def _read(text: str) -> _Text:
    spans = tuple(match.span() for match in _TOKEN.finditer(text))
    tokens = tuple(_TOKEN.findall(text))
    return _Text(text, spans, tokens, tuple(map(fold, tokens)))


def _end(text: _Text, stop: int) -> int:
    return text.spans[stop - 1][1] if stop else 0


def _begin(text: _Text, start: int) -> int:
    return text.spans[start][0] if start < len(text.spans) else len(text.text)


@dataclass(frozen=True)
class _Piece:
    """Where one literal stands: tokens `start` to `stop`, of which `n_found` are the literal's."""

    start: int
    stop: int
    n_found: float


def _align_message(literals: Sequence[_Text], text: _Text) -> list[_Piece]:
    ids, wanted = _number(text.folded, [literal.folded for literal in literals])
    if len(wanted) == 1:
        return [_Piece(0, len(ids), _n_common(wanted[0], ids))]
    head = _head(wanted[0], ids)
    tail = _head(wanted[-1][::-1], ids[head.stop :][::-1])
    stop = len(ids) - tail.stop
    pieces, begin = [head], head.stop
    for literal in wanted[1:-1]:
        piece = _within(literal, ids[begin:stop], begin)
        pieces.append(piece)
        begin = piece.stop
    return [*pieces, _Piece(stop, len(ids), tail.n_found)]


def _number(text: Sequence[str], literals: Sequence[Sequence[str]]) -> tuple[Ids, list[Ids]]:
    """Tokens as numbers; a token of the text that is a literal's with a typo gets that one's number."""
    known = {token: number for number, token in enumerate(dict.fromkeys(token for one in literals for token in one))}
    same = dict(known)
    strange = [token for token in dict.fromkeys(text) if token not in known]
    present = set(text)
    same.update(_typos(strange, [token for token in known if token not in present], known))
    for token in strange:
        same.setdefault(token, len(same) + len(known))
    return np.array([same[token] for token in text], dtype=np.int64), [
        np.array([known[token] for token in one], dtype=np.int64) for one in literals
    ]


def _typos(strange: list[str], missing: list[str], known: dict[str, int]) -> dict[str, int]:
    from rapidfuzz.fuzz import ratio
    from rapidfuzz.process import extractOne

    long = [token for token in missing if len(token) >= _TYPO_CHARS]
    found = {}
    for token in strange if long else ():
        if len(token) >= _TYPO_CHARS and (near := extractOne(token, long, scorer=ratio, score_cutoff=_SAME_WORD)):
            found[token] = known[near[0]]
    return found


def _n_common(literal: Ids, ids: Ids) -> float:
    from rapidfuzz.distance import LCSseq

    return float(LCSseq.similarity(literal.tolist(), ids.tolist()))


def _head(literal: Ids, ids: Ids) -> _Piece:
    """Where a literal that stands at the beginning ends: the best end of an alignment that begins there."""
    if not len(literal):
        return _Piece(0, 0, 0.0)
    first, n = _n_equal(literal, ids), len(literal)
    if first == n:
        return _Piece(0, n, float(n))
    # What stands for the rest is hardly longer than that: beyond, it is the slot.
    rest, window = literal[first:], ids[first : first + 2 * (n - first) + 40]
    # At equal scores the earlier end.
    stop = first + int(np.argmax(_scores(rest, window, free_start=False)))
    return _Piece(0, stop, first + _n_common(rest, ids[first:stop]))


def _within(literal: Ids, ids: Ids, offset: int) -> _Piece:
    """Where a literal stands within `ids`."""
    scores = _scores(literal, ids, free_start=True)
    stop = int(np.argmax(scores))
    # The same backwards from the best end gives the beginning.
    start = stop - int(np.argmax(_scores(literal[::-1], ids[:stop][::-1], free_start=False)))
    return _Piece(offset + start, offset + stop, _n_common(literal, ids[start:stop]))


def _n_equal(literal: Ids, ids: Ids) -> int:
    n = min(len(literal), len(ids))
    differ = np.flatnonzero(literal[:n] != ids[:n])
    return int(differ[0]) if len(differ) else n


def _scores(literal: Ids, ids: Ids, *, free_start: bool) -> Floats32:
    """The best score of aligning all of `literal` with ids[:j], for every j; shape (len(ids) + 1,).

    Needleman and Wunsch (1970) with affine costs of what is left out of `ids`; with `free_start` leaving out its
    beginning costs nothing.
    """
    places = np.arange(len(ids) + 1, dtype=np.float32) * _EXTENDED
    row = np.zeros(len(ids) + 1, dtype=np.float32) if free_start else -places - _OPENED
    row[0] = 0.0
    for token in literal:
        best = row - _LEFT_OUT
        np.maximum(best[1:], np.where(ids == token, row[:-1] + 1, -np.inf), out=best[1:])
        # Leaving out ids to the right: the running maximum of what is left after their cost.
        row = np.maximum(best, np.maximum.accumulate(best + places) - places - _OPENED)
    return row
