"""Whether what an answer says stands in its source: the measure of what was made up."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from metier.metrics.notation import as_number, date_readings, dates_in, folded, numbers_in
from metier.metrics.records import is_absent, squeezed, squeezed_words


@dataclass(frozen=True)
class Source:
    """A source as values are looked for in it: its folded text, its words squeezed together, where words begin and end in
    that, and the dates and numbers it holds."""

    folded: str
    squeezed: str
    begins: frozenset[int]
    ends: frozenset[int]
    dates: frozenset[str]
    numbers: frozenset[str]

    @classmethod
    def of(cls, source: str) -> Source:
        text = folded(source)
        at, begins, ends = 0, set(), set()
        pieces = squeezed_words(text)
        for piece, word in pieces:
            at += len(piece)
            begins.add(at - len(word))
            ends.add(at)
        whole = "".join(piece for piece, _ in pieces)
        return cls(text, whole, frozenset(begins), frozenset(ends), dates_in(text), numbers_in(text))

    def holds(self, value: object) -> bool:
        """Whether one value that is no list or object stands in the source."""
        text = folded(str(value))
        if (number := as_number(text)) is not None:
            return number in self.numbers
        if self.dates & date_readings(text):
            return True
        words = squeezed(text)
        return self._holds_words(words) if words else text in self.folded

    def _holds_words(self, wanted: str) -> bool:
        """Whether `wanted` occurs as whole words; scripts without spaces between words need no word's edge."""
        at = self.squeezed.find(wanted)
        while at >= 0:
            end = at + len(wanted)
            if (at in self.begins or _is_caseless(wanted[0])) and (end in self.ends or _is_caseless(wanted[-1])):
                return True
            at = self.squeezed.find(wanted, at + 1)
        return False


def is_grounded(value: object, source: str) -> bool:
    """Whether a value occurs in its source after the normalisation of `metrics.records.normalised`.

    A text may span lines and differ in case, punctuation and white space, but its words must stand in the source one after
    another, as whole words; a date or an amount may stand there in any notation. Of a list or an object every value must
    occur. Truth values and absent values say nothing that could occur, and pass.
    """
    prepared = _prepared(source)
    return all(prepared.holds(leaf) for leaf in leaves(value))


def leaves(value: object) -> list[object]:
    """The single values within a value, without absent ones and truth values."""
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [] if is_absent(value) or isinstance(value, bool) else [value]


def copied_fields(record: Mapping[str, Any], schema: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The fields of a record whose values must come from the source: all but those that the schema chooses from a list
    (`enum`, `const`), which are judgements about the source."""
    properties = (schema or {}).get("properties", {})
    return {name: value for name, value in record.items() if not _is_chosen(properties.get(name))}


def count_ungrounded(
    record: Mapping[str, Any], source: str, schema: Mapping[str, Any] | None = None
) -> tuple[int, int]:
    """(ungrounded, given): how many single values of a record do not occur in its source, of how many that must."""
    prepared = _prepared(source)
    given = leaves(copied_fields(record, schema))
    return sum(not prepared.holds(leaf) for leaf in given), len(given)


def _is_chosen(field: object) -> bool:
    if not isinstance(field, Mapping):
        return False
    return "enum" in field or "const" in field or _is_chosen(field.get("items"))


def _is_caseless(character: str) -> bool:
    """Whether a letter belongs to a script without upper and lower case, most of which part words without spaces."""
    return unicodedata.category(character) == "Lo"


@lru_cache(maxsize=512)
def _prepared(source: str) -> Source:
    return Source.of(source)
