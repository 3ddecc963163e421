"""Pipe tables in prompts: whole in the slot where they are data, whole in the template where they are instructions."""

from __future__ import annotations

import numpy as np
import pytest

from metier.mining.matching import build_matcher
from metier.mining.prompts import Prompt
from metier.mining.tables import TABLE_MARK, fixed_tables, head_outside, without_tables
from metier.mining.templates import mine_templates

HEAD = "Time|Speed (km/h)|PCI|Power [dBm]"
ASKED = "Read the drive test below and name the cause of the drop.\n\nDrive test:\n\n{}\n\nCells around it:\n\n{}\n"
GUIDE = "| code | cause |  |\n| --- | --- | --- |\n| C1 | tilt | - |\n| C2 | speed | - |"


def table(rng: np.random.Generator, head: str = HEAD) -> str:
    rows = [f"2025-05-07 15:11:{s:02}|{rng.integers(90)}|{rng.integers(1000)}|-{rng.integers(900)}" for s in range(5)]
    return "\n".join([head, *rows])


def prompts(template: str, n: int = 60) -> list[Prompt]:
    rng = np.random.default_rng(3)
    tables = template.count("{}")
    return [Prompt(("user",), (template.format(*(table(rng) for _ in range(tables))),)) for _ in range(n)]


@pytest.mark.parametrize("template", [ASKED, "{}\n\nSum up the table above in one line, please.", "Sum this up:\n{}"])
def test_a_template_never_cuts_a_table(template: str) -> None:
    made = prompts(template)
    [found] = mine_templates(made, 10, 0)
    assert found.messages[0].literals == tuple(template.split("{}"))
    matched = build_matcher([found])(made[0])
    assert matched is not None
    assert matched[1].count(HEAD) == template.count("{}")


def test_a_table_that_all_prompts_hold_is_a_part_of_the_instructions() -> None:
    made = prompts(f"Name the cause by this guide:\n\n{GUIDE}\n\nDrive test:\n\n{{}}")
    [found] = mine_templates(made, 10, 0)
    assert found.messages[0].literals == (f"Name the cause by this guide:\n\n{GUIDE}\n\nDrive test:\n\n", "")


def test_the_borders_of_a_table_stay_with_it() -> None:
    rng = np.random.default_rng(0)
    cells = [f"| a | b |\n|---|---|\n| {rng.integers(999)} | {rng.integers(999)} |" for _ in range(60)]
    made = [
        Prompt(("user",), (f"Add up the numbers in this table: \n\n{text}\n\nAnswer with a number.",)) for text in cells
    ]
    [found] = mine_templates(made, 10, 0)
    assert found.messages[0].literals == ("Add up the numbers in this table: \n\n", "\n\nAnswer with a number.")


def test_what_is_a_table() -> None:
    assert without_tables("a|b|c\n1|2|3\nend") == f"{TABLE_MARK}\nend"
    assert without_tables("x\n| a | b |\n|--|--|\n\n1|2|3") == f"x\n{TABLE_MARK}\n\n1|2|3"
    for text in ("yes|no\nleft|right", "a|b|c", "one|two|three\n\nfour|five|six", ""):
        assert without_tables(text) == text
    assert head_outside("ab\n1|2|3\n4|5|6") == 3
    assert head_outside("ab") == 2


def test_tables_that_recur_are_fixed() -> None:
    rng = np.random.default_rng(1)
    texts = [f"{GUIDE}\n\n{table(rng)}" for _ in range(20)]
    fixed = fixed_tables(texts, 10)
    assert without_tables(texts[0], fixed) == f"{GUIDE}\n\n{TABLE_MARK}"
    assert fixed_tables(texts, 21) == frozenset()
