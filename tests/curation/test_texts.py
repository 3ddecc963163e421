import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.curation.texts import clean, duplicate_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What's my balance?", "whats  my balance"),
        ("Hello, world!", "hello world"),
        ("ＡＢＣ", "abc"),
        ("pay 1.5 now.", "pay 1.5 now"),
    ],
)
def test_same_key_but_for_case_space_and_punctuation(one, other):
    assert duplicate_key(one) == duplicate_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("send $5", "send 5"),
        ("c++", "c#"),
        ("-5", "5"),
        ("1.5", "15"),
        ("3:30", "330"),
        ("turn on", "turn off"),
        ("?", "!"),
    ],
)
def test_different_keys_where_the_meaning_differs(one, other):
    assert duplicate_key(one) != duplicate_key(other)


@given(st.text())
def test_a_key_is_stable_and_never_loses_all_of_a_text(text):
    cleaned = clean(text)
    key = duplicate_key(cleaned)
    assert duplicate_key(key) == key or not key
    assert clean(cleaned) == cleaned
