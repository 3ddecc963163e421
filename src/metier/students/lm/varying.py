"""Variants of training examples: the values that an answer copies from its input are exchanged, in both alike.

A model that learns from forty receipts of one shop learns that shop's name, not how to find a name. Where an answer's value
stands in the input word for word, another value in both places makes an example that is as true as the first and can only
be answered by copying; lines that hold no value may be fewer or others. Replacing mentions: Dai and Adel (2020), An
Analysis of Simple Data Augmentation for Named Entity Recognition, section 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from metier.metrics.grounding import copied_fields, leaves
from metier.metrics.notation import as_number, date_readings, folded
from metier.metrics.records import canonical, is_absent, parse_record
from metier.students.base import LabelledTexts

# How often a value is exchanged in a variant, and one of its words or numbers for one that no example has there.
_EXCHANGED = 0.7
_NEW_WORD = 0.25
_NEW_NUMBER = 0.5
# The share of what is learnt from that stays as it was: real examples have what exchanged values break (sums, habits).
_UNCHANGED = 0.4
_MOST_OF_GROUP = 4
# Shares of the lines without a value that a variant lacks, and before which it has a line of another example.
_LINE_DROPPED = 0.1
_LINE_PUT_IN = 0.07
_LEAST_LINES = 8
_LONGEST_VALUE = 1000
_WORDS = re.compile(r"[^\W_]+")
_SPACES = re.compile(r"(\s+)")
_LEAST_WORD = 3


@dataclass(frozen=True)
class Mention:
    """A value of one field with the group it comes from: as the answer gives it, and as its input writes it."""

    group: str
    value: str
    written: str


@dataclass(frozen=True)
class Copied:
    """A value of an example that stands in its input: the fields' name, the value, and where (begin, end) it stands."""

    field: str
    value: str
    places: tuple[tuple[int, int], ...]


class Variants:
    """Makes variants of a training set of records. `schema` says which fields are chosen from a list and never copied."""

    def __init__(self, texts: LabelledTexts, schema: Mapping[str, Any] | None) -> None:
        self._texts, self._schema = texts, schema
        self.groups = texts.groups or tuple(str(place) for place in range(len(texts)))
        self._copied = [
            _apart(_copied_of(text, label, schema)) for text, label in zip(texts.inputs, texts.labels, strict=True)
        ]
        self._bare_lines = [_bare_lines(text, label) for text, label in zip(texts.inputs, texts.labels, strict=True)]
        self._members: dict[str, list[int]] = {}
        for place, group in enumerate(self.groups):
            self._members.setdefault(group, []).append(place)
        self._mentions: dict[str, dict[str, list[Mention]]] = {}
        for text, group, found in zip(texts.inputs, self.groups, self._copied, strict=True):
            for one in found:
                begin, end = one.places[0]
                mention = Mention(group, one.value, text[begin:end])
                known = self._mentions.setdefault(one.field, {}).setdefault(group, [])
                if mention not in known:
                    known.append(mention)
        self._words = {
            field: sorted(
                {word for group in groups.values() for one in group for word in one.value.split() if _is_word(word)}
            )
            for field, groups in self._mentions.items()
        }

    @property
    def n_variable(self) -> int:
        """How many examples have a value that can be exchanged."""
        return sum(bool(found) for found in self._copied)

    def variant(self, place: int, rng: Random) -> tuple[str, str]:
        """An example with some of its values exchanged: (input, answer); as it was where none can be."""
        text, label = self._texts.inputs[place], self._texts.labels[place]
        changes: dict[str, str] = {}
        edits: list[tuple[int, int, str]] = []
        for one in (one for one in self._copied[place] if rng.random() < _EXCHANGED):
            value, written = self._exchanged(one, self.groups[place], rng)
            changes[one.value] = value
            edits += [(begin, end, written) for begin, end in one.places]
        edits += self._line_edits(place, rng)
        record = parse_record(label)
        if record is None or not edits:
            return text, label
        return _edited(text, edits), canonical(_replaced(record, changes), self._schema)

    def _line_edits(self, place: int, rng: Random) -> list[tuple[int, int, str]]:
        """Some of the lines without a value taken out, others of other examples put in before them."""
        edits = []
        for begin, end in self._bare_lines[place]:
            if rng.random() < _LINE_DROPPED:
                edits.append((begin, end, ""))
            elif rng.random() < _LINE_PUT_IN:
                edits.append((begin, begin, self._line_of_another(self.groups[place], rng)))
        return edits

    def _line_of_another(self, group: str, rng: Random) -> str:
        others = [name for name in self._members if name != group]
        if not others:
            return ""
        place = rng.choice(self._members[rng.choice(others)])
        lines = self._bare_lines[place]
        if not lines:
            return ""
        begin, end = rng.choice(lines)
        return self._texts.inputs[place][begin:end].rstrip("\n") + "\n"

    def _exchanged(self, one: Copied, group: str, rng: Random) -> tuple[str, str]:
        """Another value for a field, and how it is written in an input."""
        if as_number(folded(one.value)) is not None:
            number = _other_number(one.value, rng)
            return number, number
        others = [name for name in self._mentions[one.field] if name != group]
        if not others:
            return one.value, one.value
        mention = rng.choice(self._mentions[one.field][rng.choice(others)])
        if date_readings(folded(mention.value)):
            return mention.value, mention.written
        return self._renewed(one.field, mention, rng)

    def _renewed(self, field: str, mention: Mention, rng: Random) -> tuple[str, str]:
        """A mention with some words and numbers that no example has there, the same in both writings."""
        swaps: dict[str, str] = {}
        for word in dict.fromkeys(mention.value.split()):
            if _is_word(word) and rng.random() < _NEW_WORD:
                swaps[word] = rng.choice(self._words[field])
            elif any(c.isdigit() for c in word) and rng.random() < _NEW_NUMBER:
                swaps[word] = _other_digits(word, rng)
        if not swaps.keys() <= set(mention.written.split()):
            return mention.value, mention.written
        value, written = (
            "".join(swaps.get(piece, piece) for piece in _SPACES.split(text))
            for text in (mention.value, mention.written)
        )
        return value, written


def varied(texts: LabelledTexts, n: int, schema: Mapping[str, Any] | None, seed: int) -> LabelledTexts:
    """`n` examples drawn from a training set of records, most of them as variants.

    They are drawn in rounds, in each at most four of a group, another part of a large one each time: forty receipts of one
    shop teach less than forty of as many. The order is that of the rounds.
    """
    variants, rng = Variants(texts, schema), Random(f"variants {seed}")
    inputs, labels = [], []
    for place in islice(_rounds(variants.groups, rng), n):
        unchanged = rng.random() < _UNCHANGED
        text, label = (texts.inputs[place], texts.labels[place]) if unchanged else variants.variant(place, rng)
        inputs.append(text)
        labels.append(label)
    return LabelledTexts(tuple(inputs), tuple(labels))


def _rounds(groups: Sequence[str], rng: Random) -> Iterator[int]:
    """Places of examples without end."""
    members: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    waiting: dict[str, list[int]] = {group: [] for group in members}
    while members:
        for group, places in members.items():
            for _ in range(min(len(places), _MOST_OF_GROUP)):
                waiting[group] = waiting[group] or rng.sample(places, len(places))
                yield waiting[group].pop()


def _copied_of(text: str, label: str, schema: Mapping[str, Any] | None) -> tuple[Copied, ...]:
    record = parse_record(label) or {}
    found: dict[str, Copied] = {}
    for field, value in _values(copied_fields(record, schema)):
        if value not in found and (places := _places(value, text)):
            found[value] = Copied(field, value, places)
    return tuple(found.values())


def _bare_lines(text: str, label: str) -> list[tuple[int, int]]:
    """Where the lines begin and end (line break included) that hold no word of the answer, unless the text has few lines.
    A value that the input spells otherwise loses no line either, as long as it shares a word with it."""
    record = parse_record(label)
    lines, at = [], 0
    for line in text.splitlines(keepends=True):
        lines.append((at, at + len(line)))
        at += len(line)
    if record is None or len(lines) < _LEAST_LINES:
        return []
    words = {word for leaf in leaves(record) for word in _WORDS.findall(str(leaf).casefold())}
    return [(begin, end) for begin, end in lines if words.isdisjoint(_WORDS.findall(text[begin:end].casefold()))]


def _values(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts in a record, each with the names of the fields that lead to it."""
    for name, value in record.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                yield from ((f"{name}.{inner}", text) for inner, text in _values(item))
            elif isinstance(item, str) and not is_absent(item) and len(item) <= _LONGEST_VALUE:
                yield name, item


def _places(value: str, text: str) -> tuple[tuple[int, int], ...]:
    """Where a value stands as whole words, whatever the case, the white space and the punctuation between its words."""
    words = _WORDS.findall(value)
    if not words:
        return ()
    pattern = r"[\W_]*".join(map(re.escape, words))
    found = re.finditer(rf"(?<![^\W_]){pattern}(?![^\W_])", text, re.IGNORECASE)
    head = value[: value.index(words[0])]
    tail = value[value.rindex(words[-1]) + len(words[-1]) :]
    return tuple(_widened(text, *one.span(), head.strip(), tail.strip()) for one in found)


def _widened(text: str, begin: int, end: int, head: str, tail: str) -> tuple[int, int]:
    """The place of a value's words, with the signs that it begins and ends with where they stand there."""
    if head and text.endswith(head, 0, begin):
        begin -= len(head)
    if tail and text.startswith(tail, end):
        end += len(tail)
    return begin, end


def _apart(copied: Sequence[Copied]) -> list[Copied]:
    """Those whose places overlap no other's: a name within an address is left as it is, with the address."""
    spans = sorted((begin, end, place) for place, one in enumerate(copied) for begin, end in one.places)
    bad, furthest, owner = set(), -1, -1
    for begin, end, place in spans:
        if begin < furthest and place != owner:
            bad |= {place, owner}
        if end > furthest:
            furthest, owner = end, place
    return [one for place, one in enumerate(copied) if place not in bad]


def _edited(text: str, edits: Sequence[tuple[int, int, str]]) -> str:
    pieces, at = [], 0
    for begin, end, written in sorted(edits):
        pieces += [text[at:begin], written]
        at = end
    return "".join([*pieces, text[at:]])


def _replaced(value: Any, changes: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _replaced(item, changes) for name, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, changes) for item in value]
    return changes.get(value, value) if isinstance(value, str) else value


def _is_word(word: str) -> bool:
    return word.isalpha() and len(word) >= _LEAST_WORD


def _other_digits(text: str, rng: Random) -> str:
    return "".join(str(rng.randint(0, 9)) if c.isdigit() else c for c in text)


def _other_number(text: str, rng: Random) -> str:
    """Another number in the same notation: as many decimals, one to three digits before them where it had so few."""
    whole = re.match(r"\d{1,3}(?!\d)", text)
    if whole is None:
        return re.sub(r"\d", lambda _: str(rng.randint(1, 9)), text)
    return str(rng.randint(1, 10 ** rng.randint(1, 3) - 1)) + _other_digits(text[whole.end() :], rng)
