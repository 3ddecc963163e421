"""Passwords in URLs go up to the last at sign of a word, as one pattern over the whole text would take them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.gateway.telemetry.masks import MASK, masked

PATTERN = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,30}://[^\s:/@]*):\S*@")
PIECES = ["http", "s3+x.y-z", "://", ":", "/", "@", "user", " ", "\n", "p.w", "é", "\u00a0", MASK, "A", "9"]


def as_it_is(text: str) -> str:
    return text


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_it_masks_what_one_pattern_would(text: str) -> None:
    assert masked(text, as_it_is) == PATTERN.sub(rf"\1:{MASK}@", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no route to postgresql://me:p@ss@db/x now", f"no route to postgresql://me:{MASK}@db/x now"),
        ("redis://:pw@cache and http://a:b@c", f"redis://:{MASK}@cache and http://a:{MASK}@c"),
        ("https://a.example:8080/x@y", f"https://a.example:{MASK}@y"),
        ("mail me@example.org about https://a.example/", "mail me@example.org about https://a.example/"),
    ],
)
def test_what_is_left_reads_like_this(text: str, expected: str) -> None:
    assert masked(text, as_it_is) == expected


@pytest.mark.parametrize("piece", ["a://b:", "a://", "a://b:c@", "@", "a://b:c ", "a@ a://b:"])
def test_hostile_texts_take_no_more_work_than_their_length(piece: str) -> None:
    """With work that grows with the square of the length, this would not end within the suite's time."""
    masked(piece * (400_000 // len(piece)) + " @", as_it_is)
