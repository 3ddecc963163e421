"""What the lab writes before the box: measured, about the true cause, and naming no option."""

from __future__ import annotations

import re

import pytest

from metier.labs.telecom import text
from metier.labs.telecom.labelled import labelled
from metier.labs.telecom.parts import CAUSES
from metier.labs.telecom.rationales import rationale
from metier.labs.telecom.simulator import simulate
from metier.metrics.boxed import last_box
from metier.views import VIEWS

WORDS = {
    "C1": "weak coverage",
    "C2": "over-shooting",
    "C3": "a neighbour would do better",
    "C4": "severe overlap",
    "C5": "frequent handovers",
    "C6": "same PCI mod 30",
    "C7": "too fast",
    "C8": "too few resource blocks",
}


@pytest.fixture(scope="module")
def told() -> list[tuple[str, str, str]]:
    windows = simulate(32, 5)
    asked = text.standard(windows)
    return [(q, CAUSES[c], rationale(q, CAUSES[c])) for q, c in zip(asked, windows.cause.tolist(), strict=True)]


def test_it_tells_the_finding_of_its_cause_and_no_label(told: list[tuple[str, str, str]]) -> None:
    assert {cause for _, cause, _ in told} == set(CAUSES)
    for _, cause, said in told:
        assert [name for name, words in WORDS.items() if words in said] == [cause]
        assert re.search(r"\bC\d\b|boxed|nan|\{", said) is None


def test_what_it_cites_is_what_the_view_reads(told: list[tuple[str, str, str]]) -> None:
    view = VIEWS["telelogs"]
    places = {feature.name: place for place, feature in enumerate(view.features)}
    for asked, cause, said in told:
        values = view.read(asked).values
        speed, distance = values[places["speed_margin_low"]] + 40, values[places["distance_margin_low"]] + 1000
        assert f"{speed:.0f} km/h (limit 40)" in said
        if cause == "C2":
            assert f"{distance:.0f} m away" in said


def test_labelled_chats_carry_it_before_the_box() -> None:
    plain = list(labelled(12, 3, randomised=0.5))
    reasoned = list(labelled(12, 3, randomised=0.5, rationales=True))
    for one, other in zip(plain, reasoned, strict=True):
        assert one["messages"][0] == other["messages"][0]
        short, long = one["messages"][1]["content"], other["messages"][1]["content"]
        box, boxed = last_box(short), last_box(long)
        assert box is not None
        assert boxed is not None
        assert box.content == boxed.content
        assert long.startswith("Where throughput is low: ")
        assert long.endswith(short)
