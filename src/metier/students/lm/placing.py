"""Where the values of a record stand in the text they were copied from, letter for letter but for what people tidy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Values with fewer letters and digits stand anywhere by chance.
_LEAST_SIGNS = 4
_BETWEEN, _NO_SIGN_BEFORE, _NO_SIGN_AFTER = r"[\W_]*", r"(?<![^\W_])", r"(?![^\W_])"


# A field, and the place of a value in it: 0 where the field holds one text, not a list.
Key = tuple[str, int]


@dataclass(frozen=True)
class Slot:
    """A value where it stands: which it is, and the text there, over one line or several."""

    key: Key
    text: str


# Whole lines of a text, what of them is a value as a slot. A value over several lines keeps them together.
Unit = tuple[str | Slot, ...]


def written(unit: Sequence[str | Slot]) -> str:
    """The lines of a unit as they were."""
    return "".join(part if isinstance(part, str) else part.text for part in unit)


def units_of(text: str, values: Mapping[Key, str]) -> list[Unit]:
    """A text's lines, in order, with every place of every value as a slot. Where two values overlap, the one that is named
    first has the place."""
    found: list[tuple[int, int, Key]] = []
    for key, value in values.items():
        for begin, end in _places(value, text):
            if not any(begin < other_end and other_begin < end for other_begin, other_end, _ in found):
                found.append((begin, end, key))
    units: list[list[str | Slot]] = [[]]
    at = 0
    for begin, end, key in sorted(found):
        _write(units, text[at:begin])
        units[-1].append(Slot(key, text[begin:end]))
        at = end
    _write(units, text[at:])
    return [tuple(part for part in unit if part) or ("",) for unit in units]


def _write(units: list[list[str | Slot]], text: str) -> None:
    first, *others = text.split("\n")
    units[-1].append(first)
    units += [[line] for line in others]


def _places(value: str, text: str) -> list[tuple[int, int]]:
    """Where all letters and digits of a value follow one another in the text, with whatever signs and spaces between."""
    signs = [sign for sign in value if sign.isalnum()]
    if len(signs) < _LEAST_SIGNS:
        return []
    pattern = _NO_SIGN_BEFORE + _BETWEEN.join(map(re.escape, signs)) + _NO_SIGN_AFTER
    head, tail = value[: value.index(signs[0])].strip(), value[value.rindex(signs[-1]) + 1 :].strip()
    found = []
    for match in re.finditer(pattern, text):
        begin, end = match.span()
        begin -= len(head) if text[:begin].endswith(head) else 0
        end += len(tail) if text[end:].startswith(tail) else 0
        found.append((begin, end))
    return found
