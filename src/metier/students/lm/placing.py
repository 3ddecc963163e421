"""Where the values of a record stand in the text they were copied from, letter for letter but for what people tidy."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

# Values with fewer letters and digits stand anywhere by chance.
_LEAST_SIGNS = 4
_NO_SIGN_BEFORE, _NO_SIGN_AFTER = r"(?<![^\W_])", r"(?![^\W_])"
# A field, and the place of a value in it: 0 where the field holds one text, not a list.
Key = tuple[str, int]


@dataclass(frozen=True)
class Slot:
    """The text where a value stands, over one line or several; several values where they overlap."""

    keys: tuple[Key, ...]
    text: str


# Whole lines of a text, what of them is a value as a slot. A value over several lines keeps them together.
Unit = tuple[str | Slot, ...]


def written(unit: Sequence[str | Slot]) -> str:
    """The lines of a unit as they were."""
    return "".join(part if isinstance(part, str) else part.text for part in unit)


def units_of(text: str, values: Mapping[Key, str]) -> list[Unit]:
    """A text's lines, in order, with every place of every value as a slot."""
    units: list[list[str | Slot]] = [[]]
    at = 0
    for begin, end, keys in _spans(text, values):
        _write(units, text[at:begin])
        units[-1].append(Slot(keys, text[begin:end]))
        at = end
    _write(units, text[at:])
    return [tuple(part for part in unit if part) or ("",) for unit in units]


def is_mark(sign: str) -> bool:
    """Whether a sign belongs to the letter before it: an accent of its own, vowels of many scripts."""
    return unicodedata.category(sign)[0] == "M"


def _spans(text: str, values: Mapping[Key, str]) -> list[tuple[int, int, tuple[Key, ...]]]:
    """Where values stand, in order; those that overlap are one."""
    found = sorted((*place, key) for key, value in values.items() for place in _places(value, text))
    spans: list[tuple[int, int, tuple[Key, ...]]] = []
    for begin, end, key in found:
        if spans and begin < spans[-1][1]:
            first, last, keys = spans.pop()
            spans.append((first, max(last, end), (*keys, key)))
        else:
            spans.append((begin, end, (key,)))
    return spans


def _write(units: list[list[str | Slot]], text: str) -> None:
    first, *others = text.split("\n")
    units[-1].append(first)
    units += [[line] for line in others]


def _places(value: str, text: str) -> list[tuple[int, int]]:
    """Where all letters and digits of a value follow one another in the text, with whatever signs and spaces between; but
    digits that touch in one touch in the other."""
    at = [place for place, sign in enumerate(value) if sign.isalnum() or is_mark(sign)]
    if len(at) < _LEAST_SIGNS:
        return []
    pattern = _NO_SIGN_BEFORE + re.escape(value[at[0]])
    for before, place in pairwise(at):
        both = value[before].isdigit() and value[place].isdigit()
        pattern += ("" if place == before + 1 else r"[\W_]+") if both else r"[\W_]*"
        pattern += re.escape(value[place])
    head, tail = value[: at[0]].strip(), value[at[-1] + 1 :].strip()
    n_marks = sum(map(is_mark, value))
    found = []
    for match in re.finditer(pattern + _NO_SIGN_AFTER, text):
        begin, end = match.span()
        if sum(map(is_mark, text[begin : end + 1])) != n_marks:
            continue  # another vowel: another word
        begin -= len(head) if text[:begin].endswith(head) else 0
        end += len(tail) if text[end:].startswith(tail) else 0
        found.append((begin, end))
    return found
