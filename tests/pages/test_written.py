"""Reports on records and texts: every score with its interval, what was trained, answers side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import polars as pl
import pytest
from rich.console import Console

from metier.artefacts.evaluations import Evaluation
from metier.pages.console import dataset_table, evaluation_table, specialist_table
from metier.pages.examples import INPUT_CHARS, N_RIGHT, N_WRONG, examples_of
from metier.pages.inputs import ReportInputs
from metier.pages.report import report

TIME = "2026-11-21T22:40:00Z"
Cases = dict[str, Callable[[], ReportInputs]]


@pytest.fixture
def fields(cases: Cases) -> ReportInputs:
    return cases["fields"]()


def shown(what: object) -> str:
    console = Console(width=100, no_color=True)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


def evaluation_of(inputs: ReportInputs) -> Evaluation:
    assert inputs.evaluation is not None
    return inputs.evaluation


def test_the_page_has_every_score_of_records(fields: ReportInputs) -> None:
    page = report(fields, time=TIME)
    ours = evaluation_of(fields).candidates[0]
    assert ours.records is not None
    for part in ("Fields, in percent: lm", "All fields together", "How the writing went", "Whole records right"):
        assert part in page.html
    total = next(one for one in ours.records.fields if one.name == "total")
    assert f"{100 * total.f1.value:.1f} ({100 * total.f1.low:.0f}–{100 * total.f1.high:.0f})" in page.html
    assert f"{100 * ours.records.ungrounded.value:.1f} (" in page.html
    assert ours.writing is not None
    stuck = ours.writing.never_stopped
    assert stuck.value == 2 / 40  # one degenerate, one cut off
    assert "never stopped" in page.html
    assert f"5.0 ({100 * stuck.low:.1f}–{100 * stuck.high:.1f})" in page.html
    assert "82.5% vs 57.5% of records right in every field" in page.headline.sentence
    assert "Rarest classes" not in page.html


def test_what_was_trained_is_told(fields: ReportInputs) -> None:
    page = report(fields, time=TIME).html
    for part in (
        "What was trained",
        "262,144 → 9,120 tokens (3% are left)",
        "https://ai.google.dev/gemma/terms",
        "143 tokens saved a call",
        "1.9 examples/s, 702 tokens/s",
        "q8_0 136 MiB, q4_0 80.1 MiB",
        "62 of 63 answers on tune are those of the trained model",
        "one pass over 41 pairs",
    ):
        assert part in page


def test_examples_that_were_left_out_are_told_on_the_page_and_in_the_terminal(fields: ReportInputs) -> None:
    said = "2 of 40 train examples were left out: a prompt of more than 256 tokens"
    specialist = fields.specialists[0]
    told = dataclasses.replace(specialist, card=dataclasses.replace(specialist.card, notes=(said,)))
    page = report(dataclasses.replace(fields, specialists=(told,)), time=TIME)
    assert said in page.html
    assert said in " ".join(shown(specialist_table(told)).split())
    assert said not in report(fields, time=TIME).html


def test_answers_stand_side_by_side_the_wrong_ones_first(fields: ReportInputs) -> None:
    evaluation = evaluation_of(fields)
    found = examples_of(evaluation, fields.dataset)
    assert len(found) == N_WRONG + N_RIGHT
    assert [item.n_wrong > 0 for item in found] == [True] * N_WRONG + [False] * N_RIGHT
    first = found[0]
    assert first.candidates[0] == "lm"
    marks = {row.name: row.cells[0].right for row in first.rows}
    assert marks == {"company": True, "date": True, "address": False, "total": True, "what went wrong": True}
    broken = next(item for item in found if item.id == "test-5")
    assert broken.rows[-1].cells[0].text.startswith("degenerate: {")
    assert not any(row.cells[0].right for row in broken.rows)


def test_long_inputs_are_shortened_and_say_so(fields: ReportInputs) -> None:
    long = examples_of(evaluation_of(fields), fields.dataset)[0]
    assert long.n_chars > INPUT_CHARS
    assert len(long.input) <= INPUT_CHARS + len("\n[…]\n")
    assert long.input.endswith("THANK YOU")
    assert "Shortened from" in report(fields, time=TIME).html


def test_answers_from_outside_are_escaped(fields: ReportInputs) -> None:
    evaluation = evaluation_of(fields)
    evil = '{"company": "<script>alert(1)</script>\\u202e", "<b>": ["<i>x</i>"]}'
    answers = evaluation.answers.with_columns(answer=pl.lit(evil), failure=pl.lit(None, pl.String))
    page = report(dataclasses.replace(fields, evaluation=dataclasses.replace(evaluation, answers=answers)), time=TIME)
    assert "<script>alert" not in page.html
    assert "&lt;script&gt;alert" in page.html
    assert "<i>x" not in page.html
    assert "\u202e" not in page.html


def test_without_the_dataset_inputs_are_left_out(fields: ReportInputs) -> None:
    without = examples_of(evaluation_of(fields), None)
    assert [item.input for item in without] == [""] * len(without)
    assert "Answers side by side" in report(dataclasses.replace(fields, dataset=None), time=TIME).html


def test_texts_have_their_scores_and_no_schema(cases: Cases) -> None:
    page = report(cases["text"](), time=TIME)
    assert "Texts against the expected ones" in page.html
    assert "acceptable (ROUGE-L ≥ 0.50)" in page.html
    assert "valid under the schema" not in page.html
    assert "too long" in page.html


def test_labels_have_none_of_it(full: ReportInputs) -> None:
    page = report(full, time=TIME)
    assert page.data["quality"]["examples"] == []
    for part in ("Answers side by side", "What was trained", "How the writing went", "Micro-F1"):
        assert part not in page.html


def test_the_terminal_has_the_scores_too(fields: ReportInputs, cases: Cases) -> None:
    text = shown(evaluation_table(evaluation_of(fields)))
    for part in ("whole records right", "micro-F1", "degenerate", "never stopped", "address", "not in the input"):
        assert part in " ".join(text.split()), part
    assert "ROUGE-L" in shown(evaluation_table(evaluation_of(cases["text"]())))
    assert fields.dataset is not None
    assert "labels" not in shown(dataset_table(fields.dataset))
    assert "classes" not in shown(specialist_table(*fields.specialists))
