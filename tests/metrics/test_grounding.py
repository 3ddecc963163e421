"""Grounding: values are found in their source in any notation, and nowhere else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.labs.sroie import labelled
from metier.metrics.grounding import count_ungrounded, is_grounded, leaves
from metier.metrics.records import same_value

SOURCE = """ABC TRADING SDN. BHD.
No. 12-3, Jalan Besar,
43000 Kajang
DATE: 03/04/2018 12:30
TOTAL RM1,209.00
CASH -5    東京都港区
***"""


@pytest.mark.parametrize(
    "value",
    [
        "Abc Trading Sdn Bhd",
        "No 12-3, Jalan Besar, 43000 Kajang",  # spans lines
        "2018-04-03",
        "2018-03-04",  # the other reading of the same date
        "3.4.2018",
        "1209",
        "RM 1,209.00",
        1209.0,
        "5.00",
        "-5",
        "港区",  # no spaces between words
        "***",
        True,
        None,
        "",
        ["Kajang", "BESAR"],
        {"city": "Kajang", "none": None},
    ],
)
def test_what_stands_in_the_source_is_grounded(value: object) -> None:
    assert is_grounded(value, SOURCE)


@pytest.mark.parametrize(
    "value",
    [
        "C Trading",  # not a whole word
        "Trading Bhd",  # not one after another
        "2018-05-03",
        "209",
        "1209.50",
        9,
        ["Kajang", "Paris"],
        {"city": "Paris"},
        "###",
    ],
)
def test_what_does_not_is_made_up(value: object) -> None:
    assert not is_grounded(value, SOURCE)


def test_only_values_that_must_be_copied_are_counted() -> None:
    schema = {"properties": {"kind": {"enum": ["receipt", "invoice"]}, "tags": {"items": {"enum": ["x"]}}}}
    record = {
        "kind": "receipt",
        "tags": ["x"],
        "paid": True,
        "company": "ABC Trading",
        "towns": ["Kajang", "Paris"],
        "n": "",
    }
    assert count_ungrounded(record, SOURCE, schema) == (1, 3)
    assert count_ungrounded(record, SOURCE) == (3, 5)
    assert leaves(record) == ["receipt", "x", "ABC Trading", "Kajang", "Paris"]


def test_long_and_odd_sources_are_searched_at_once() -> None:
    for source in ("1" + " " * 50_000 + "x", "1." * 30_000, "1 - " * 30_000, "25/12/2018 " * 5_000, "a" * 100_000):
        assert not is_grounded("Paris 7", source)
        assert is_grounded("2018-12-25", source) == ("2018" in source)


@given(st.lists(st.text(alphabet="abcXYZ ,.-019\n", min_size=1), min_size=1, max_size=5), st.data())
def test_every_word_sequence_of_a_source_is_grounded_in_it(lines, data) -> None:
    source = "\n".join(lines)
    words = source.split()
    if not words:
        return
    first = data.draw(st.integers(0, len(words) - 1))
    value = words[first]
    # A word that is all signs and digits may be an amount whose neighbours make it another one; letters are not.
    if value.isalpha():
        assert is_grounded(value.upper(), source)
        assert same_value(value.upper(), value)


DATA = Path(os.environ.get("METIER_DATA", "")) / "sroie"


@pytest.mark.skipif("METIER_DATA" not in os.environ or not DATA.is_dir(), reason="METIER_DATA has no sroie/")
def test_of_real_receipts_nearly_all_that_people_read_is_found() -> None:
    """624 receipts, four fields each: 98% of people's own values stand in the text that was read off the picture."""
    counts = []
    for chat in labelled(DATA).chats:
        text, record = (message["content"] for message in chat["messages"][-2:])
        counts.append(count_ungrounded(json.loads(record), text))
    ungrounded, given = map(sum, zip(*counts, strict=True))
    assert given >= 2_490
    assert 0.01 < ungrounded / given < 0.025
