"""Where the values of a copied field may lie in an input, as a grammar: between which signs, on which lines, in what form.

A small model that copies a date writes what stands beside it now and then: a price, a telephone number. Where all values of
a field look alike, or all begin where a line begins, its answer can be held to the places that do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from metier.students.lm.parts import Span

# A run may begin and end at any word or sign.
_PIECES = re.compile(r"\w+|[^\w\s]")
# Pieces of the longest run that begins or ends with a line: all runs are spelt out.
_LONGEST = 60


@dataclass(frozen=True)
class Lines:
    """The lines of an input that are not blank, each cut into words, signs and the single spaces between them."""

    pieces: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, source: str) -> Lines:
        return cls(tuple(tuple(_cut(line)) for line in source.splitlines() if line.split()))

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """(lines,) every line with one space for white space."""
        return tuple("".join(line) for line in self.pieces)

    @cached_property
    def flat(self) -> tuple[str, ...]:
        """All pieces, with a space where a line ends and another begins."""
        return tuple(piece for line in self.pieces for piece in (*line, " "))[:-1]

    @cached_property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """(lines, 2): where each line begins and ends in `flat`."""
        found, at = [], 0
        for line in self.pieces:
            found.append((at, at + len(line)))
            at += len(line) + 1
        return tuple(found)


def span_grammar(span: Span, lines: Lines, name: str) -> tuple[list[str], str]:
    """The rules of a value of this field, as a JSON string, and the expression that stands for it. `name` keeps the rules
    apart from others'; "SPAN" is any run of the input's pieces.

    Where nothing in the input has the field's forms, its values are held to their lines alone.
    """
    if span.forms and (found := sorted(_in_form(span, lines))):
        return [], " | ".join(literal(literal(text)) for text in found)
    runs = sorted(set(_runs(span, lines)))
    if not runs:
        return [], r'"\"" SPAN "\""'
    terminal = f"SPAN_{name}"
    return [f"{terminal}: {' | '.join(literal(json_text(run)) for run in runs)}"], rf'"\"" {terminal} "\""'


def json_text(piece: str) -> str:
    """As a piece is written within a JSON string."""
    return json.dumps(piece, ensure_ascii=False)[1:-1]


def literal(value: object) -> str:
    """A text in the grammar's notation; of anything else its JSON, as the grammar's %json and %regex take it."""
    return json.dumps(value, ensure_ascii=False)


def _cut(line: str) -> Iterator[str]:
    for place, word in enumerate(line.split()):
        if place:
            yield " "
        yield from _PIECES.findall(word)


def _in_form(span: Span, lines: Lines) -> set[str]:
    """The runs of pieces that look like the field's values: those that also lie as they do, where there are any."""
    text = "".join(lines.flat)
    edges = [0, *accumulate(map(len, lines.flat))]
    borders = frozenset(edges)
    begins, ends = ({edges[bound[side]] for bound in lines.bounds} for side in (0, 1))
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for form in map(re.compile, span.forms):
        for begin in edges[:-1]:
            match = form.match(text, begin)
            if match is not None and match.end() in borders:
                lies = (begin in begins or not span.begins) and (match.end() in ends or not span.ends)
                found[lies].add(match.group())
    return found[True] or found[False]


def _runs(span: Span, lines: Lines) -> Iterator[str]:
    """All runs that begin (or end) where a line does and lie as the field's values do."""
    n, most = len(lines.pieces), span.lines or len(lines.pieces)
    for place, (begin, end) in enumerate(lines.bounds):
        if span.begins and span.ends:
            for last in range(place + 1, min(place + most, n) + 1):
                yield " ".join(lines.texts[place:last])
        elif span.begins:
            pieces = lines.flat[begin : lines.bounds[min(place + most, n) - 1][1]]
            yield from (text for text in accumulate(pieces[:_LONGEST]) if text[-1] != " ")
        elif span.ends:
            pieces = lines.flat[lines.bounds[max(place + 1 - most, 0)][0] : end]
            backwards = accumulate(pieces[::-1][:_LONGEST], lambda text, piece: piece + text)
            yield from (text for text in backwards if text[0] != " ")
