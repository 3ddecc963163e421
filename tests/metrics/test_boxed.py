"""The notations of a boxed answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.metrics.boxed import last_box


@pytest.mark.parametrize(
    ("text", "content", "written"),
    [
        (r"\boxed{C3}", "C3", r"\boxed{C3}"),
        (r"The PCIs are equal modulo 30." "\n\n" r"\boxed{C6}", "C6", r"\boxed{C6}"),
        (r"\boxed{{C3}}", "C3", r"\boxed{{C3}}"),
        (r"so $\boxed{\text{C3}}$.", "C3", r"\boxed{\text{C3}}"),
        (r"\boxed{ \textbf{ C3 } }", "C3", r"\boxed{ \textbf{ C3 } }"),
        (r"first \boxed{C1}, no: \boxed{C2}", "C2", r"\boxed{C2}"),
        (r"\boxed{C1} and \boxed{", "C1", r"\boxed{C1}"),
        (r"\boxed{C1} and \boxed{}", "C1", r"\boxed{C1}"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", r"\boxed{\frac{1}{2}}"),
        (r"\boxed{{a}{b}}", "{a}{b}", r"\boxed{{a}{b}}"),
        ("\\boxed {\n3\n}", "3", "\\boxed {\n3\n}"),
    ],
)
def test_last_box(text: str, content: str, written: str) -> None:
    found = last_box(text)
    assert found is not None
    assert (found.content, found.written) == (content, written)
    assert text[found.start :].startswith(written)


@pytest.mark.parametrize("text", ["", "C3", r"\boxed{C3", r"\boxed{}", r"\boxed{ {} }", "boxed{C3}"])
def test_no_box(text: str) -> None:
    assert last_box(text) is None


@given(st.text(alphabet="\\boxed{}te C3"))
def test_any_text(text: str) -> None:
    found = last_box(text)
    assert found is None or (found.written in text and found.content == found.content.strip() != "")
