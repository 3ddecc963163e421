"""What of an example's input is a value of its record, what could be another's, and what is neither."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from metier.metrics.grounding import Source, leaves
from metier.metrics.notation import folded
from metier.metrics.records import normalised, parse_record, squeezed
from metier.students.lm.placing import Key, Slot, Unit, units_of, written

# A word of a value that stands in another line makes that line one that is kept: shorter ones stand everywhere.
_WORD = 4


@dataclass(frozen=True)
class Anatomy:
    """An input in units, its record and its group. `values` are the texts of those fields that may be exchanged."""

    text: str
    units: tuple[Unit, ...]
    record: Mapping[str, Any]
    values: Mapping[Key, str]
    group: str

    @cached_property
    def names(self) -> dict[Key, str]:
        """The names and addresses that can be exchanged, each with the text of its first place: those that stand in the
        input and neither hold another value of the record, nor are held by one, nor overlap with one."""
        slots = [part for unit in self.units for part in unit if isinstance(part, Slot)]
        tied = {key for slot in slots if len(slot.keys) > 1 for key in slot.keys}
        single = {slot.keys[0]: slot.text for slot in reversed(slots) if len(slot.keys) == 1}
        found = {}
        for key, text in single.items():
            own = bare(self.values[key])
            others = (form for other, _, form in self._leaves if other != key)
            if key not in tied and is_name(self.values[key]) and not any(own in one or one in own for one in others):
                found[key] = text
        return {key: found[key] for key in self.values if key in found}

    @cached_property
    def figures(self) -> dict[Key, str]:
        """The amounts, dates and numbers that can be exchanged: those that stand in the input as they are written, outside
        the names, and neither mean, hold, nor are held by another value of the record."""
        open_ = "\n".join(part for unit in self.units for part in unit if isinstance(part, str))
        named = "\n".join(part.text for unit in self.units for part in unit if isinstance(part, Slot))
        return {
            key: value
            for key, value in self.values.items()
            if is_figure(value)
            and value in open_
            and alone(value).search(open_)
            and not (value in named and alone(value).search(named))
            and not any(_is_tied(value, other) for other_key, other, _ in self._leaves if other_key != key)
        }

    @cached_property
    def plain(self) -> frozenset[int]:
        """The units, each a line, that hold nothing of a value."""
        told = set()
        for _, value, _ in self._leaves:
            told |= {value.casefold(), *(word for word in value.casefold().split() if len(word) >= _WORD)}
        return frozenset(
            place
            for place, unit in enumerate(self.units)
            if not has_slot(unit)
            and (line := written(unit).casefold()).strip()
            and not any(word in line for word in told)
            and not (self._is_written_otherwise and any(map(str.isdigit, line)))
        )

    @cached_property
    def above(self) -> frozenset[int]:
        """The plain lines before the first value that is a name or an address."""
        first = next((place for place, unit in enumerate(self.units) if has_slot(unit)), 0)
        return frozenset(place for place in self.plain if place < first)

    def is_kept_by(self, text: str, record: Mapping[str, Any]) -> bool:
        """Whether every value stands in the text of a variant that stood in this one's."""
        mine, its = Source.of(self.text), Source.of(text)
        before = [leaf for content in self.record.values() for leaf in leaves(content)]
        after = [leaf for content in record.values() for leaf in leaves(content)]
        return all(its.holds(new) or not mine.holds(old) for old, new in zip(before, after, strict=True))

    @cached_property
    def _leaves(self) -> list[tuple[Key | None, str, str]]:
        """All values of the record but empty ones: the key of those that may be exchanged, the value, and its bare form."""
        found = [(key, str(leaf)) for key, leaf in _keyed(self.record)]
        return [
            (key if self.values.get(key) == value else None, value, form)
            for key, value in found
            if value.strip() and (form := bare(value))
        ]

    @cached_property
    def _is_written_otherwise(self) -> bool:
        """Whether a value with digits stands in the input in another notation, so that any line with digits may hold it."""
        placed = {key for unit in self.units for part in unit if isinstance(part, Slot) for key in part.keys}
        return any(
            key not in placed and any(map(str.isdigit, value)) and value not in self.text
            for key, value, _ in self._leaves
        )


def anatomy_of(text: str, label: str, group: str, fields: Sequence[str]) -> Anatomy | None:
    """An example whose `fields` may be exchanged; None where the label is no record."""
    record = parse_record(label)
    if record is None:
        return None
    values = {
        (name, at): item
        for name in fields
        for at, item in enumerate(_items(record.get(name)))
        if isinstance(item, str) and item.strip()
    }
    # A figure that is written in the text as it is in the record is found there when it is exchanged.
    placed = {key: value for key, value in values.items() if not (is_figure(value) and value in text)}
    return Anatomy(text, tuple(units_of(text, placed)), record, values, group)


def with_values(record: Mapping[str, Any], values: Mapping[Key, str]) -> dict[str, Any]:
    """A record with other values in their places."""
    made = deepcopy(dict(record))
    for (name, at), value in values.items():
        if isinstance(made[name], list):
            made[name][at] = value
        else:
            made[name] = value
    return made


def has_slot(unit: Unit) -> bool:
    """Whether a unit holds a value that has been placed."""
    return any(isinstance(part, Slot) for part in unit)


def is_name(value: str) -> bool:
    """Whether a value is a name or an address rather than a date, a number or a code: it has more letters than digits."""
    return sum(map(str.isalpha, value)) > sum(map(str.isdigit, value))


def is_figure(value: str) -> bool:
    """Whether a value is an amount, a date, a number or a code."""
    return any(map(str.isdigit, value)) and not is_name(value)


def alone(figure: str) -> re.Pattern[str]:
    """A figure where it is no part of another."""
    return re.compile(bounded(re.escape(figure)))


def bounded(pattern: str) -> str:
    """The regular expression `pattern` of figures, where what it matches is no part of a longer one."""
    return rf"(?<![\d.,/-]){pattern}(?![.,/-]?\d)"


def _keyed(record: Mapping[str, Any]) -> Iterator[tuple[Key, Any]]:
    """Every leaf of a record, with its field and its place in it."""
    for name, content in record.items():
        for at, item in enumerate(_items(content)):
            for leaf in leaves(item):
                yield (name, at), leaf


def _items(content: object) -> list[Any]:
    return content if isinstance(content, list) else [content]


def bare(value: str) -> str:
    """A value's letters and digits alone; the folded value where it has none."""
    text = folded(value)
    return squeezed(text) or text


def _is_tied(figure: str, other: str) -> bool:
    """Whether two values would have to change together: they mean the same, or one holds the other."""
    if figure in other or other in figure:
        return bool(alone(figure).search(other) or alone(other).search(figure))
    return normalised(figure) == normalised(other)
