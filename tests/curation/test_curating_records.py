"""Datasets of tasks that answer with records or texts."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from metier.artefacts.datasets import Dataset
from metier.artefacts.estimates import not_scored
from metier.artefacts.tasks import (
    ASSIGNMENT_SCHEMA,
    Audit,
    AuditVerdict,
    Definedness,
    OutputKind,
    Task,
    TaskAudit,
    Template,
    TemplateMessage,
)
from metier.artefacts.traffic import TRACE_SCHEMA, FrameTraffic
from metier.curate import CurateSettings, curate
from metier.curation import reasons
from metier.errors import NotEnoughData

TEMPLATE = Template("p", (TemplateMessage("system", ("Read the order.",)), TemplateMessage("user", ("", ""))), 90)
WORDS = [f"{a}{b}" for a in ("bar", "cel", "dro", "fen", "gul") for b in ("ta", "mi", "no", "rus", "el", "wo")]


def run(calls: Sequence[dict[str, object]], kind: OutputKind = OutputKind.FIELDS, **options: object) -> Dataset:
    task = Task("id", "orders", "", (TEMPLATE,), kind)
    row = TaskAudit(
        task, len(calls), 1.0, 1.0, 1.0, 0, 0, 0, 1.0, Definedness(1.0, 3, 6.0, ""), None, not_scored(),
        AuditVerdict.SPECIALISE, "",
    )  # fmt: skip
    ids = [f"t{place}" for place in range(len(calls))]
    assigned = [
        {"trace_id": id_, "task_id": "id", "template_id": "p", "input": call["input"]}
        for id_, call in zip(ids, calls, strict=True)
    ]
    audit = Audit(len(calls), 0, 1.0, 1.0, "", (row,), pl.DataFrame(assigned, schema=ASSIGNMENT_SCHEMA))
    rows = [
        {"id": id_, "messages": "[]", "provenance": "teacher"} | {k: v for k, v in call.items() if k in TRACE_SCHEMA}
        for id_, call in zip(ids, calls, strict=True)
    ]
    settings = CurateSettings.model_validate({"min_split_size": 5, **options})
    return curate(audit, "orders", FrameTraffic(pl.DataFrame(rows, schema=TRACE_SCHEMA)), settings, seed=0)


def sentence(seed: int) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, 14))


def order_calls(n: int = 90, **fields: object) -> list[dict[str, object]]:
    """Every third order has no city."""
    return [
        {"input": sentence(i), "response": json.dumps({"item": WORDS[i % 30], "city": None if i % 3 == 0 else "Oslo"})}
        | fields
        for i in range(n)
    ]


def reason_of(dataset: Dataset) -> dict[str, int]:
    return dict(dataset.removed["reason"].value_counts().iter_rows())


def test_records_are_canonical_and_fit_the_schema() -> None:
    dataset = run(order_calls())
    assert dataset.kind is OutputKind.FIELDS
    assert dataset.classes == ()
    assert dataset.template == TEMPLATE
    assert dataset.output_schema == {
        "type": "object",
        "properties": {"item": {"type": "string"}, "city": {"type": ["null", "string"]}},
        "required": ["item", "city"],
        "additionalProperties": False,
    }
    assert set(dataset.examples["output"]) <= {
        json.dumps({"item": word, "city": city}) for word in WORDS for city in (None, "Oslo")
    }
    assert dataset.examples["recorded"].to_list() == dataset.examples["output"].to_list()
    assert "stratified" not in dataset.split_rule
    assert any("characters (median)" in note for note in dataset.notes)
    [form] = dataset.forms
    assert (form.template_id, form.share) == ("p", 1.0)
    assert form.json_style is not None
    assert form.json_style.absent == (("city", "null"),)


def test_answers_that_are_no_record_are_quarantined_with_a_reason_and_stay_recorded() -> None:
    calls = order_calls()
    calls += [
        {"input": "one thing", "response": 'Of course: {"item": "a", "city": "b"}'},
        {"input": "two things", "response": "I cannot read this."},
        {"input": "three things", "response": '{"item": 3, "city": "b"}'},
        {"input": "four things", "response": '{"item": "a"}'},
        {"input": "five things", "response": "nonsense", "correction": '{"item": "a", "city": "b"}'},
        {"input": "six things", "response": '```json\n{\n "city": "b", "item": "a"}\n```'},
    ]
    dataset = run(calls)
    assert reason_of(dataset) == {reasons.RECORD_IN_PROSE: 1, reasons.NO_RECORD: 1, reasons.INVALID_RECORD: 2}
    assert any("1 item: is integer, not string" in note for note in dataset.notes)
    rows = {row["input"]: row for row in dataset.examples.to_dicts()}
    mended = rows["five things"]
    assert (mended["output"], mended["recorded"]) == ('{"item": "a", "city": "b"}', "nonsense")
    assert mended["provenance"] == "feedback"
    assert rows["six things"]["output"] == '{"item": "a", "city": "b"}'
    assert dataset.examples.height + dataset.removed.height == len(calls)


def test_records_that_differ_in_what_nobody_means_are_no_contradiction() -> None:
    same = [
        {"input": "lamps please", "response": '{"item": "Lamp", "city": "Oslo"}'},
        {"input": "Lamps, please!", "response": '{"item": "lamp.", "city": "OSLO"}'},
    ]
    tied = [
        {"input": "chairs please", "response": '{"item": "chair", "city": "Oslo"}'},
        {"input": "Chairs please", "response": '{"item": "chair", "city": "Rome"}'},
    ]
    dataset = run(order_calls() + same + tied)
    assert reason_of(dataset) == {reasons.EXACT_DUPLICATE: 1, reasons.TIED: 2}
    [found] = dataset.contradictions
    assert found.input == "chairs please"


def test_a_near_duplicate_of_a_test_input_is_a_leak_whatever_its_record_says() -> None:
    calls = [call | {"split": ("train", "tune", "calibration", "test")[i % 4]} for i, call in enumerate(order_calls())]
    calls.append({"input": f"{sentence(3)} x", "response": '{"item": "other", "city": "Rome"}', "split": "train"})
    dataset = run(calls)
    assert reason_of(dataset) == {reasons.LEAKS: 1}


def test_a_schema_that_nothing_satisfies_is_told() -> None:
    stated = {"type": "object", "properties": {"page": {"type": "string"}}, "required": ["page"]}
    asked = json.dumps({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": stated}}})
    with pytest.raises(NotEnoughData, match=r"does not fit the task's JSON Schema.*90 lacks 'page'"):
        run(order_calls(parameters=asked))


def test_texts_stay_as_they_are_and_the_first_of_several_is_kept() -> None:
    calls = [{"input": sentence(i), "response": f"  Note {i}: {sentence(i)[:40]} "} for i in range(90)]
    calls += [{"input": sentence(5), "response": "Another good note."}]
    calls += [{"input": "unreadable", "response": "I'm sorry, I cannot help with that."}]
    calls += [{"input": sentence(6), "response": "What a person wrote.", "provenance": "human"}]
    dataset = run(calls, OutputKind.TEXT)
    assert reason_of(dataset) == {reasons.EXACT_DUPLICATE: 2, reasons.REFUSED: 1}
    assert dataset.contradictions == ()
    assert (dataset.classes, dataset.output_schema) == ((), None)
    outputs = dict(dataset.examples.select("input", "output").iter_rows())
    assert outputs[sentence(5)] == f"Note 5: {sentence(5)[:40]}"
    assert outputs[sentence(6)] == "What a person wrote."
    assert dataset.forms[0].share == pytest.approx(92 / 93, abs=0.02)
