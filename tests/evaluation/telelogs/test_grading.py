r"""Grading, by hand: the last box counts, the first integer decides, no box is wrong."""

from __future__ import annotations

import pytest

from metier.evaluation.telelogs.grading import boxed, content, is_exact, is_right, majority


@pytest.mark.parametrize(
    ("written", "accepted", "soft", "strict"),
    [
        (r"The answer is \boxed{C3}.", ["C3"], True, True),
        (r"First \boxed{C1}, no: \boxed{C3}", ["C3"], True, True),
        (r"First \boxed{C3}, no: \boxed{C1}", ["C3"], False, False),
        (r"\boxed{{C3}}", ["C3"], True, True),
        (r"\boxed{\text{C3}}", ["C3"], True, True),
        (r"\boxed{ c3 }", ["C3"], True, True),
        (r"\boxed{3}", ["C3"], True, False),
        (r"\boxed{C3: A neighboring cell}", ["C3"], True, False),
        (r"\boxed{C3}", ["3"], True, False),
        (r"\boxed{C3}", [r"C5", "C3"], True, True),
        (r"\boxed{Z5}", ["Z5"], True, True),
        (r"\boxed{C13}", ["C3"], False, False),
        (r"\boxed{C03}", ["C3"], True, False),
        (r"\boxed{B}", ["B"], True, True),
        (r"\boxed{b}", ["B"], True, True),
        (r"\boxed{B}", ["A"], False, False),
        (r"\boxed{2}", ["B"], False, False),
        ("The answer is C3.", ["C3"], False, False),
        (r"\boxed{}", ["C3"], False, False),
        (r"\boxed{C3", ["C3"], False, False),
        ("", ["C3"], False, False),
        (None, ["C3"], False, False),
    ],
)
def test_hand_examples(written: str | None, accepted: list[str], soft: bool, strict: bool) -> None:
    given = content(written)
    assert is_right(given, accepted) is soft
    assert is_exact(given, accepted) is strict


def test_a_label_is_served_in_one_box() -> None:
    assert boxed("C3") == r"\boxed{C3}"
    assert boxed(r"\boxed{C3}") == r"\boxed{C3}"
    assert content(boxed("Z5")) == "z5"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["c1", "c2", "c2", "c3"], "c2"),
        (["c1", "c2"], "c1"),
        ([None, None, "c4", None], "c4"),
        ([None, None], None),
        (["c1", "c2", "2", "root cause 2"], "c2"),
        (["a", "b", "b"], "b"),
    ],
)
def test_majority_over_what_is_boxed(given: list[str | None], wanted: str | None) -> None:
    assert majority(given) == wanted
