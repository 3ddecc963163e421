"""A small view for tests: readings of meters in lines, three classes, and choices that an input may name itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metier.errors import Unreadable
from metier.students import LabelledTexts
from metier.views import Feature, Reading

CLASSES = ("calm", "leak", "surge")
HEAD = "meter reading"
_NAMES = ("load", "flow", "heat")


@dataclass(frozen=True)
class Meters:
    """Reads `meter reading`, a line a number (`-` where it is absent), and `choices: A = calm, B = leak` at the end."""

    name: str = "meters"
    version: int = 1
    classes: tuple[str, ...] = CLASSES
    features: tuple[Feature, ...] = (
        Feature("load", "kW", "what is drawn"),
        Feature("flow", "l/s", "what flows, absent where nothing does"),
        Feature("heat", "K", "says nothing"),
    )

    def fits(self, text: str) -> bool:
        return text.startswith(HEAD)

    def read(self, text: str) -> Reading:
        lines = text.splitlines()
        if not lines or lines[0] != HEAD or len(lines) < 4:
            raise Unreadable(f"line 1: expected {HEAD!r} and three numbers, found {text[:40]!r}")
        values = np.array([_number(line, name) for line, name in zip(lines[1:4], _NAMES, strict=True)])
        told = f"load {values[0]:.0f}, {'no flow' if np.isnan(values[1]) else 'flow'}"
        return Reading(values, told, _choices(lines[4:]))


def _number(line: str, name: str) -> float:
    key, _, value = line.partition(": ")
    if key != name:
        raise Unreadable(f"expected {name!r}, found {line[:40]!r}")
    try:
        return np.nan if value == "-" else float(value)
    except ValueError:
        raise Unreadable(f"{name}: {value[:40]!r} is no number") from None


def _choices(lines: Sequence[str]) -> Mapping[str, str] | None:
    if not lines:
        return None
    pairs = [part.split(" = ") for part in lines[0].removeprefix("choices: ").split(", ")]
    return {name: label for label, name in pairs}


def make_readings(n: int, seed: int, names: Mapping[str, str] | None = None) -> LabelledTexts:
    """n inputs with their labels, each called as `names` (class -> label) says, which then stand in the input."""
    rng = np.random.default_rng(seed)
    inputs, labels = [], []
    for _ in range(n):
        name = CLASSES[rng.integers(3)]
        load = rng.normal(9 if name == "surge" else 3, 1.5)
        flow = "-" if name == "leak" else f"{rng.normal(5, 1):.2f}"
        text = f"{HEAD}\nload: {load:.2f}\nflow: {flow}\nheat: {rng.normal(300, 9):.1f}"
        if names is not None:
            text += "\nchoices: " + ", ".join(f"{label} = {one}" for one, label in names.items())
        inputs.append(text)
        labels.append(name if names is None else names[name])
    return LabelledTexts(tuple(inputs), tuple(labels))
