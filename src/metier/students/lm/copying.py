"""Which fields of a record are copied from the input, and whether the specialist is held to that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metier.metrics.grounding import is_grounded, leaves
from metier.metrics.records import parse_record
from metier.students.base import LabelledTexts
from metier.students.lm.engine.copying import copyable

# Share of a field's training values that stand in their inputs: people correct a misread letter now and then.
_LEAST_SHARE = 0.9
_LEAST_VALUES = 20


@dataclass(frozen=True)
class Copying:
    """The fields that are held to the input (none: the schema alone holds), and how that was decided, in a sentence."""

    fields: tuple[str, ...]
    story: str


def copied_in(texts: LabelledTexts, schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields that can be held to the input and whose values stand there, as a rule, in these examples."""
    found: dict[str, list[bool]] = {name: [] for name in copyable(schema)}
    for text, label in zip(texts.inputs, texts.labels, strict=True):
        record = parse_record(label) or {}
        for name, seen in found.items():
            seen.extend(is_grounded(leaf, text) for leaf in leaves(record.get(name)))
    return tuple(
        name for name, seen in found.items() if len(seen) >= _LEAST_VALUES and sum(seen) >= _LEAST_SHARE * len(seen)
    )


def decide(fields: Sequence[str], right: Callable[[tuple[str, ...]], int], n: int) -> Copying:
    """Hold `fields` to the input unless fewer of the `n` answers to the tune split are then right.

    `right` counts the right answers when these fields are held to the input.
    """
    chosen = tuple(fields)
    free, held = right(()), right(chosen)
    told = (
        f"{', '.join(chosen)} as spans of the input: {held} of {n} answers to the tune split are right, {free} without"
    )
    if held < free:
        return Copying((), f"not {told}")
    return Copying(chosen, told)
