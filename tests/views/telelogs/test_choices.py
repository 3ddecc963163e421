from __future__ import annotations

import pytest

from metier.errors import Unreadable
from metier.views import VIEWS
from metier.views.telelogs.choices import CLASSES, KNOWN, cause_of, find_choices


def test_published_options_are_their_own_labels(question: str) -> None:
    assert VIEWS["telelogs"].read(question).choices == {cause: cause for cause in CLASSES}


ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii")
MORE = (
    "Option {}: {}",
    "Root cause {}: {}",
    "{} - {}",
    "{} \u2013 {}",
    "{}\t{}",
    "<{}> {}",
    '"{}: {}"',
    "{} = {}",
    "Choice #{}. {}",
)


def test_renamed_reordered_and_fewer() -> None:
    texts = [KNOWN[cause].text for cause in ("C7", "C1", "C4")]
    for labels in ("123", "ABC", ("Z1", "Z2", "Z3")):
        for form in ("{}: {}", "{}. {}", "{}) {}", "({}) {}", "- {}: {}", "**{}:** {}", "**{}**: {}", "{}：{}", *MORE):
            prose = ["Which one?", *(form.format(*option) for option in zip(labels, texts, strict=True)), "Given:"]
            assert find_choices(prose) == dict(zip(("C7", "C1", "C4"), labels, strict=True))


def test_options_in_one_line() -> None:
    line = f"Choose: A) {KNOWN['C5'].text} B) {KNOWN['C2'].text} C) {KNOWN['C8'].text}"
    assert find_choices([line]) == {"C5": "A", "C2": "B", "C8": "C"}


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("The downtilt angle of the serving cell is too large, which causes weak coverage at the far end", "C1"),
        ("Serving cell coverage distance exceeds 1 km, resulting in overshooting", "C2"),
        ("A neighbouring cell provides a higher throughput", "C3"),
        ("Non-colocated co-frequency neighbour cells cause severe overlapping coverage", "C4"),
        ("Frequent handovers degrade the performance", "C5"),
        ("The neighbor cell and the serving cell have the same PCI mod 30, leading to interference.", "C6"),
        ("Test vehicle speed exceeds 40 km/h, which impacts user throughput", "C7"),
        ("The average scheduled RBs are below 160, affecting the throughput", "C8"),
        ("Coverage of more than 1,000 m from the serving cell: it overshoots", "C2"),
        ("Higher throughput is available from a neighbouring cell", "C3"),
        ("PCI mod 30 collision with a neighboring cell", "C6"),
        ("The average scheduled RB number is lower than 160", "C8"),
        ("Inter-frequency handovers fail", None),
        ("Lower throughput is available from a neighbouring cell", None),
        ("PCI mod 3 collision with a neighboring cell", None),
        ("Insufficient overlapping coverage of co-frequency neighboring cells", None),
        ("Coverage of more than 2 km from the serving cell", None),
        ("Average scheduled RBs are lower than 100", None),
        ("Test vehicle speed exceeds 60km/h, impacting user throughput.", None),
        ("Test vehicle speed is below 40km/h, impacting user throughput.", None),
        ("Handovers do not degrade performance", None),
        ("Missing neighbour relation", None),
        ("Performance", None),
        ("None of the above", None),
    ],
)
def test_rewordings(text: str, cause: str | None) -> None:
    assert cause_of(text) == cause


def test_options_that_are_no_cause_are_refused() -> None:
    with pytest.raises(Unreadable, match="option B: 'Missing neighbour relation' is none of the eight causes"):
        find_choices([f"A: {KNOWN['C5'].text}", "B: Missing neighbour relation"])
    with pytest.raises(Unreadable, match="none of the eight causes, nor is any other"):
        find_choices(["A: Rain", "B: Snow"])
    with pytest.raises(Unreadable, match="both say cause C5"):
        find_choices([f"A: {KNOWN['C5'].text}", f"B: {KNOWN['C5'].text}"])
    with pytest.raises(Unreadable, match="same label"):
        find_choices([f"A: {KNOWN['C5'].text}", f"A: {KNOWN['C2'].text}"])


def test_no_options_and_prose_with_numbers() -> None:
    assert find_choices([]) is None
    assert find_choices(["The default is 6. Other values are angles.", "Given:", "- 255 stands for 6 degrees."]) is None


def test_roman_labels() -> None:
    lines = [f"{label}) {cause.text}" for label, cause in zip(ROMAN, KNOWN.values(), strict=True)]
    assert find_choices(lines) == dict(zip(KNOWN, ROMAN, strict=True))


def test_an_option_whose_label_cannot_be_told_is_not_left_out() -> None:
    lines = [f"A: {KNOWN['C5'].text}", f"second {KNOWN['C2'].text}"]
    with pytest.raises(Unreadable, match=r"an option whose label cannot be told: .second The serving"):
        find_choices(lines)
    with pytest.raises(Unreadable, match="options without a label"):
        find_choices([f"number {n} {cause.text}" for n, cause in enumerate(KNOWN.values())])


def test_causes_without_labels_are_refused() -> None:
    with pytest.raises(Unreadable, match="options without a label"):
        find_choices([KNOWN["C1"].text, KNOWN["C5"].text])
