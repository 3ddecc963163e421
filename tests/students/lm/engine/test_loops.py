"""The loop guard stops what repeats itself and nothing that people write."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.metrics.generation import is_degenerate
from metier.students.lm.engine.loops import is_looping


@given(st.text(min_size=1, max_size=40), st.text(max_size=60))
def test_every_endless_repetition_is_stopped_and_is_degenerate(piece: str, before: str) -> None:
    text = before
    for _ in range(120):
        text += piece
        if is_looping(text):
            break
    else:
        pytest.fail("never stopped")
    assert len(text) <= len(before) + 8 * max(len(piece), 96)
    assert is_degenerate(text, hit_limit=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "short",
        "-" * 80,
        json.dumps(
            {"entities": [{"name": name, "type": "person"} for name in ("Ana", "Rui", "Eva", "Ivo", "Zoe") * 3]}
        ),
        json.dumps([[0, 0, 0, 1]] * 5),
        "\n".join(f"{n}. item number {n}" for n in range(60)),
    ],
)
def test_what_people_write_goes_on(text: str) -> None:
    assert not any(is_looping(text[:stop]) for stop in range(len(text) + 1))
