"""What the terminal shows: the figures that matter, within 80 columns, and nothing hostile."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console, RenderableType

from metier.artefacts.reports import Report
from metier.artefacts.tasks import ASSIGNMENT_SCHEMA, Audit, AuditVerdict
from metier.pages import console as show
from metier.pages.inputs import ReportInputs
from metier.pages.verdict import headline


def printed(what: RenderableType, width: int = 80) -> str:
    out = Console(file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor")
    with out.capture() as captured:
        out.print(what)
    return captured.get()


def plain(what: RenderableType, width: int = 80) -> str:
    out = Console(file=io.StringIO(), width=width, color_system=None)
    with out.capture() as captured:
        out.print(what)
    return captured.get()


def audit_of(inputs: ReportInputs, n: int = 1) -> Audit:
    assert inputs.audit is not None
    tasks = tuple(
        dataclasses.replace(inputs.audit, cost_usd_month=float(k), verdict=list(AuditVerdict)[k % 3]) for k in range(n)
    )
    return Audit(100_000, 312, 30.0, 12_000.0, "31 calls have no price", tasks, pl.DataFrame(schema=ASSIGNMENT_SCHEMA))


def everything(inputs: ReportInputs) -> dict[str, RenderableType]:
    shown: dict[str, RenderableType] = {"headline": show.headline_panel(headline(inputs))}
    if inputs.audit:
        shown["audit"] = show.artefact_view(audit_of(inputs, 14))
    for name in ("dataset", "evaluation", "economics", "policy"):
        if artefact := getattr(inputs, name):
            shown[name] = show.artefact_view(artefact)
    if inputs.specialists:
        shown["specialists"] = show.specialist_table(*inputs.specialists)
    if inputs.lineage:
        shown["artefacts"] = show.artefact_table(inputs.lineage)
        shown["manifest"] = show.manifest_panel(inputs.lineage[-1], Path("folder"))
        shown["lineage"] = show.lineage_tree(inputs.lineage[-1], inputs.lineage)
    return shown


@pytest.mark.parametrize("width", [80, 40, 160])
def test_fits_the_terminal(case: tuple[str, ReportInputs], width: int) -> None:
    for name, what in everything(case[1]).items():
        lines = plain(what, width).splitlines()
        assert lines, name
        assert max(map(len, lines)) <= width, name


def test_numbers_are_not_torn_apart_at_80_columns(full: ReportInputs) -> None:
    shown = everything(full)
    for name, whole in {
        "evaluation": ("97.0 (96.5–97.5)", "94.1 (93.4–94.8)", "+2.9 (+2.1 to +3.8)", "not proven", "21,400", "$0.31"),
        "economics": ("$12,000 to $19,000", "33,000 to 55,000", "month 5"),
        "policy": ("88.0% (86.8% to 89.2%)", "at most 5% are wrong, with confidence 95%"),
        "dataset": ("1,800", "near duplicate 24"),
        "specialists": ("96.2 (94.7–97.7)", "22.9 MiB"),
    }.items():
        for part in whole:
            assert part in plain(shown[name]), (name, part)


def test_hostile_text_neither_styles_nor_controls(cases: dict[str, Callable[[], ReportInputs]]) -> None:
    inputs = cases["hostile"]()
    for name, what in everything(inputs).items():
        text = plain(what, 400)
        assert "\x1b" not in text, name
        assert "\u202e" not in text, name
        text.encode("utf-8")
    rows = pl.DataFrame(
        {"path": ["a"], "line": [1], "reason": ["x"], "detail": [""], "excerpt": ["[red]\x1b[2Jboo[/red] [/]"]}
    )
    assert "[red]\ufffd[2Jboo[/red] [/]" in plain(show.quarantine_table({"x": 1}, rows))


def test_quarantine_counts_all_and_shows_some() -> None:
    rows = pl.DataFrame(
        {
            "path": ["log.jsonl"] * 2,
            "line": [3, 9],
            "reason": ["truncated JSON", "NUL byte"],
            "detail": ["ends inside a string", ""],
            "excerpt": ['{"a": "', "x\x00y"],
        }
    )
    text = plain(show.quarantine_table({"truncated JSON": 11, "NUL byte": 1}, rows))
    for part in ("log.jsonl:3", "truncated JSON: ends inside a string", "11", "2 of 12 lines shown."):
        assert part in text


def test_audit_is_sorted_by_cost_and_keeps_reasons_short(full: ReportInputs) -> None:
    text = plain(show.audit_table(audit_of(full, 14)))
    assert "4 more tasks." in text
    assert text.index("$13.00") < text.index("$12.00") < text.index("$1.00")
    assert "! 31 calls have no price" in text


def test_lineage_shows_a_shared_source_once(full: ReportInputs) -> None:
    text = plain(show.lineage_tree(full.lineage[-1], full.lineage))
    assert text.count("dataset 51fe09b2c7730002  dataset in a sentence") == 1
    assert text.count("51fe09b2c7730002 (above)") == 2
    assert "traffic 77aa01" in text


def test_colour_is_never_alone(full: ReportInputs) -> None:
    """Every verdict that is coloured is also written."""
    assert "\x1b[32m" in printed(everything(full)["evaluation"])
    assert "superior" in plain(everything(full)["evaluation"])


def test_no_certificate(cases: dict[str, Callable[[], ReportInputs]]) -> None:
    policy = cases["worst"]().policy
    assert policy is not None
    assert "nothing is kept" in plain(show.policy_panel(policy))


def test_report_view_names_both_files() -> None:
    text = plain(show.artefact_view(Report("intents", "Specialise.", Path("there"))))
    assert "there/report.html" in text
    assert "there/report.json" in text
