"""What is read out of answers."""

from __future__ import annotations

import pytest

from metier.mining.answers import Form, clean_label, drawn_share, read_answer, seen_share
from metier.mining.prompts import input_key, read_prompt


@pytest.mark.parametrize(
    ("response", "form", "value", "wrapper"),
    [
        (None, Form.NONE, "", ""),
        ("  ", Form.NONE, "", ""),
        ("pay_bill", Form.SHORT, "pay_bill", ""),
        (' "Pay bill." ', Form.SHORT, "Pay bill", ""),
        ('{"intent": "pay_bill"}', Form.SHORT, "pay_bill", "intent"),
        ('```json\n{"urgent": true}\n```', Form.SHORT, "true", "urgent"),
        ('{"a": 1, "b": 2}', Form.OBJECT, "", ""),
        ('{"persons": ["Ana"]}', Form.OBJECT, "", ""),
        ("[1, 2]", Form.OBJECT, "", ""),
        ('{"truncated": ', Form.SHORT, '{"truncated":', ""),
        ("a\nb", Form.LONG, "", ""),
        ("word " * 30, Form.LONG, "", ""),
        ("word " * 30 + "\n\n\\boxed{C3}", Form.SHORT, "C3", ""),
        ("\\boxed{{C3}}", Form.SHORT, "C3", ""),
        ("\\boxed{" + "word " * 30 + "}", Form.LONG, "", ""),
    ],
)
def test_forms(response: str | None, form: Form, value: str, wrapper: str) -> None:
    answer = read_answer(response)
    assert (answer.form, answer.value, answer.wrapper) == (form, value, wrapper)


def test_version_numbers_keep_their_stops() -> None:
    assert clean_label("v1.2.") == "v1.2."
    assert clean_label("yes.") == "yes"


def test_words_drawn_from_the_source_by_hand() -> None:
    # Of "pain", "for", "days" two stand in the source; words of fewer letters do not count.
    assert drawn_share("Pain for 2 days.", "I had pain, 2 days ago.") == pytest.approx(2 / 3)
    assert drawn_share("2 x", "") == 1.0


def test_good_turing_by_hand() -> None:
    # Ten answers, two of them seen once: 1 - 2 / 10.
    assert seen_share([5, 3, 1, 1]) == pytest.approx(0.8)
    assert seen_share([]) == 0.0


def test_prompts_of_any_shape_are_read() -> None:
    assert read_prompt('[{"role": "user", "content": "hi"}]').texts == ("hi",)
    assert read_prompt('[{"role": "user", "content": null}]').texts == ("",)
    assert read_prompt("not json").texts == ("not json",)
    assert read_prompt('{"role": "user"}').roles == ("user",)
    assert read_prompt(None).texts == ()
    parts = '[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u"}}]}]'
    assert read_prompt(parts).has_image


def test_case_and_white_space_make_no_new_input() -> None:
    assert input_key("Hello  World\n") == input_key("hello world")
    assert input_key("hello") != input_key("hallo")
