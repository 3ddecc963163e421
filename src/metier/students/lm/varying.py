"""Variants of examples whose records are copied from the input: other senders, other amounts, the same kind of text.

A train split holds few companies and many receipts of each. A model that reads them a second time learns their names by
heart. Variants stand in for further passes: names and addresses are exchanged for another group's (mention replacement, Dai
and Adel, "An Analysis of Simple Data Augmentation for Named Entity Recognition", COLING 2020) or for ones made of several,
amounts and dates for another example's, lines of other groups are put in, and lines that hold no value are left out. The
record changes with the text.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from metier.metrics.grounding import leaves
from metier.metrics.records import parse_record
from metier.students.base import LabelledTexts
from metier.students.lm.engine.copying import copyable
from metier.students.lm.mixing import Mixer, Value
from metier.students.lm.placing import Key, Slot, Unit, units_of, written

# Fewer groups, or values, than this are little to exchange.
_LEAST_GROUPS = 20
# Chances: of a value to be exchanged, to have an unmarked one put beside it, of lines to be put in, of such a line at the
# top to be one that stood above a value, of each line without a value to be left out.
_EXCHANGED, _BESIDE, _PUT_IN, _ABOVE, _LEFT_OUT = 0.6, 0.25, 0.4, 0.5, 0.04
# How many lines are put in.
_LINES_IN = (1, 1, 2, 3)
# A word of a value that stands in another line makes that line one that is kept: shorter ones stand everywhere.
_WORD = 4
_TRIES = 20


@dataclass(frozen=True)
class _Example:
    """An input in units, its record and its group. `values` are those that the input may be searched for."""

    units: tuple[Unit, ...]
    record: Mapping[str, Any]
    values: Mapping[Key, str]
    group: str

    @cached_property
    def names(self) -> dict[Key, str]:
        """The values that have slots, each with the text of its first."""
        slots = [part for unit in self.units for part in unit if isinstance(part, Slot)]
        return {slot.key: slot.text for slot in reversed(slots)}

    @cached_property
    def figures(self) -> dict[Key, str]:
        """The values that are figures (amounts, dates) and stand in the input."""
        return {key: value for key, value in self.values.items() if _is_figure(value) and self._can_change(key, value)}

    def _can_change(self, key: Key, figure: str) -> bool:
        """Whether a figure stands in the input, and no other value is or holds it: that would have to change, too."""
        is_there = any(_alone(figure).search(written(unit)) for unit in self.units)
        return is_there and not any(map(_alone(figure).search, _others(self.record, key)))

    @cached_property
    def plain(self) -> tuple[int, ...]:
        """The units, each a line, that hold nothing of a value."""
        values = _others(self.record, None)
        told = {*values, *(word for value in values for word in value.split() if len(word) >= _WORD)}
        # A value that is no text may be written in the input in many ways.
        has_numbers = any(not isinstance(leaf, str) for value in self.record.values() for leaf in leaves(value))
        return tuple(
            place
            for place, unit in enumerate(self.units)
            if not _has_slot(unit)
            and (line := written(unit)).strip()
            and not any(word in line for word in told)
            and not (has_numbers and any(map(str.isdigit, line)))
        )

    @cached_property
    def above(self) -> tuple[int, ...]:
        """The plain lines before the first value that is a name or an address."""
        first = next((place for place, unit in enumerate(self.units) if _has_slot(unit)), 0)
        return tuple(place for place in self.plain if place < first)


class Varier:
    """Makes variants of `texts` (records of `schema`, with groups). `fields` are those whose values are exchanged."""

    def __init__(self, texts: LabelledTexts, schema: Mapping[str, Any]) -> None:
        fields = copyable(schema)
        groups = texts.groups or tuple(map(str, range(len(texts))))
        self._examples = [_example(*row, fields) for row in zip(texts.inputs, texts.labels, groups, strict=True)]
        self._single = frozenset(name for name in fields if schema["properties"][name].get("type") == "string")
        values: dict[str, dict[str, list[Value]]] = {}
        self._lines: dict[str, list[str]] = {}
        self._above: dict[str, list[str]] = {}
        self._figures: dict[str, list[str]] = {}
        for one in self._examples:
            for key, text in one.names.items():
                values.setdefault(key[0], {}).setdefault(one.group, []).append((one.values[key], text))
            for key, figure in one.figures.items():
                self._figures.setdefault(key[0], []).append(figure)
            for places, lines in ((one.plain, self._lines), (one.above, self._above)):
                _add(lines.setdefault(one.group, []), [written(one.units[place]) for place in places])
        mixers = {name: Mixer(values[name]) for name in fields if name in values}
        self._mixers = {name: mixer for name, mixer in mixers.items() if mixer.n_senders >= _LEAST_GROUPS}
        self.fields = tuple(self._mixers)
        self.figures = tuple(name for name in fields if len(set(self._figures.get(name, ()))) >= _LEAST_GROUPS)

    def vary(self, place: int, seed: str) -> tuple[str, str]:
        """A variant of the example at `place`: the input and the record's JSON. The same seed gives the same."""
        rng, one = random.Random(seed), self._examples[place]
        values, new = dict(one.values), self._new_names(one, rng)
        values.update({key: value for key, (value, _) in new.items()})
        left_out = {at for at in one.plain if rng.random() < _LEFT_OUT}
        units = [_filled(unit, new) for at, unit in enumerate(one.units) if at not in left_out]
        self._refigure(one, values, units, rng)
        self._put_beside(one.group, values, units, rng)
        if rng.random() < _PUT_IN:
            self._put_in(one.group, units, rng)
        record = _with(one.record, {key: value for key, value in values.items() if value != one.values[key]})
        return "\n".join(map(written, units)), json.dumps(record, ensure_ascii=False)

    def _new_names(self, one: _Example, rng: random.Random) -> dict[Key, Value]:
        """Other names and addresses, but none that is, holds or is held by another value of the record."""
        new: dict[Key, Value] = {}
        for key in one.names:
            if key[0] not in self._mixers or rng.random() >= _EXCHANGED:
                continue
            drawn = self._mixers[key[0]].drawn(one.group, rng)
            others = [*_others(one.record, None), *(value for value, _ in new.values())]
            if not any(other in drawn[0] or drawn[0] in other for other in others):
                new[key] = drawn
        return new

    def _refigure(self, one: _Example, values: dict[Key, str], units: list[Unit], rng: random.Random) -> None:
        """Another example's amount or date wherever this one's stands, but not one that stands here already."""
        for key, was in one.figures.items():
            if key[0] not in self.figures or rng.random() >= _EXCHANGED:
                continue
            for _ in range(_TRIES):
                figure = rng.choice(self._figures[key[0]])
                if not any(_alone(figure).search(written(unit)) for unit in units):
                    units[:] = [_replaced(unit, _alone(was), figure) for unit in units]
                    values[key] = figure
                    break

    def _put_beside(self, group: str, values: Mapping[Key, str], units: list[Unit], rng: random.Random) -> None:
        """Another group's name without what marks one, in a line before or after a name that is marked; not where a record
        lists such names."""
        for name, mixer in self._mixers.items():
            at = next((at for at, unit in enumerate(units) if _has_slot(unit, name)), None)
            if name not in self._single or at is None or rng.random() >= _BESIDE:
                continue
            line = mixer.unmarked(group, values[name, 0], rng)
            if line is not None:
                units.insert(at + rng.choice((0, 0, 1)), (line,))

    def _put_in(self, group: str, units: list[Unit], rng: random.Random) -> None:
        """Lines of other groups: at the top, where a value begins or ends, or anywhere but within a value."""
        for _ in range(rng.choice(_LINES_IN)):
            n = len(units)
            edges = [at for at in range(n + 1) if any(map(_has_slot, units[max(at - 1, 0) : at + 1]))]
            at = rng.choice(rng.choice([[0], edges or [0], range(n + 1)]))
            is_above = not any(map(_has_slot, units[:at])) and rng.random() < _ABOVE
            pool = self._above if is_above else self._lines
            donors = [other for other, lines in pool.items() if other != group and lines]
            if donors:
                units.insert(at, (rng.choice(pool[rng.choice(donors)]),))


def variants_of(
    texts: LabelledTexts, schema: Mapping[str, Any], n_each: int, seed: int
) -> tuple[LabelledTexts, tuple[str, ...]]:
    """`n_each` variants of every example, all of one round before the next, and a note; none of either where there is
    nothing to exchange."""
    varier = Varier(texts, schema)
    if not (varier.fields and n_each):
        return texts.take([]), ()
    made = [varier.vary(place, f"{seed} {round_} {place}") for round_ in range(n_each) for place in range(len(texts))]
    drawn = f", figures ({', '.join(varier.figures)}) for other examples'" if varier.figures else ""
    note = (
        f"in place of further passes {len(made):,} variants of the train examples were learnt from: values of "
        f"{', '.join(varier.fields)} exchanged for other groups'{drawn}, lines put in and left out"
    )
    groups = None if texts.groups is None else texts.groups * n_each
    return LabelledTexts(tuple(text for text, _ in made), tuple(label for _, label in made), groups), (note,)


def _example(text: str, label: str, group: str, fields: Sequence[str]) -> _Example:
    record = parse_record(label) or {}
    values = {key: value for name in fields for key, value in _texts(name, record.get(name))}
    names = {
        key: value
        for key, value in values.items()
        if _is_text(value)
        # A value within another's text would have to change with it.
        and not any(other in value or value in other for other in _others(record, key))
    }
    return _Example(tuple(units_of(text, names)), record, values, group)


def _texts(name: str, content: object) -> list[tuple[Key, str]]:
    items = content if isinstance(content, list) else [content]
    return [((name, at), item) for at, item in enumerate(items) if isinstance(item, str)]


def _with(record: Mapping[str, Any], values: Mapping[Key, str]) -> dict[str, Any]:
    """A record with other values in their places."""
    made = {name: list(content) if isinstance(content, list) else content for name, content in record.items()}
    for (name, at), value in values.items():
        if isinstance(made[name], list):
            made[name][at] = value
        else:
            made[name] = value
    return made


def _has_slot(unit: Unit, name: str | None = None) -> bool:
    return any(isinstance(part, Slot) and name in (None, part.key[0]) for part in unit)


def _filled(unit: Unit, new: Mapping[Key, Value]) -> Unit:
    """A unit with other values in its slots."""
    return tuple(
        Slot(part.key, new[part.key][1]) if isinstance(part, Slot) and part.key in new else part for part in unit
    )


def _replaced(unit: Unit, pattern: re.Pattern[str], figure: str) -> Unit:
    """A unit with another figure, but not within its slots."""
    return tuple(part if isinstance(part, Slot) else pattern.sub(lambda _: figure, part) for part in unit)


def _add(lines: list[str], more: Sequence[str]) -> None:
    lines += [line for line in dict.fromkeys(more) if line not in lines]


def _others(record: Mapping[str, Any], key: Key | None) -> list[str]:
    """All values of the record but one, as texts."""
    found = []
    for name, content in record.items():
        items = content if isinstance(content, list) else [content]
        found += [str(leaf) for at, item in enumerate(items) if (name, at) != key for leaf in leaves(item)]
    return [value for value in found if value.strip()]


def _is_text(value: str) -> bool:
    """Whether a value is a name or an address rather than a date, a number or a code: it has more letters than digits."""
    return sum(map(str.isalpha, value)) > sum(map(str.isdigit, value))


def _is_figure(value: str) -> bool:
    return any(map(str.isdigit, value)) and not _is_text(value)


def _alone(figure: str) -> re.Pattern[str]:
    """A figure where it is no part of another."""
    return re.compile(rf"(?<![\d.,/-]){re.escape(figure)}(?![.,/-]?\d)")
