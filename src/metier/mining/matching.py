"""Which template a call was made with, and what filled its slots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from metier.artefacts.tasks import Template
from metier.mining.prompts import Prompt


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
    """A function from a prompt to (index of its template, input), or None; the template with most literal text wins."""
    by_roles: dict[tuple[str, ...], list[int]] = defaultdict(list)
    ranked = sorted(range(len(templates)), key=lambda index: (-literal_chars(templates[index]), index))
    for index in ranked:
        by_roles[tuple(message.role for message in templates[index].messages)].append(index)

    def match(prompt: Prompt) -> Match | None:
        for index in by_roles.get(prompt.roles, ()):
            slots = _match_one(templates[index], prompt)
            if slots is not None:
                return index, "\n\n".join(slots)
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
