"""The loop closes in data: what the gateway recorded is audited and curated like any log, and a specialist never learns
from its own answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest

from metier.artefacts.datasets import Dataset
from metier.artefacts.tasks import Audit
from metier.artefacts.traffic import TRACE_SCHEMA, FrameTraffic
from metier.audit import AuditSettings, audit
from metier.curate import CurateSettings, curate
from metier.curation import reasons
from metier.curation.forms import write_label
from metier.gateway.calls import Route
from metier.mining.costs import CHARS_A_TOKEN

SYSTEM = "Sort the customer's message into one of the queues: billing, login or shipping. Answer as JSON."
TOPICS = {
    "billing": ("invoice", "charge", "refund", "payment", "fee", "tax"),
    "login": ("password", "account", "token", "username", "lockout", "recovery"),
    "shipping": ("parcel", "courier", "tracking", "delivery", "address", "customs"),
}
JSON_OBJECT = orjson.dumps({"response_format": {"type": "json_object"}, "temperature": 0}).decode()
Row = dict[str, Any]


def said(label: str) -> str:
    return orjson.dumps({"queue": label}).decode()


def row(number: int, text: str, response: str | None, **fields: Any) -> Row:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    made = {
        "id": f"mtr-{number:032x}",
        "messages": orjson.dumps(messages).decode(),
        "parameters": JSON_OBJECT,
        "response": response,
        "model": "gpt-4o",
        "time": 1.77e9 + 600.0 * number,
        "provenance": "teacher",
        "route": Route.PASSED.value,
        "input_tokens": 100,
        "output_tokens": 10,
        "cost_usd": 0.01,
        "latency_s": 1.0,
        "evidence": orjson.dumps({"endpoint": "/v1/chat/completions", "status": 200}).decode(),
    }
    return made | {name: value for name, value in fields.items() if name != "evidence"} | _evidence(made, fields)


def _evidence(made: Row, fields: Row) -> Row:
    return {"evidence": orjson.dumps(orjson.loads(made["evidence"]) | fields.get("evidence", {})).decode()}


def kept(number: int, text: str, label: str, **fields: Any) -> Row:
    """A call that a specialist answered: no cost, its own latency, tokens counted from characters."""
    own = {
        "provenance": "specialist",
        "route": Route.KEPT.value,
        "cost_usd": 0.0,
        "latency_s": 0.004,
        "task": "queue",
        **fields,
    }
    return row(number, text, said(label), **own)


def passed(n: int = 240) -> list[Row]:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(n):
        label = tuple(TOPICS)[number % 3]
        words = " ".join(rng.choice(TOPICS[label], 3))
        rows.append(row(number, f"{words} number {rng.integers(1_000, 9_999)} of {label[::-1]}", said(label)))
    return rows


def traffic_of(rows: list[Row]) -> FrameTraffic:
    return FrameTraffic(pl.DataFrame(rows, schema=TRACE_SCHEMA, orient="row"))


def audited(rows: list[Row]) -> Audit:
    return audit(traffic_of(rows), AuditSettings.model_validate({"affinity": False}), seed=0)


def curated(rows: list[Row], **fields: Any) -> Dataset:
    found = audited(rows)
    assert len(found.tasks) == 1
    settings = CurateSettings.model_validate({"min_split_size": 5, "near_duplicate_threshold": 1, **fields})
    return curate(found, found.tasks[0].task.id, traffic_of(rows), settings, seed=0)


def example(dataset: Dataset, text: str) -> Row | None:
    found = dataset.examples.filter(pl.col("input") == text).to_dicts()
    return found[0] if found else None


def reason(dataset: Dataset, text: str) -> str:
    return str(dataset.removed.filter(pl.col("input") == text)["reason"].item())


def test_labels_of_kept_calls_come_from_people_or_the_frontier_never_from_the_specialist() -> None:
    rows = [
        *passed(),
        kept(900, "corrected one", "login", feedback="wrong", correction="billing"),
        kept(901, "confirmed two", "shipping", feedback="correct"),
        kept(902, "audited three", "login", reference=said("billing")),
        kept(903, "alone four", "login"),
        kept(904, "wrong five", "login", feedback="wrong"),
        kept(905, "wrong and audited six", "login", feedback="wrong", reference=said("billing")),
        kept(906, "both wrong seven", "login", feedback="wrong", reference=said("LOGIN")),
        kept(907, "confirmed against eight", "shipping", feedback="correct", reference=said("login")),
    ]
    dataset = curated(rows)
    expected = {
        "corrected one": ("billing", "feedback", None),
        "confirmed two": ("shipping", "feedback", None),
        "audited three": ("billing", "teacher", "billing"),
        "wrong and audited six": ("billing", "teacher", "billing"),
        "confirmed against eight": ("shipping", "feedback", "login"),
    }
    for text, wanted in expected.items():
        found = example(dataset, text)
        assert found is not None, text
        assert (found["output"], found["provenance"], found["recorded"]) == wanted
        # What the specialist took and cost says nothing about the frontier model.
        measured = [found[name] for name in ("input_tokens", "output_tokens", "latency_s", "cost_usd")]
        assert measured == [None] * 4
    assert reason(dataset, "alone four") == reasons.UNJUDGED_SPECIALIST
    assert reason(dataset, "wrong five") == reasons.WRONG_WITHOUT_CORRECTION
    assert reason(dataset, "both wrong seven") == reasons.WRONG_WITHOUT_CORRECTION
    assert any(note.startswith("8 calls were answered by a specialist: 3 labels") for note in dataset.notes)
    assert dataset.examples.filter(pl.col("split") != "ood").height + dataset.removed.height == len(rows)
    assert set(dataset.examples["provenance"].drop_nulls()) == {"teacher", "feedback"}


def test_a_label_that_only_a_specialist_gave_is_no_class() -> None:
    rows = [*passed(), *(kept(900 + n, f"made up {n}", "phantom") for n in range(30))]
    dataset = curated(rows)
    assert dataset.classes == tuple(TOPICS)
    assert "phantom" not in audited(rows).tasks[0].task.labels
    # Nor does it vote: the same input was answered by the frontier model before.
    seen = orjson.loads(rows[0]["messages"])[1]["content"]
    again = curated([*rows, *(kept(950 + n, seen, "shipping") for n in range(5))])
    found = example(again, seen)
    assert found is not None
    assert (found["output"], found["recorded"]) == ("billing", "billing")
    assert again.contradictions == ()


def test_broken_off_calls_are_no_examples_but_are_volume() -> None:
    rows = [
        *passed(),
        row(900, "failed one", None, evidence={"status": 502, "error": "upstream_failed"}, cost_usd=None),
        row(901, "half two", "billing", evidence={"error": "upstream_broke_off", "partial": "bil"}),
        row(902, "hung up three", "billing", evidence={"is_cancelled": True}),
        row(903, "cut off four", "billing", evidence={"finish_reason": "length"}),
        row(904, "failed and corrected five", None, evidence={"status": 500}, correction="login"),
    ]
    dataset = curated(rows)
    assert reason(dataset, "failed one") == reason(dataset, "half two") == reasons.FAILED_CALL
    assert reason(dataset, "hung up three") == reasons.CANCELLED_CALL
    assert reason(dataset, "cut off four") == reasons.CUT_OFF_ANSWER
    corrected = example(dataset, "failed and corrected five")
    assert corrected is not None
    assert (corrected["output"], corrected["provenance"]) == ("login", "feedback")
    task = audited(rows).tasks[0]
    assert task.n_calls == len(rows)
    assert task.n_teacher_labels == 240
    assert task.n_human_labels == 1


def test_kept_calls_count_at_the_frontiers_price() -> None:
    base = audited(passed())
    span = base.span_days
    texts = [f"parcel tracking courier {n}" for n in range(60)]
    known = [kept(240 + n, text, "shipping", evidence={"saved_usd": 0.02}) for n, text in enumerate(texts)]
    found = audited([*passed(), *known])
    assert found.n_traces == 300
    total = found.cost_usd_month * found.span_days / 30
    assert total == pytest.approx(base.cost_usd_month * span / 30 + 60 * 0.02)
    assert "60 answered by a specialist, at what the frontier model would have charged (an estimate)" in found.cost_note
    assert found.tasks[0].n_teacher_labels == 240
    # Where nothing says what was saved, tokens at list price do, as for any call without a cost: 2.50 and 10 USD a million.
    unknown = audited([*passed(), *(kept(240 + n, text, "shipping") for n, text in enumerate(texts))])
    priced = 60 * (100 * 2.5e-6 + 10 * 10e-6)
    assert unknown.cost_usd_month * unknown.span_days / 30 == pytest.approx(base.cost_usd_month * span / 30 + priced)
    assert CHARS_A_TOKEN == 4.0


def test_failed_calls_cost_nothing_and_the_note_says_so() -> None:
    failed = [row(240 + n, f"refund {n}", None, cost_usd=None, evidence={"status": 503}) for n in range(10)]
    base, found = audited(passed()), audited([*passed(), *failed])
    assert found.cost_usd_month * found.span_days == pytest.approx(base.cost_usd_month * base.span_days)
    assert "10 failed calls, which cost nothing" in found.cost_note


def test_forms_are_learnt_from_the_frontiers_answers_alone() -> None:
    rows = passed()
    # A specialist's answers and people's corrections may be written in any way: they show nothing.
    rows += [
        kept(900 + n, f"own words {n}", "login", feedback="correct") | {"response": '{ "queue": "login" }'}
        for n in range(20)
    ]
    rows += [row(1300 + n, f"told {n}", said("login"), correction="billing", feedback="wrong") for n in range(5)]
    rows += [kept(1400 + n, f"audited {n}", "login", reference=said("billing")) for n in range(7)]
    dataset = curated(rows)
    assert len(dataset.forms) == 1
    form = dataset.forms[0]
    assert (form.asked, form.n, form.share) == ("json_object", 240 + 5 + 7, 1.0)
    assert form.template_id == audited(rows).tasks[0].task.templates[0].id
    assert write_label(form, "login") == said("login")
    assert dataset.answer_key == "queue"


def test_records_have_the_form_of_their_outputs() -> None:
    rows = [
        row(n, orjson.loads(one["messages"])[1]["content"], orjson.loads(one["response"])["queue"])
        | {
            "messages": orjson.dumps([orjson.loads(one["messages"])[1]]).decode(),
            "parameters": None,
            "provenance": "human",
            "dataset": "letters",
            "evidence": None,
        }
        for n, one in enumerate(passed())
    ]
    dataset = curated(rows)
    form = dataset.forms[0]
    assert (len(dataset.forms), form.asked, form.prefix, form.suffix, form.share) == (1, "plain", "", "", 1.0)
