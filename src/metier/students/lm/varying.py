"""Variants of examples whose records are copied from the input: other senders, other amounts, the same kind of text.

A train split holds few companies and many receipts of each. A model that reads them a second time learns their names by
heart. Variants stand in for further passes: whole-line values are exchanged for another group's (mention replacement, Dai
and Adel, "An Analysis of Simple Data Augmentation for Named Entity Recognition", COLING 2020), amounts and dates for
another example's, lines of other groups are put in, and lines that hold no value are left out. The record changes with the
text.
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

# Fewer groups than this have little to exchange.
_LEAST_GROUPS = 20
# Chances: of a value to be exchanged, of lines to be put in, of each line without a value to be left out.
_EXCHANGED, _PUT_IN, _LEFT_OUT = 0.5, 0.4, 0.04
# How many lines are put in.
_LINES_IN = (1, 1, 2, 3)
# Most lines of one value.
_MOST_LINES = 8
# A word of a value that stands in another line makes that line one that is kept: shorter ones stand everywhere.
_WORD = 4
_TRIES = 20

Place = tuple[int, int]
# A value, and the lines that it fills.
_Value = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class _Example:
    """An input's lines, its record, its group, and where values fill whole lines: (first, last) of each place."""

    lines: tuple[str, ...]
    record: Mapping[str, Any]
    group: str
    places: Mapping[str, tuple[Place, ...]]

    @cached_property
    def figures(self) -> dict[str, str]:
        """The values that are figures (amounts, dates) and stand in a line of the input."""
        return {
            name: value
            for name, value in self.record.items()
            if isinstance(value, str) and _is_figure(value) and self._can_change(name, value)
        }

    def _can_change(self, name: str, figure: str) -> bool:
        """Whether a figure stands in a line, and no other value is or holds it: that would have to change, too."""
        is_there = any(map(_alone(figure).search, self.lines))
        return is_there and not any(map(_alone(figure).search, _others(self.record, name)))

    @cached_property
    def owners(self) -> tuple[str | None, ...]:
        """(lines,) the field whose value a line is a part of."""
        found: list[str | None] = [None] * len(self.lines)
        for name, places in self.places.items():
            for first, last in places:
                found[first : last + 1] = [name] * (last - first + 1)
        return tuple(found)

    @cached_property
    def plain(self) -> tuple[int, ...]:
        """The lines that hold nothing of a value."""
        values = _others(self.record, None)
        told = {*values, *(word for value in values for word in value.split() if len(word) >= _WORD)}
        # A value that is no text may be written in the input in many ways.
        has_numbers = any(not isinstance(leaf, str) for value in self.record.values() for leaf in leaves(value))
        return tuple(
            place
            for place, line in enumerate(self.lines)
            if self.owners[place] is None
            and line.strip()
            and not any(word in line for word in told)
            and not (has_numbers and any(map(str.isdigit, line)))
        )


class Varier:
    """Makes variants of `texts` (records of `schema`, with groups). `fields` are those whose values are exchanged."""

    def __init__(self, texts: LabelledTexts, schema: Mapping[str, Any]) -> None:
        names = [name for name in copyable(schema) if schema["properties"][name].get("type") == "string"]
        groups = texts.groups or tuple(map(str, range(len(texts))))
        self._examples = [_example(*row, names) for row in zip(texts.inputs, texts.labels, groups, strict=True)]
        self._values: dict[str, dict[str, list[_Value]]] = {}
        self._lines: dict[str, list[str]] = {}
        self._figures: dict[str, list[str]] = {}
        for one in self._examples:
            self._learn(one)
        self.fields = tuple(name for name in names if len(self._values.get(name, ())) >= _LEAST_GROUPS)
        self.figures = tuple(name for name in names if len(set(self._figures.get(name, ()))) >= _LEAST_GROUPS)

    def _learn(self, one: _Example) -> None:
        for name, ((first, last), *_) in one.places.items():
            values = self._values.setdefault(name, {}).setdefault(one.group, [])
            value = (str(one.record[name]), one.lines[first : last + 1])
            if value not in values:
                values.append(value)
        for place in one.plain:
            lines = self._lines.setdefault(one.group, [])
            if one.lines[place] not in lines:
                lines.append(one.lines[place])
        for name, figure in one.figures.items():
            self._figures.setdefault(name, []).append(figure)

    def vary(self, place: int, seed: str) -> tuple[str, str]:
        """A variant of the example at `place`: the input and the record's JSON. The same seed gives the same."""
        rng, one = random.Random(seed), self._examples[place]
        record = dict(one.record)
        others = [name for name in self.fields if name in one.places and rng.random() < _EXCHANGED]
        new = {name: self._donated(name, one.group, rng) for name in others}
        record.update({name: value for name, (value, _) in new.items()})
        lines: list[str] = []
        owners: list[str | None] = []
        plain = {at for at in one.plain if rng.random() >= _LEFT_OUT}
        for at, (line, owner) in enumerate(zip(one.lines, one.owners, strict=True)):
            if owner in new:
                if any(at == first for first, _ in one.places[str(owner)]):
                    lines += new[str(owner)][1]
                    owners += [owner] * len(new[str(owner)][1])
            elif at in plain or at not in one.plain:
                lines.append(line)
                owners.append(owner)
        self._refigure(one, record, lines, owners, rng)
        if rng.random() < _PUT_IN:
            self._put_in(one.group, lines, owners, rng)
        return "\n".join(lines), json.dumps(record, ensure_ascii=False)

    def _donated(self, name: str, group: str, rng: random.Random) -> _Value:
        by_group = self._values[name]
        return rng.choice(by_group[rng.choice([other for other in by_group if other != group])])

    def _refigure(
        self,
        one: _Example,
        record: dict[str, Any],
        lines: list[str],
        owners: Sequence[str | None],
        rng: random.Random,
    ) -> None:
        """Another example's amount or date wherever this one's stands, but not one that stands here already."""
        for name in self.figures:
            if name not in one.figures or rng.random() >= _EXCHANGED:
                continue
            pattern = _alone(one.figures[name])
            places = [at for at, owner in enumerate(owners) if owner is None and pattern.search(lines[at])]
            for _ in range(_TRIES if places else 0):
                figure = rng.choice(self._figures[name])
                if not any(map(_alone(figure).search, lines)):
                    for at in places:
                        lines[at] = pattern.sub(lambda _, new=figure: new, lines[at])  # type: ignore[misc]
                    record[name] = figure
                    break

    def _put_in(self, group: str, lines: list[str], owners: list[str | None], rng: random.Random) -> None:
        """Lines of other groups: at the top, where a value begins or ends, or anywhere but within a value."""
        donors = [other for other in self._lines if other != group]
        for _ in range(rng.choice(_LINES_IN) if donors else 0):
            n = len(lines)
            open_ = [at for at in range(n + 1) if at in (0, n) or owners[at] is None or owners[at - 1] != owners[at]]
            edges = [at for at in open_ if any(owner is not None for owner in owners[max(at - 1, 0) : at + 1])]
            at = rng.choice(rng.choice([[0], edges or open_, open_]))
            lines.insert(at, rng.choice(self._lines[rng.choice(donors)]))
            owners.insert(at, None)


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


def _example(text: str, label: str, group: str, names: Sequence[str]) -> _Example:
    lines, record = tuple(text.split("\n")), parse_record(label) or {}
    places: dict[str, tuple[Place, ...]] = {}
    taken: set[int] = set()
    for name in names:
        value = record.get(name)
        found = _whole_lines(value, lines) if isinstance(value, str) and _is_text(value) else ()
        if any(other in str(value) or str(value) in other for other in _others(record, name)):
            continue  # a value within another's lines would have to change with them
        covered = {at for first, last in found for at in range(first, last + 1)}
        if found and not covered & taken:
            places[name] = found
            taken |= covered
    return _Example(lines, record, group, places)


def _others(record: Mapping[str, Any], name: str | None) -> list[str]:
    """All values of the record but those of a field, as texts."""
    found = [str(leaf) for key, value in record.items() if key != name for leaf in leaves(value)]
    return [value for value in found if value.strip()]


def _is_text(value: str) -> bool:
    """Whether a value is a name or an address rather than a date, a number or a code: it has more letters than digits."""
    return sum(map(str.isalpha, value)) > sum(map(str.isdigit, value))


def _is_figure(value: str) -> bool:
    return any(map(str.isdigit, value)) and not _is_text(value)


def _whole_lines(value: str, lines: Sequence[str]) -> tuple[Place, ...]:
    """Where whole lines make up a value, but for white space."""
    wanted, found = value.split(), []
    for first in range(len(lines)):
        words: list[str] = []
        for last in range(first, min(first + _MOST_LINES, len(lines))):
            words += lines[last].split()
            if words == wanted and lines[first].split() and lines[last].split():
                found.append((first, last))
            if len(words) >= len(wanted):
                break
    return tuple(found)


def _alone(figure: str) -> re.Pattern[str]:
    """A figure where it is no part of another."""
    return re.compile(rf"(?<![\d.,/-]){re.escape(figure)}(?![.,/-]?\d)")
