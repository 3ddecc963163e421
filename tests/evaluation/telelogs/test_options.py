"""Options and forms: what a label means in this question, whatever it is called."""

from __future__ import annotations

import numpy as np
import pytest

from metier.evaluation.telelogs.options import read_options
from metier.labs.telecom.text import OPTIONS, question

DRIVE = ["2025-05-07 15:11:05.000000|128.19|32.58|30|113|-88.74|9.65|465.73" + "|-" * 10 + "|212.13"]
CELLS = ["0033164|1|128.194|32.583|80|6|255|0|DEFAULT|25.0|113|32T32R|34.9|NR AAU 1"]
PUBLISHED = list(OPTIONS.items())


def test_the_published_form() -> None:
    found = read_options(question(PUBLISHED, DRIVE, CELLS))
    assert found.form == "standard"
    assert found.causes == {cause.casefold(): cause for cause in OPTIONS}
    assert found.cause("C4") == found.cause("c4") == "C4"
    assert found.cause("C9") is None
    assert found.cause(None) is None


@pytest.mark.parametrize("names", ["12345678", "ABCDEFGH", [f"Z{place}" for place in range(1, 9)], list(OPTIONS)])
def test_renamed_and_reordered_options(names: list[str]) -> None:
    order = np.random.default_rng(0).permutation(8)
    options = [(name, PUBLISHED[place][1]) for name, place in zip(names, order, strict=True)]
    found = read_options(question(options, DRIVE, CELLS))
    assert found.form == "randomised"
    assert [found.cause(name) for name in names] == [PUBLISHED[place][0] for place in order]


def test_fewer_options_and_swapped_tables_are_randomised() -> None:
    assert read_options(question(PUBLISHED[:5], DRIVE, CELLS)).form == "randomised"
    assert read_options(question(PUBLISHED, DRIVE, CELLS, cells_first=True)).form == "randomised"


def test_small_changes_of_wording_and_layout_do_not_matter() -> None:
    text = question(PUBLISHED, DRIVE, CELLS).replace("C3: A neighboring", "C3： A neighbouring").replace("\n", "\r\n")
    assert read_options(text).form == "standard"
    for bold in ("**{}**: {}", "**{}:** {}", "* {}) {}"):
        listed = "\n".join(bold.format(*option) for option in PUBLISHED)
        assert read_options(listed).form == "standard"


def test_other_questions() -> None:
    assert read_options("What is a PCI?\nA: A cell's identity\nB: A computer bus").form == "other"
    assert read_options("").form == "other"
