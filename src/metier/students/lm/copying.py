"""Which fields of a record are copied from the input, from where in it, and whether the specialist is held to that."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from metier.metrics.grounding import is_grounded, leaves
from metier.metrics.records import parse_record
from metier.students.base import LabelledTexts
from metier.students.lm.engine.copying import copyable
from metier.students.lm.engine.spans import Lines
from metier.students.lm.forms import forms_of
from metier.students.lm.parts import Span

# Share of a field's training values that stand in their inputs: people correct a misread letter now and then.
_LEAST_SHARE = 0.9
_LEAST_VALUES = 20
# Share of the values found letter by letter that begin (or end) where a line does, for all answers to be held to it.
_ON_EDGES = 0.95


@dataclass(frozen=True)
class Copying:
    """The fields that are held to the input (none: the schema alone holds), and how that was decided, in a sentence."""

    fields: tuple[Span, ...]
    story: str


@dataclass(frozen=True)
class _Place:
    """Where a value stands: whether it begins and ends where lines do, and on how many lines it lies."""

    begins: bool
    ends: bool
    lines: int


@dataclass(frozen=True)
class _Layout:
    """A text with one space for white space, and where its lines begin and end in it, in order."""

    text: str
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, source: str) -> _Layout:
        lines = Lines.of(source).texts
        ends = tuple(accumulate(len(line) + 1 for line in lines))
        begins = (0, *ends[:-1])
        return cls(" ".join(lines), begins, tuple(end - 1 for end in ends))


def copied_in(texts: LabelledTexts, schema: Mapping[str, Any]) -> tuple[Span, ...]:
    """The fields that can be held to the input and whose values stand there, as a rule, in these examples."""
    values: dict[str, list[tuple[str, int]]] = {name: [] for name in copyable(schema)}
    for number, label in enumerate(texts.labels):
        record = parse_record(label) or {}
        for name, found in values.items():
            found.extend((str(leaf), number) for leaf in leaves(record.get(name)))
    laid = [_Layout.of(text) for text in texts.inputs]
    groups = texts.groups or tuple(map(str, range(len(texts))))
    spans = []
    for name, found in values.items():
        grounded = sum(is_grounded(value, texts.inputs[number]) for value, number in found)
        if len(found) >= _LEAST_VALUES and grounded >= _LEAST_SHARE * len(found):
            forms = forms_of([(value, groups[number]) for value, number in found])
            spans.append(_span(name, [_places(value, laid[number]) for value, number in found], forms))
    return tuple(spans)


def decide(spans: Sequence[Span], right: Callable[[tuple[Span, ...]], int], n: int) -> Copying:
    """Hold these fields to the input unless fewer of the `n` answers to the tune split are then right.

    `right` counts the right answers when these fields are held to the input.
    """
    chosen = tuple(spans)
    free, held = right(()), right(chosen)
    told = (
        f"{', '.join(map(_told, chosen))} as spans of the input: {held} of {n} answers to the tune split are right, "
        f"{free} without"
    )
    if held < free:
        return Copying((), f"not {told}")
    return Copying(chosen, told)


def stored_span(stored: str | Mapping[str, Any]) -> Span:
    """A span as a specialist's folder holds it; older ones have the field's name alone."""
    if isinstance(stored, str):
        return Span(stored)
    return Span(**{**stored, "forms": tuple(stored["forms"])})


def _span(name: str, places: Sequence[Sequence[_Place]], forms: tuple[str, ...]) -> Span:
    """What the values of a field have in common; `places` are all that a value may have been copied from."""
    found = [one for one in places if one]
    if len(found) < _LEAST_VALUES:
        return Span(name, forms=forms)
    begins = _share(found, lambda place: place.begins) >= _ON_EDGES
    ends = _share(found, lambda place: place.ends and (place.begins or not begins)) >= _ON_EDGES
    fitting = [[one for one in some if (one.begins or not begins) and (one.ends or not ends)] for some in found]
    spanned = [min(one.lines for one in some) for some in fitting if some]
    most = int(np.quantile(spanned, 0.99, method="higher")) if begins or ends else 0
    return Span(name, begins, ends, most, forms)


def _share(found: Sequence[Sequence[_Place]], is_so: Callable[[_Place], bool]) -> float:
    return sum(any(map(is_so, places)) for places in found) / len(found)


def _places(value: str, laid: _Layout) -> list[_Place]:
    """Every place where a value stands letter by letter, but for white space."""
    wanted = " ".join(value.split())
    found, begin = [], laid.text.find(wanted) if wanted else -1
    while begin >= 0:
        end = begin + len(wanted)
        first, last = (bisect_right(laid.begins, at) - 1 for at in (begin, end - 1))
        found.append(_Place(laid.begins[first] == begin, laid.ends[last] == end, last - first + 1))
        begin = laid.text.find(wanted, begin + 1)
    return found


def _told(span: Span) -> str:
    """The field, and what its values have in common."""
    lies = ["whole lines"] if span.begins and span.ends else []
    lies += ["from the beginning of a line"] if span.begins and not span.ends else []
    lies += ["to the end of a line"] if span.ends and not span.begins else []
    lies += [f"on at most {span.lines} of them"] if span.lines > 1 else []
    forms = "1 form" if len(span.forms) == 1 else f"{len(span.forms)} forms"
    lies += [f"in {forms} such as {span.forms[0]}"] if span.forms else []
    return f"{span.field} ({', '.join(lies)})" if lies else span.field
