import pytest

from metier.curation import reasons
from metier.curation.labels import merge_spellings, read_answer, spelling_key, stray_labels, usual_key


@pytest.mark.parametrize(
    ("text", "label", "key"),
    [
        ("billing", "billing", None),
        ("  billing\n", "billing", None),
        ('"billing"', "billing", None),
        ("“billing”", "billing", None),
        ("**billing**", "billing", None),
        ("Label: billing", "billing", None),
        ("The category is: billing", "billing", None),
        ('{"label": "billing"}', "billing", "label"),
        ('```json\n{"intent": "billing", "confidence": 0.9}\n```', "billing", "intent"),
        ('{"Label": "billing", "reason": "invoice"}', "billing", "Label"),
        ('{"topic": "billing"}', "billing", "topic"),
        ('{"spam": true}', "true", "spam"),
        ('{"label": 3}', "3", "label"),
        ('["billing"]', "billing", None),
        ("[urgent]", "[urgent]", None),
        ("cafe\u0301", "café", None),
        ("bil\x00ling", "billing", None),
        ("It is about an invoice, not a login.\n\n\\boxed{billing}", "billing", None),
        ("\\boxed{{billing}}", "billing", None),
        ("\\boxed{login}? No: $\\boxed{\\text{billing}}$.", "billing", None),
        ('{"answer": "\\\\boxed{billing}"}', "billing", "answer"),
    ],
)
def test_reads_the_label_in_every_form(text, label, key):
    answer = read_answer(text, 100)
    assert (answer.label, answer.key, answer.reason) == (label, key, None)


def test_keeps_what_was_reasoned_before_the_box():
    assert read_answer(" An invoice,\nnot a login. \\boxed{billing}", 100).rationale == "An invoice,\nnot a login."
    assert read_answer("\\boxed{billing}", 100).rationale is None
    assert read_answer("billing", 100).rationale is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, reasons.EMPTY_OUTPUT),
        ("   ", reasons.EMPTY_OUTPUT),
        ('""', reasons.EMPTY_OUTPUT),
        ('{"label": null}', reasons.EMPTY_OUTPUT),
        ("x" * 101, reasons.LONG_OUTPUT),
        ('{"a": "x", "b": "y"}', reasons.UNREADABLE_OUTPUT),
        ('{"label": {"name": "x"}}', reasons.UNREADABLE_OUTPUT),
        ('["x", "y"]', reasons.UNREADABLE_OUTPUT),
        ("{}", reasons.UNREADABLE_OUTPUT),
    ],
)
def test_says_why_an_answer_has_no_label(text, reason):
    answer = read_answer(text, 100)
    assert answer.label is None
    assert answer.reason == reason


def test_merges_spellings_to_the_most_frequent():
    merged = merge_spellings({"Card Arrival": 3, "card_arrival": 5, "CARD-ARRIVAL": 1, "refund": 2, "refund.": 1})
    assert merged["Card Arrival"] == merged["CARD-ARRIVAL"] == "card_arrival"
    assert merged["refund."] == "refund"


@pytest.mark.parametrize(("one", "other"), [("1", "-1"), ("c++", "c"), ("c#", "c"), ("1.5", "15"), ("a/b", "ab")])
def test_keeps_labels_apart_that_differ_in_meaning(one, other):
    assert spelling_key(one) != spelling_key(other)


def test_refusals_and_rare_texts_are_stray_but_rare_labels_are_not():
    counts = {"billing": 500, "card arrival": 400, "lost": 1, "fraud alert": 2}
    strays = {
        "I'm sorry, I cannot classify this message.": 40,
        "As an AI, I have no opinion": 1,
        "This looks like a billing question": 1,
        "billing. The customer asks about an invoice": 1,
    }
    assert stray_labels(counts | strays, []) == set(strays)


def test_what_a_person_gave_is_never_stray():
    label = "I would like to speak to a person"
    assert stray_labels({"billing": 10, label: 1}, []) == {label}
    assert stray_labels({"billing": 10, label: 1}, [label]) == set()


def test_the_usual_key_is_that_of_most_answers():
    assert usual_key(["label", "label", None]) == "label"
    assert usual_key([None, None, "label"]) is None
    assert usual_key([]) is None
