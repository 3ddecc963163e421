"""From a cluster of prompts to its template: the literal text around the slots, message by message."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from metier.artefacts.tasks import Template, TemplateMessage
from metier.mining.clusters import LITERAL_SHARE
from metier.mining.matching import fill_slots
from metier.mining.prompts import Prompt
from metier.mining.shingles import END_MARKER, TOKEN, TokenIds, mined_text, shingle_hashes, start_marker
from metier.mining.tables import NO_KEYS, TABLE_MARK, Keys, head_outside

# Members that a literal is checked on: enough to tell 98% from 90%.
_N_CHECKED = 500
_MAX_TRIMMED = 3
# Not the marks that end a sentence: nearly every input may end in a full stop.
_EDGE = " \t\r\n\"'`:<>()[]{}#*-=_|"


def write_template(
    prompts: Sequence[Prompt], literal: frozenset[int], ids_of: TokenIds, fixed: Keys = NO_KEYS
) -> Template:
    """The template of prompts that all have the same roles, given the hashes of the shingles they share, and of the tables
    that are a part of their instructions."""
    checked = prompts[:_N_CHECKED]
    messages = []
    for place, role in enumerate(prompts[0].roles):
        texts = [prompt.texts[place] for prompt in checked]
        # What precedes this message's start in the token stream is always an end marker: the stream's or a message's.
        messages.append(TemplateMessage(role, _literals(role, texts, literal, ids_of, fixed)))
    return make_template(tuple(messages), len(prompts))


def make_template(messages: tuple[TemplateMessage, ...], n_calls: int) -> Template:
    """A template known by the hash of its text."""
    text = "\x00".join(f"{message.role}\x01" + "\x02".join(message.literals) for message in messages)
    return Template(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12], messages, n_calls)


def _literals(role: str, texts: list[str], literal: frozenset[int], ids_of: TokenIds, fixed: Keys) -> tuple[str, ...]:
    common, n_common = Counter(texts).most_common(1)[0]
    if n_common >= LITERAL_SHARE * len(texts):
        return (common,)
    model = sorted(texts, key=len)[len(texts) // 2]
    pieces = _runs(role, mined_text(model, fixed), literal, ids_of)
    pieces = _keep_common(pieces, texts)
    return _widen(pieces, texts)


def _runs(role: str, mined: str, literal: frozenset[int], ids_of: TokenIds) -> tuple[str, ...]:
    """The stretches of a mined text that consist of literal shingles; empty at an end that is a slot."""
    spans = [match.span() for match in TOKEN.finditer(mined)]
    tokens = [END_MARKER, start_marker(role), *(mined[first:last] for first, last in spans), END_MARKER]
    hashes = shingle_hashes(np.array([ids_of[token] for token in tokens], dtype=np.uint64))
    held = np.zeros(len(tokens), dtype=bool)
    for place, number in enumerate(hashes.tolist()):
        if number in literal:
            held[place : place + 3] = True
    held[[place for place, token in enumerate(tokens) if token == TABLE_MARK]] = False
    inner = held[2:-1]
    pieces: list[str] = []
    edges = np.flatnonzero(np.diff(np.r_[False, inner, False].astype(np.int8)))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        pieces.append(mined[spans[first][0] : spans[last - 1][1]])
    starts = bool(len(edges)) and edges[0] == 0 and held[1]
    ends = bool(len(edges)) and edges[-1] == len(inner) and held[-1]
    bounded = (*(() if starts else ("",)), *pieces, *(() if ends else ("",)))
    return bounded if len(bounded) > 1 else (*bounded, "")


def _keep_common(pieces: tuple[str, ...], texts: list[str]) -> tuple[str, ...]:
    """Trims the pieces and drops inner ones, least common first, until the rest matches nearly every text.

    A phrase common in inputs can stand right beside the instructions, so that a run of literal shingles is too long.
    """
    backwards = [text[::-1] for text in texts]
    first = _trimmed(pieces[0], lambda head: sum(text.startswith(head) for text in texts), len(texts))
    last = _trimmed(pieces[-1][::-1], lambda head: sum(text.startswith(head) for text in backwards), len(texts))[::-1]
    inner = [_trimmed_inner(piece, texts) for piece in pieces[1:-1]]
    kept = (first, *(piece for piece in inner if piece and _is_regular(piece, texts)), last)
    while len(kept) > 2 and not _fits(kept, texts):
        kept = _without_rarest(kept, texts)
    if _fits(kept, texts):
        return kept
    return next((simpler for simpler in ((first, ""), ("", last)) if _fits(simpler, texts)), ("", ""))


def _trimmed_inner(piece: str, texts: list[str]) -> str:
    head = _trimmed(piece, lambda part: sum(part in text for text in texts), len(texts))
    return _trimmed(head[::-1], lambda part: sum(part[::-1] in text for text in texts), len(texts))[::-1]


def _trimmed(piece: str, n_holding: Callable[[str], int], n_texts: int) -> str:
    """The longest head of `piece`, cut at the end of a token, that nearly all texts hold; a few tokens shorter where
    that makes more texts hold it, for then those tokens are the input's."""
    ends = [match.end() for match in TOKEN.finditer(piece)]
    counts: list[tuple[int, int]] = []
    for end in reversed(ends):
        n = n_holding(piece[:end])
        if n >= LITERAL_SHARE * n_texts:
            counts.append((n, end))
        if len(counts) > _MAX_TRIMMED:
            break
    return piece[: max(counts)[1]] if counts else ""


def _is_regular(piece: str, texts: list[str]) -> bool:
    """Whether a piece occurs equally often in nearly every text, as instructions do and phrases of inputs do not."""
    _, n = Counter(text.count(piece) for text in texts).most_common(1)[0]
    return n >= LITERAL_SHARE * len(texts)


def _without_rarest(pieces: tuple[str, ...], texts: list[str]) -> tuple[str, ...]:
    """The pieces less the one whose loss lets most texts match (among equals, the shortest)."""
    candidates = []
    for place in range(len(pieces)):
        outer = place in (0, len(pieces) - 1)
        if outer and not pieces[place]:
            continue
        lighter = (*pieces[:place], *([""] if outer else []), *pieces[place + 1 :])
        candidates.append((_n_fitting(lighter, texts), -len(pieces[place]), lighter))
    if not candidates:
        return ("", "")
    return max(candidates)[2]


def _fits(pieces: tuple[str, ...], texts: list[str]) -> bool:
    return _n_fitting(pieces, texts) >= LITERAL_SHARE * len(texts)


def _n_fitting(pieces: tuple[str, ...], texts: list[str]) -> int:
    return sum(fill_slots(pieces, text) is not None for text in texts)


def _widen(pieces: tuple[str, ...], texts: list[str]) -> tuple[str, ...]:
    """Moves white space and punctuation that every slot begins or ends with into the literals beside it.

    Letters and digits stay: inputs may well begin alike. So do tables.
    """
    widened = list(pieces)
    fillings = [slots for text in texts if (slots := fill_slots(pieces, text)) is not None]
    for place in range(len(pieces) - 1):
        contents = [slots[place] for slots in fillings]
        head = _shared_edge(contents)
        tail = _shared_edge([content[len(head) :][::-1] for content in contents])[::-1]
        widened[place] += head
        widened[place + 1] = tail + widened[place + 1]
    candidate = tuple(widened)
    return candidate if _fits(candidate, texts) else pieces


def _shared_edge(contents: list[str]) -> str:
    """The longest run of edge characters that all contents begin with, none of them a table's."""
    edge, longest = "", min((head_outside(content) for content in contents), default=0)
    while len(edge) < longest:
        following = Counter(content[len(edge)] for content in contents if len(content) > len(edge))
        if not following:
            return edge
        char, n = following.most_common(1)[0]
        if char not in _EDGE or n < len(contents):
            break
        edge += char
    return edge
