"""Which template a call was made with, and what filled its slots."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from metier.artefacts.tasks import Template
from metier.mining.prompts import Prompt

# Lengths at which the ends of messages are looked up: a long one tells more templates apart, a short one fits more.
_ANCHOR_CHARS = (2048, 512, 128, 32, 8, 1)


def fill_slots(literals: tuple[str, ...], text: str) -> list[str] | None:
    """What stands in the slots between `literals`, or None where the text does not have them in this order.

    The first and the last literal must stand at the ends; inner ones are taken where they occur first.
    """
    first, last = literals[0], literals[-1]
    if len(literals) == 1:
        return [] if text == first else None
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return None
    slots = []
    begin, stop = len(first), len(text) - len(last)
    for literal in literals[1:-1]:
        found = text.find(literal, begin, stop)
        if found < 0:
            return None
        slots.append(text[begin:found])
        begin = found + len(literal)
    slots.append(text[begin:stop])
    return slots


Match = tuple[int, str]
Matcher = Callable[[Prompt], Match | None]


def build_matcher(templates: Sequence[Template]) -> Matcher:
    """A function from a prompt to (index of its template, input), or None; the template with most literal text wins.

    Only templates that begin or end as the prompt does are tried, so thousands of them cost little more than one.
    """
    by_roles: dict[tuple[str, ...], list[int]] = defaultdict(list)
    ranked = sorted(range(len(templates)), key=lambda index: (-literal_chars(templates[index]), index))
    for index in ranked:
        by_roles[tuple(message.role for message in templates[index].messages)].append(index)
    shelves = {roles: _shelve(templates, indices) for roles, indices in by_roles.items()}

    def match(prompt: Prompt) -> Match | None:
        shelf = shelves.get(prompt.roles)
        if shelf is None:
            return None
        for place in shelf.candidates(prompt):
            slots = _match_one(templates[shelf.indices[place]], prompt)
            if slots is not None:
                return shelf.indices[place], "\n\n".join(slots)
        return None

    return match


def literal_chars(template: Template) -> int:
    """Characters of literal text: how specific a template is."""
    return sum(len(literal) for message in template.messages for literal in message.literals)


def _match_one(template: Template, prompt: Prompt) -> list[str] | None:
    filled: list[str] = []
    for message, text in zip(template.messages, prompt.texts, strict=True):
        slots = fill_slots(message.literals, text)
        if slots is None:
            return None
        filled.extend(stripped for slot in slots if (stripped := slot.strip()))
    return filled


# (place of the message, number of characters: > 0 of its beginning, < 0 of its end, 0 all of it).
_Anchor = tuple[int, int]


@dataclass(frozen=True)
class _Shelf:
    """Templates of the same roles, the most specific first (`indices`), each found under one text at one anchor."""

    indices: tuple[int, ...]
    places: tuple[tuple[_Anchor, dict[str, list[int]]], ...]
    loose: tuple[int, ...]

    def candidates(self, prompt: Prompt) -> list[int]:
        """Places in `indices` of the templates that the prompt may match, in order."""
        found = list(self.loose)
        for anchor, by_text in self.places:
            text = _text_at(anchor, prompt.texts)
            if text in by_text:
                found += by_text[text]
        found.sort()
        return found


def _shelve(templates: Sequence[Template], indices: Sequence[int]) -> _Shelf:
    anchors = [list(_anchors(templates[index])) for index in indices]
    n_sharing = Counter(anchor for found in anchors for anchor in found)
    places: dict[_Anchor, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    loose = []
    for place, found in enumerate(anchors):
        if found:
            # Under the text that fewest templates share.
            anchor, text = min(found, key=n_sharing.__getitem__)
            places[anchor][text].append(place)
        else:
            loose.append(place)
    return _Shelf(tuple(indices), tuple((anchor, dict(found)) for anchor, found in places.items()), tuple(loose))


def _anchors(template: Template) -> Iterator[tuple[_Anchor, str]]:
    """Texts that a prompt must have at certain places to match a template."""
    for place, message in enumerate(template.messages):
        first, last = message.literals[0], message.literals[-1]
        if len(message.literals) == 1:
            yield (place, 0), first
            continue
        for n_chars in _ANCHOR_CHARS:
            if n_chars <= len(first):
                yield (place, n_chars), first[:n_chars]
            if n_chars <= len(last):
                yield (place, -n_chars), last[-n_chars:]


def _text_at(anchor: _Anchor, texts: tuple[str, ...]) -> str:
    place, n_chars = anchor
    text = texts[place]
    if n_chars == 0:
        return text
    return text[:n_chars] if n_chars > 0 else text[n_chars:]
