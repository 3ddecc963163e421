"""A small phrase grammar: "[where is|what about] my {thing}" stands for every text it can make.

`[a|b|]` is one of its alternatives (an empty one allowed), `{name}` a phrase of the lexicon; both nest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

# A phrase is a sequence of parts: text, or a choice among phrases.
Phrase = tuple["str | Choice", ...]


class Choice(tuple[Phrase, ...]):
    """Alternatives, equally likely."""

    __slots__ = ()


Lexicon = Mapping[str, Choice]


def compile_lexicon(words: Mapping[str, Sequence[str]]) -> Lexicon:
    """Named choices from lists of patterns; a pattern may use names that stand before it."""
    lexicon: dict[str, Choice] = {}
    for name, patterns in words.items():
        lexicon[name] = compile_choice(patterns, lexicon)
    return lexicon


def compile_choice(patterns: Sequence[str], lexicon: Lexicon) -> Choice:
    """One of several patterns."""
    return Choice(compile_phrase(pattern, lexicon) for pattern in patterns)


def compile_phrase(pattern: str, lexicon: Lexicon) -> Phrase:
    """The phrase of a pattern. Raises ValueError on unbalanced brackets and KeyError on a name not in the
    lexicon."""
    return _parse(pattern, 0, lexicon, inside=False)[0]


def expand(phrase: Phrase, rng: Random) -> str:
    """One of the texts that the phrase stands for."""
    out: list[str] = []
    _expand(phrase, rng.random, out)
    return "".join(out)


def count(phrase: Phrase) -> int:
    """How many texts the phrase stands for, repetitions included."""
    total = 1
    for part in phrase:
        if not isinstance(part, str):
            total *= sum(count(alternative) for alternative in part)
    return total


def _expand(phrase: Phrase, random: Callable[[], float], out: list[str]) -> None:
    for part in phrase:
        if isinstance(part, str):
            out.append(part)
        else:
            _expand(part[int(random() * len(part))], random, out)


def _parse(pattern: str, at: int, lexicon: Lexicon, *, inside: bool) -> tuple[Phrase, int]:
    parts: list[str | Choice] = []
    text = at
    while at < len(pattern):
        sign = pattern[at]
        if sign in "|]" and inside:
            break
        if sign in "[]{":
            if at > text:
                parts.append(pattern[text:at])
            if sign == "]":
                raise ValueError(f"unbalanced ']' at {at} in {pattern!r}")
            part, at = _choice(pattern, at + 1, lexicon) if sign == "[" else _name(pattern, at + 1, lexicon)
            parts.append(part)
            text = at
        else:
            at += 1
    if at > text:
        parts.append(pattern[text:at])
    return tuple(parts), at


def _choice(pattern: str, at: int, lexicon: Lexicon) -> tuple[Choice, int]:
    alternatives: list[Phrase] = []
    while True:
        phrase, at = _parse(pattern, at, lexicon, inside=True)
        alternatives.append(phrase)
        if at >= len(pattern):
            raise ValueError(f"unbalanced '[' in {pattern!r}")
        at += 1
        if pattern[at - 1] == "]":
            return Choice(alternatives), at


def _name(pattern: str, at: int, lexicon: Lexicon) -> tuple[Choice, int]:
    end = pattern.index("}", at)
    return lexicon[pattern[at:end]], end + 1
