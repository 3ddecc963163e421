"""Whether the rationales of a language model cite what the lab itself would cite for the cause that they end with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from metier.labs.telecom.rationales import rationale
from metier.labs.telecom.text import OPTIONS
from metier.metrics.boxed import last_box
from metier.students import LabelledTexts
from metier.students.lm.parts import Generated

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
# Limits that rationales name in every window: no measurements.
_LIMITS = re.compile(r"\((?:limit )?\d+\)|beyond 1000 m|within 6 dB|mod 30|above 40 km/h|below 160 RBs")


@dataclass(frozen=True)
class Cited:
    """Of the rationales that end with a label: how many, those that are word for word what the lab writes for that label,
    the measurements that the lab's cite, and those of them that are cited."""

    n: int
    n_same: int
    n_measurements: int
    n_cited: int


def cited_in(answers: Sequence[Generated], test: LabelledTexts) -> Cited:
    """How the rationales compare with those of the lab for the causes that they end with. The view reads every window."""
    n, n_same, n_measurements, n_cited = 0, 0, 0, 0
    for answer, asked in zip(answers, test.inputs, strict=True):
        box = last_box(answer.text)
        if box is None or box.content not in OPTIONS:
            continue
        given, own = answer.text[: box.start].strip(), rationale(asked, box.content)
        said, wanted = measurements(given), measurements(own)
        n, n_same = n + 1, n_same + (given == own)
        n_measurements += len(wanted)
        n_cited += sum(one == two for one, two in zip(said, wanted, strict=False))
    return Cited(n, n_same, n_measurements, n_cited)


def measurements(written: str) -> list[str]:
    """The numbers of a rationale in their order, without the limits that they are held against."""
    return [str(found) for found in _NUMBER.findall(_LIMITS.sub("", written))]
