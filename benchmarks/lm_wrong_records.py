"""Plausible wrong records, for pairs of a right and a wrong answer to the same receipt.

One field of the true record is wrong, in one of three ways by turns: the value of another receipt, the value cut short, the
value with other digits. The same receipts and seed give the same pairs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np

from metier.metrics.records import canonical, normalised
from metier.students.lm.preference import Pair

Record = dict[str, str]


def pairs_of(receipts: Sequence[tuple[str, str]], seed: int = 0) -> list[Pair]:
    """One pair for each (text, record as JSON); the `fault` of a pair is the way in which its rejected answer is wrong."""
    rng = np.random.default_rng(seed)
    records: list[Record] = [json.loads(answer) for _, answer in receipts]
    ways = list(WAYS)
    found = []
    for i, (text, answer) in enumerate(receipts):
        way = ways[i % len(ways)]
        rejected = canonical(_wrong(records[i], records, way, rng))
        found.append(Pair(text, answer, rejected, way, has_end=True))
    return found


def _wrong(record: Record, records: Sequence[Record], way: str, rng: np.random.Generator) -> Record:
    """The record with the first field, in an order that is drawn, which can be made wrong in this way."""
    for field in rng.permutation(sorted(record)):
        known = [other[field] for other in records if field in other]
        value = WAYS[way](record[field], known, rng)
        if normalised(value) not in ("", normalised(record[field])):
            return {**record, field: value}
    raise ValueError(f"no field of {record} can be made wrong: {way}")


def _another(value: str, known: Sequence[str], rng: np.random.Generator) -> str:
    others = sorted({other for other in known if normalised(other) != normalised(value)})
    return str(rng.choice(others)) if others else value


def _cut(value: str, _: Sequence[str], rng: np.random.Generator) -> str:
    """At least half of it is left."""
    least = (len(value) + 1) // 2
    return value[: int(rng.integers(least, max(least + 1, len(value))))].rstrip()


def _made_up(value: str, _: Sequence[str], rng: np.random.Generator) -> str:
    return "".join(str((int(sign) + int(rng.integers(1, 10))) % 10) if sign in "0123456789" else sign for sign in value)


WAYS: dict[str, Callable[[str, Sequence[str], np.random.Generator], str]] = {
    "another receipt's value": _another,
    "cut short": _cut,
    "made up": _made_up,
}
