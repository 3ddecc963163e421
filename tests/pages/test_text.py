"""Text from outside is cleaned before it is shown."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from metier.artefacts.evaluations import Verdict
from metier.pages.text import as_sentence, clean, clean_tree, clip, longest_word


def test_control_characters_surrogates_and_overrides_are_replaced() -> None:
    assert clean("a\x00b\x1b[31mc\ud800d\u202ee\x85f") == "a\ufffdb\ufffd[31mc\ufffdd\ufffde\ufffdf"
    assert clean("line\nand\ttab, naïve 日本 🙂") == "line\nand\ttab, naïve 日本 🙂"


def test_long_text_is_cut_and_says_so() -> None:
    assert clean("x" * 50_000_000) == "x" * 2_000 + "… (50,000,000 characters)"


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_cleaned_text_can_always_be_written(text: str) -> None:
    clean(text).encode("utf-8")


@given(st.text(), st.integers(2, 40))
def test_clip_keeps_to_its_room(text: str, room: int) -> None:
    assert len(clip(text, room)) <= room


def test_clip_keeps_both_ends() -> None:
    assert clip("card_payment_wrong_exchange_rate", 20) == "card_payment_…e_rate"
    assert clip("a  b\n c", 20) == "a b c"


def test_as_sentence() -> None:
    assert as_sentence("no threshold passes") == "No threshold passes."
    assert as_sentence("α stays. Done!") == "Α stays. Done!"
    assert as_sentence(" ") == ""


def test_longest_word() -> None:
    assert longest_word("") == 0
    assert longest_word("one three five") == 5


def test_tree_is_cleaned_to_its_leaves() -> None:
    @dataclass(frozen=True)
    class Leaf:
        words: tuple[str, ...]
        named: dict[str, str]
        verdict: Verdict

    leaf = Leaf(("a\x00", "b"), {"k\x00": "v\x1b"}, Verdict.NOT_PROVEN)
    cleaned = clean_tree((leaf,))[0]
    assert cleaned == Leaf(("a\ufffd", "b"), {"k\ufffd": "v\ufffd"}, Verdict.NOT_PROVEN)
    assert cleaned.verdict is Verdict.NOT_PROVEN
