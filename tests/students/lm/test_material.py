"""Examples that do not fit are left out, counted, and the reason is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.students.lm.tiny_models import byte_tokenizer

from metier.errors import NotEnoughData
from metier.students.base import LabelledTexts
from metier.students.lm.coding import coder_for
from metier.students.lm.material import Limits, prepare
from metier.students.lm.parts import PromptForm

FORM = PromptForm("<bos>", ":", "<eos>", is_baked=True)
# Of bytes: a prompt is its input with two tokens around it, an answer has one more for its end.
LIMITS = Limits(prompt=42, answer=11, both=50)
FITS, LONGEST_PROMPT, LONGEST_ANSWER = ("a" * 10, "b" * 5), ("a" * 40, "b" * 7), ("a" * 10, "b" * 10)
LONG_PROMPT, LONG_ANSWER, LONG_BOTH = ("a" * 41, "b"), ("a" * 10, "b" * 11), ("a" * 40, "b" * 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def texts(*rows: tuple[str, str]) -> LabelledTexts:
    return LabelledTexts(tuple(text for text, _ in rows), tuple(label for _, label in rows))


def test_a_few_that_are_too_long_are_left_out_and_counted_by_reason(folder: Path) -> None:
    train = texts(FITS, LONG_ANSWER, LONGEST_PROMPT, LONG_PROMPT, LONG_ANSWER, LONG_BOTH, LONGEST_ANSWER)
    tune, variants = texts(LONG_ANSWER, FITS), texts(FITS, FITS, LONG_BOTH)
    made = prepare(folder, FORM, train, tune, LIMITS, variants)
    assert made.kept == (0, 2, 6)
    assert made.variants_kept == (0, 1)
    coder = coder_for(folder, FORM)
    kept = train.take(made.kept)
    assert list(made.train) == coder.encode(kept.inputs, kept.labels)
    assert list(made.tune) == coder.encode(*zip(FITS, strict=True))
    assert made.notes == (
        "2 of 7 train examples were left out: an answer of more than 11 tokens",
        "1 of 7 train examples were left out: a prompt of more than 42 tokens",
        "1 of 7 train examples were left out: a prompt and answer of more than 50 tokens",
        "1 of 2 tune examples were left out: an answer of more than 11 tokens",
        "1 of 3 varied train examples were left out: a prompt and answer of more than 50 tokens",
    )


def test_what_fits_is_not_spoken_of(folder: Path) -> None:
    assert prepare(folder, FORM, texts(FITS, LONGEST_PROMPT, LONGEST_ANSWER), texts(FITS), LIMITS).notes == ()


def test_an_example_of_a_hundred_thousand_tokens_is_one_of_those_left_out(folder: Path) -> None:
    huge = ("the shop " * 12_000, "b")
    made = prepare(folder, FORM, texts(FITS, huge, FITS), texts(huge, FITS), LIMITS)
    assert (made.kept, len(made.tune)) == ((0, 2), 1)
    assert made.notes == (
        "1 of 3 train examples were left out: a prompt of more than 42 tokens",
        "1 of 2 tune examples were left out: a prompt of more than 42 tokens",
    )


def test_none_that_fits_says_which_settings_would_help(folder: Path) -> None:
    said = r"none of 2 examples has a prompt of at most 42 tokens and an answer of at most 11.*max_output_tokens"
    with pytest.raises(NotEnoughData, match=said):
        prepare(folder, FORM, texts(LONG_ANSWER, LONG_PROMPT), texts(FITS), LIMITS)
