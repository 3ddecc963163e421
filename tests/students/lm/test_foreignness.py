"""The character model: the formula by hand, probabilities that sum to one, and that foreign inputs are foreign."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from metier.students.lm.foreignness import _N_CHARACTERS, CharacterModel, fit_character_model


def test_one_letter_by_hand() -> None:
    """Trained on "a": every history of "a" was followed once, by one kind, so each order halves the way to one."""
    p = 1 / _N_CHARACTERS
    for _ in range(5):
        p = (1 + 1 * p) / (1 + 1)
    assert fit_character_model(["a"]).cross_entropy("a") == pytest.approx(-math.log(p))


def test_the_probabilities_of_all_characters_sum_to_one() -> None:
    model = fit_character_model(["abcab", "abd", "bca"])
    seen = sum(math.exp(-_last(model, "ab", letter)) for letter in "abcd")
    unseen = math.exp(-_last(model, "ab", "z"))
    assert seen + unseen * (_N_CHARACTERS - 4) == pytest.approx(1.0)


def _last(model: CharacterModel, before: str, letter: str) -> float:
    """Nats of one character after others."""
    whole, part = before + letter, before
    return model.cross_entropy(whole) * len(whole) - model.cross_entropy(part) * len(part)


def test_other_texts_are_more_foreign() -> None:
    rng = np.random.default_rng(0)
    shops = ["north", "gulf", "pine", "harbour"]
    receipts = [f"{rng.choice(shops)} store\ntotal {rng.integers(1, 99)}.{rng.integers(10, 99)}" for _ in range(80)]
    letters = [f"dear {rng.choice(shops)}, thank you for the {rng.integers(1, 9)} days by the sea" for _ in range(40)]
    model = fit_character_model(receipts[:40])
    scores = model.cross_entropies([*receipts[40:], *letters])
    assert roc_auc_score(np.arange(80) < 40, -scores) > 0.95


@given(st.text())
def test_any_text_has_a_finite_figure_and_the_same_each_time(text: str) -> None:
    model = fit_character_model(["some text", "another"])
    assert np.isfinite(model.cross_entropy(text))
    assert model.cross_entropy(text) == model.cross_entropies(["x", text])[1]


def test_an_empty_text_is_as_foreign_as_can_be() -> None:
    model = fit_character_model(["some text"])
    assert model.cross_entropy("") == pytest.approx(math.log(_N_CHARACTERS))
    assert fit_character_model([]).cross_entropy("a") == pytest.approx(math.log(_N_CHARACTERS))


def test_case_and_width_are_no_foreignness() -> None:
    model = fit_character_model(["Total 12"])
    assert model.cross_entropy("TOTAL 12") == model.cross_entropy("ｔｏｔａｌ １２") == model.cross_entropy("total 12")
