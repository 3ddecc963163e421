from __future__ import annotations

from random import Random

import pytest

from metier.labs.grammar import compile_choice, compile_lexicon, compile_phrase, count, expand


def texts(pattern: str, **words: tuple[str, ...]) -> set[str]:
    phrase, rng = compile_phrase(pattern, compile_lexicon(words)), Random(0)
    return {expand(phrase, rng) for _ in range(500)}


def test_plain_text() -> None:
    assert texts("where is it?") == {"where is it?"}


def test_alternatives_nest_and_may_be_empty() -> None:
    assert texts("a[ b| [c|d]|]e") == {"a be", "a ce", "a de", "ae"}


def test_names() -> None:
    assert texts("my {thing}", colour=("red", "blue"), thing=("[old|new] {colour} cup",)) == {
        "my old red cup",
        "my old blue cup",
        "my new red cup",
        "my new blue cup",
    }


def test_a_bar_outside_brackets_is_text() -> None:
    assert texts("a|b") == {"a|b"}


def test_count() -> None:
    lexicon = compile_lexicon({"n": ("1", "2", "3")})
    assert count(compile_phrase("[a|b]{n}[|x]", lexicon)) == 12
    assert count((compile_choice(("[a|b]", "c"), lexicon),)) == 3


@pytest.mark.parametrize("pattern", ["[a|b", "a]", "a[b[c]"])
def test_unbalanced_brackets(pattern: str) -> None:
    with pytest.raises(ValueError, match="unbalanced"):
        compile_phrase(pattern, {})


def test_unknown_name() -> None:
    with pytest.raises(KeyError):
        compile_phrase("{thing}", {})
