from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.generalists.normalise import LabelReader

READER = LabelReader.of(["card_arrival", "refund", "yes", "Yes", "42", "true", "delivery: late", "other"])


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("refund", "refund"),
        ("  Refund.\n", "refund"),
        ("REFUND", "refund"),
        ('"refund"', "refund"),
        ("“refund”", "refund"),
        ("**Refund**", "refund"),
        ("`refund`!", "refund"),
        ("Card arrival", "card_arrival"),
        ("card-arrival", "card_arrival"),
        ("Label: refund", "refund"),
        ("label = refund", "refund"),
        ("The label is: card arrival!", "card_arrival"),
        ('Answer: "Refund"', "refund"),
        ('{"label": "card_arrival"}', "card_arrival"),
        ('{"Label": "refund", "confidence": 0.9}', "refund"),
        ('{"intent": "refund"}', "refund"),
        ('```json\n{"intent": "refund"}\n```', "refund"),
        ('["refund"]', "refund"),
        ('{"label": 42}', "42"),
        ('{"label": true}', "true"),
        ("<think>a refund? or other?</think>\nrefund", "refund"),
        ("delivery: late", "delivery: late"),
        ("Delivery: Late.", "delivery: late"),
        ("It may be other, but the card came.\n\n\\boxed{Card arrival}", "card_arrival"),
        ("\\boxed{other} is wrong, so \\boxed{{refund}}", "refund"),
        ("yes", "yes"),
        ("Yes", "Yes"),
        ("Yes.", "Yes"),
    ],
)
def test_form_is_forgiven(text, label):
    assert READER.read(text) == label


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ".",
        "refunds",
        "refund or other",
        "I think it is a refund",
        "YES",
        '{"a": "refund", "b": "other"}',
        "null",
        '{"label": null}',
        "[" * 5000,
        '["refund", "other"]',
        "<think>refund</think>",
    ],
)
def test_wording_is_not_guessed_at(text):
    assert READER.read(text) is None


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=6, unique=True))
def test_a_label_written_as_it_is_always_reads_as_itself(labels):
    reader = LabelReader.of(labels)
    assert [reader.read(label) for label in labels] == labels


@given(st.text())
def test_any_text_reads_as_a_label_or_none(text):
    assert READER.read(text) in {None, *READER.labels}
