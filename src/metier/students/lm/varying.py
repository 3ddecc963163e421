"""Variants of examples whose records are copied from the input: other senders, other amounts, the same kind of text.

A train split holds few companies and many receipts of each. A model that reads them a second time learns their names by
heart. Variants stand in for further passes: names and addresses are exchanged for another group's (mention replacement, Dai
and Adel, "An Analysis of Simple Data Augmentation for Named Entity Recognition", COLING 2020) or for ones made of several,
amounts and dates for another example's, lines of other groups are put in, and lines that hold no value are left out. The
record changes with the text. What a group looks like stays, and a few groups may have most of the examples: a group has
variants by the square root of its size (square-root sampling, Mahajan et al., "Exploring the Limits of Weakly Supervised
Pretraining", ECCV 2018).
"""

from __future__ import annotations

import json
import random
import re
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from metier.metrics.grounding import copied_fields
from metier.students.base import LabelledTexts
from metier.students.lm.anatomy import Anatomy, alone, anatomy_of, bare, bounded, has_slot, with_values
from metier.students.lm.engine.copying import copyable
from metier.students.lm.forms import shape_of
from metier.students.lm.mixing import Mixer, Value
from metier.students.lm.placing import Key, Slot, Unit, written

# Fewer groups, or values, than this are little to exchange.
_LEAST_GROUPS = 20
# Chances: of a value to be exchanged, to have an unmarked one put beside it, of lines to be put in, of such a line at the
# top to be one that stood above a value, of each line without a value to be left out.
_EXCHANGED, _BESIDE, _PUT_IN, _ABOVE, _LEFT_OUT = 0.6, 0.25, 0.4, 0.5, 0.04
# How many lines are put in.
_LINES_IN = (1, 1, 2, 3)
_TRIES = 20


class Varier:
    """Makes variants of `texts` (records of `schema`, with groups). `fields` are those whose names and addresses are
    exchanged, `figures` those whose amounts and dates are."""

    def __init__(self, texts: LabelledTexts, schema: Mapping[str, Any]) -> None:
        fields = copyable(schema)
        groups = texts.groups or tuple(map(str, range(len(texts))))
        self._texts, self._schema = texts, schema
        self._examples = [anatomy_of(*row, fields) for row in zip(texts.inputs, texts.labels, groups, strict=True)]
        self._single = frozenset(name for name in fields if schema["properties"][name].get("type") == "string")
        names: dict[tuple[str, str], dict[str, list[Value]]] = {}
        figures: dict[str, list[str]] = {}
        for one in filter(None, self._examples):
            for key, text in one.names.items():
                kin = names.setdefault((key[0], self._kind(one)), {})
                kin.setdefault(one.group, []).append((one.values[key], text))
            for key, figure in one.figures.items():
                figures.setdefault(key[0], []).append(figure)
        mixers = {kind: Mixer(values) for kind, values in names.items()}
        self._mixers = {kind: mixer for kind, mixer in mixers.items() if mixer.n_senders >= _LEAST_GROUPS}
        self._figures = {name: some for name, some in figures.items() if len(set(some)) >= _LEAST_GROUPS}
        self.fields = tuple(name for name in fields if any(name == field for field, _ in self._mixers))
        self.figures = tuple(name for name in fields if name in self._figures)
        self._lines = self._donated(lambda one: one.plain)
        self._above = self._donated(lambda one: one.above)

    def _kind(self, one: Anatomy) -> str:
        """What an example's record chooses from lists: names go only where the same is chosen, as it may hang on them."""
        copied = copied_fields(one.record, self._schema)
        return json.dumps([[name, value] for name, value in one.record.items() if name not in copied])

    def _donated(self, places: Callable[[Anatomy], Iterable[int]]) -> dict[str, list[str]]:
        """Lines by group that may be put into other groups' inputs: none with what looks like an exchanged figure."""
        shapes = sorted({shape_of(one) for some in self._figures.values() for one in some})
        figure = re.compile(bounded(f"(?:{'|'.join(shapes)})") if shapes else r"(?!)")
        found: dict[str, dict[str, None]] = {}
        for one in filter(None, self._examples):
            lines = [written(one.units[place]) for place in sorted(places(one))]
            found.setdefault(one.group, {}).update({line: None for line in lines if not figure.search(line)})
        return {group: list(lines) for group, lines in found.items() if lines}

    def vary(self, place: int, seed: str) -> tuple[str, str]:
        """A variant of the example at `place`: the input and the record's JSON, as they are where they cannot be varied
        without a value being lost. The same seed gives the same."""
        one = self._examples[place]
        if one is None:
            return self._texts.inputs[place], self._texts.labels[place]
        rng = random.Random(seed)
        values, new = dict(one.values), self._new_names(one, rng)
        values.update({key: value for key, (value, _) in new.items()})
        left_out = {at for at in sorted(one.plain) if rng.random() < _LEFT_OUT}
        units = [_filled(unit, new) for at, unit in enumerate(one.units) if at not in left_out]
        self._refigure(one, values, units, rng)
        self._put_beside(one, values, units, rng)
        if rng.random() < _PUT_IN:
            self._put_in(one.group, units, rng)
        text = "\n".join(map(written, units))
        record = with_values(one.record, {key: value for key, value in values.items() if value != one.values[key]})
        if not one.is_kept_by(text, record):
            return one.text, self._texts.labels[place]
        return text, json.dumps(record, ensure_ascii=False)

    def _new_names(self, one: Anatomy, rng: random.Random) -> dict[Key, Value]:
        """Other names and addresses, but none that is, holds or is held by another value of the record."""
        new: dict[Key, Value] = {}
        taken = [bare(value) for value in one.values.values()]
        kind = self._kind(one)
        for key in one.names:
            mixer = self._mixers.get((key[0], kind))
            if mixer is None or rng.random() >= _EXCHANGED:
                continue
            value, text = mixer.drawn(one.group, rng)
            form = bare(value)
            if form and not any(form in other or other in form for other in taken if other):
                new[key] = value, text
                taken.append(form)
        return new

    def _refigure(self, one: Anatomy, values: dict[Key, str], units: list[Unit], rng: random.Random) -> None:
        """Another example's amount or date wherever this one's stands, but not one that stands here already."""
        for key, was in one.figures.items():
            if key[0] not in self._figures or rng.random() >= _EXCHANGED:
                continue
            whole = "\n".join(map(written, units))
            for _ in range(_TRIES):
                figure = rng.choice(self._figures[key[0]])
                if figure not in whole:
                    pattern = alone(was)
                    units[:] = [_replaced(unit, was, pattern, figure) for unit in units]
                    values[key] = figure
                    break

    def _put_beside(self, one: Anatomy, values: Mapping[Key, str], units: list[Unit], rng: random.Random) -> None:
        """Another group's name without what marks one, in a line before or after a name that is marked; not where a record
        lists such names."""
        kind = self._kind(one)
        for key in one.names:
            mixer = self._mixers.get((key[0], kind))
            if mixer is None or key[0] not in self._single or rng.random() >= _BESIDE:
                continue
            at = next(at for at, unit in enumerate(units) if any(isinstance(p, Slot) and key in p.keys for p in unit))
            line = mixer.unmarked(one.group, values[key], rng)
            if line is not None:
                units.insert(at + rng.choice((0, 0, 1)), (line,))

    def _put_in(self, group: str, units: list[Unit], rng: random.Random) -> None:
        """Lines of other groups: at the top, where a value begins or ends, or anywhere but within a value."""
        for _ in range(rng.choice(_LINES_IN)):
            n = len(units)
            edges = [at for at in range(n + 1) if any(map(has_slot, units[max(at - 1, 0) : at + 1]))]
            at = rng.choice(rng.choice([[0], edges or [0], range(n + 1)]))
            is_above = not any(map(has_slot, units[:at])) and rng.random() < _ABOVE
            pool = self._above if is_above else self._lines
            donors = [other for other in pool if other != group]
            if donors:
                units.insert(at, (rng.choice(pool[rng.choice(donors)]),))


def variants_of(
    texts: LabelledTexts, schema: Mapping[str, Any], n_each: int, seed: int
) -> tuple[LabelledTexts, tuple[str, ...]]:
    """`n_each` rounds of as many variants as there are examples, and a note; none of either where there is nothing to
    exchange. Over all rounds a group's share goes with the square root of its size."""
    varier = Varier(texts, schema)
    if not (varier.fields and n_each):
        return texts.take([]), ()
    groups = texts.groups or tuple(map(str, range(len(texts))))
    places = _drawn(groups, n_each * len(texts), random.Random(f"{seed} drawn"))
    made = [varier.vary(place, f"{seed} {number} {place}") for number, place in enumerate(places)]
    drawn = f", figures ({', '.join(varier.figures)}) for other examples'" if varier.figures else ""
    note = (
        f"in place of further passes {len(made):,} variants of the train examples were learnt from: values of "
        f"{', '.join(varier.fields)} exchanged for other groups' or made-up ones{drawn}, lines put in and left out; a "
        "group's variants go with the square root of its size"
    )
    of = None if texts.groups is None else tuple(groups[place] for place in places)
    return LabelledTexts(tuple(text for text, _ in made), tuple(label for _, label in made), of), (note,)


def _drawn(groups: Sequence[str], n: int, rng: random.Random) -> list[int]:
    """`n` places in a mixed order, each as often as its share to the next whole number (systematic sampling, Madow 1949):
    all examples of a group have as much of its share, the square root of how many they are."""
    n_of = Counter(groups)
    edges = list(accumulate(n_of[group] ** -0.5 for group in groups))
    start = rng.random()
    places = [min(bisect(edges, (number + start) / n * edges[-1]), len(edges) - 1) for number in range(n)]
    rng.shuffle(places)
    return places


def _filled(unit: Unit, new: Mapping[Key, Value]) -> Unit:
    """A unit with other values in its slots."""
    return tuple(
        Slot(part.keys, new[part.keys[0]][1]) if isinstance(part, Slot) and part.keys[0] in new else part
        for part in unit
    )


def _replaced(unit: Unit, was: str, pattern: re.Pattern[str], figure: str) -> Unit:
    """A unit with another figure, but not within its slots."""
    return tuple(
        pattern.sub(lambda _: figure, part) if isinstance(part, str) and was in part else part for part in unit
    )
