"""The claim of `merging`, checked: a closed subset segments like the base, in tokenizers' order and in SentencePiece's."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from metier.students.lm.vocabulary.merging import Merging, merges_among

LETTERS = "abc"


def _random_merges(seed: int) -> list[tuple[str, str]]:
    """Merges of random tokens, best first, each of parts made before it."""
    rng = random.Random(seed)
    tokens = list(LETTERS)
    merges: list[tuple[str, str]] = []
    while len(merges) < 25:
        pair = (rng.choice(tokens), rng.choice(tokens))
        if pair not in merges and len(pair[0] + pair[1]) <= 7:
            merges.append(pair)
            if pair[0] + pair[1] not in tokens:
                tokens.append(pair[0] + pair[1])
    return merges


def _segment(merges: list[tuple[str, str]], text: str) -> list[str]:
    tokens = sorted({*LETTERS, *(left + right for left, right in merges)})
    vocabulary = {token: place for place, token in enumerate(tokens)}
    return Tokenizer(models.BPE(vocab=vocabulary, merges=merges)).encode(text).tokens


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.text(LETTERS, max_size=12), min_size=1, max_size=4), st.data())
def test_a_closed_subset_segments_text_of_kept_tokens_as_the_base_does(
    seed: int, texts: list[str], data: st.DataObject
) -> None:
    merges = _random_merges(seed)
    merging = Merging.of(merges)
    seen = {token for text in texts for token in _segment(merges, text)}
    kept = set(LETTERS)
    for token in seen:
        derivation = merging.derivation(token)
        assert derivation is not None, "a token that occurs has a derivation"
        kept |= derivation
    left = merges_among(merges, kept)
    unseen = data.draw(st.text(LETTERS, max_size=14))
    for text in (*texts, unseen):
        if set(_segment(merges, text)) <= kept:
            assert _segment(left, text) == _segment(merges, text)


def test_what_is_on_the_way_is_part_of_the_derivation() -> None:
    merging = Merging.of([("t", "h"), ("th", "e"), ("h", "e")])
    assert merging.derivation("the") == {"t", "h", "e", "th", "the"}


def test_a_token_that_merging_never_reaches_has_no_derivation() -> None:
    # "ab" goes first, so that "bc" is never there to make "abc".
    merging = Merging.of([("a", "b"), ("b", "c"), ("a", "bc")])
    assert merging.derivation("abc") is None


def test_merges_of_one_product_keep_both_ways_to_it() -> None:
    # By rank ("aa","a") wins over ("a","aa") anywhere; by the product's score the leftmost does. Both need "aa".
    merging = Merging.of([("a", "a"), ("a", "aa"), ("aa", "a")])
    assert merging.derivation("aaa") == {"a", "aa", "aaa"}
