"""From a finished call to the database: everything arrives, once, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from metier.artefacts.traffic import Trace
from metier.gateway.calls import AuditOutcome, CallRecord, Decision, Route, Written
from metier.gateway.errors import ApiError
from metier.gateway.recording.counters import GOODBYE, Counters
from metier.gateway.recording.journal import SUFFIX, used_bytes
from metier.gateway.recording.recorder import size_bytes
from metier.store.audits import read_audits
from metier.store.batches import Batch, Located
from metier.store.revocations import read_revocations
from metier.store.spend import Spent, read_month
from metier.store.traffic import TrafficStore

MakeCall = Callable[..., CallRecord]
Make = Callable[..., Any]


def rows(location: str, *columns: str) -> list[dict[str, Any]]:
    with TrafficStore(location) as store:
        return [row for frame in store.batches(columns) for row in frame.iter_rows(named=True)]


def audit_of(record: CallRecord, reference: str | None, is_wrong: bool | None) -> AuditOutcome:
    assert record.decision is not None
    return AuditOutcome(
        record.trace_id,
        record.time,
        record.caller,
        record.decision,
        reference=reference,
        is_wrong=is_wrong,
        cost_usd=0.002,
    )


def test_calls_become_traces_spend_and_audits(
    store_location: str, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    kept = Decision(Route.KEPT, task="intents", policy_id="p", written=Written("a"), is_audited=True, allowed=0.05)
    writer = recorder(root, store_location)
    for number in range(50):
        writer.record(call(number))
    writer.record(call(50, decision=kept))
    writer.audited(audit_of(call(50, decision=kept), "hunter2 b", True))
    writer.record(call(51, endpoint="/v1/embeddings", request={"input": "x"}))
    writer.close()
    ingester, notes = drain(root, store_location)
    assert notes.said == []
    assert ingester.figures()["ingested"] == 53
    found = rows(store_location)
    assert [row["id"] for row in found] == [f"mtr-{number:032x}" for number in range(51)]
    with TrafficStore(store_location) as store:
        assert len(store) == 51
        (record,) = store.import_records()
        assert (record.n_items, record.n_added, record.done) == (53, 51, True)
        assert record.path.startswith("gateway:")
        assert record.skipped == {"embeddings call": 1}
        with store.database.reading() as connection:
            assert read_month(connection, "2025-06") == {"key-1": Spent(pytest.approx(0.054), 52)}
            ((_, audit),) = read_audits(connection, "p")
            assert (audit.trace_id, audit.is_wrong, audit.allowed) == (f"mtr-{50:032x}", True, 0.05)
    # What the audit cost is part of what the call cost; the call is still one.
    assert (found[50]["reference"], found[50]["cost_usd"]) == ("hunter2 b", pytest.approx(0.003))
    assert json.loads(found[50]["evidence"])["is_wrong"] is True
    assert {row["reference"] for row in found[:50]} == {None}
    assert [path.name for path in root.iterdir()] == [".ingester.lock"]


def id_of(path: Path, traces: Iterable[Trace]) -> str:
    """The id of a store that these traces were imported into all at once."""
    with TrafficStore(path) as store:
        begun = store.begin_import(path="x.jsonl", sha256="0", size_bytes=0, format="f", dataset=None, now=0.0)
        located = [Located(trace, line, b"") for line, trace in enumerate(traces, 1)]
        store.add(begun.id, Batch(located, [], len(located)), 0.0)
        return store.id


def test_an_audit_that_comes_late_changes_the_trace_and_what_the_store_holds(
    store_location: str, root: Path, tmp_path: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    kept = Decision(Route.KEPT, task="intents", policy_id="p", written=Written("a"), is_audited=True, allowed=0.05)
    first = recorder(root, store_location)
    for number in range(3):
        first.record(call(number, decision=kept))
    first.close()
    drain(root, store_location)
    with TrafficStore(store_location) as store:
        before = store.id
    late = recorder(root, store_location)
    late.audited(audit_of(call(0, decision=kept), "b", False))
    late.audited(audit_of(call(1, decision=kept), None, None))
    late.audited(audit_of(call(7, decision=kept), "of a call that was lost", True))
    late.close()
    drain(root, store_location)
    found = rows(store_location)
    assert [row["reference"] for row in found] == ["b", None, None]
    assert [row["cost_usd"] for row in found] == pytest.approx([0.003, 0.003, 0.001])
    assert [json.loads(row["evidence"]).get("is_wrong") for row in found] == [False, None, None]
    with TrafficStore(store_location) as store, store.database.reading() as connection:
        assert store.id != before
        # The id says what the store holds, not how it came in.
        assert store.id == id_of(tmp_path / "again.db", (Trace(**row) for row in found))
        assert [audit.trace_id for _, audit in read_audits(connection, "p")] == [f"mtr-{n:032x}" for n in (0, 7)]
        assert read_month(connection, "2025-06")["key-1"] == Spent(pytest.approx(0.009), 3)


def test_replayed_twice_adds_nothing(
    store_location: str, root: Path, tmp_path: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    writer = recorder(root, store_location)
    for number in range(20):
        writer.record(call(number))
    writer.close()
    shutil.copytree(root, tmp_path / "copy")
    drain(root, store_location)
    with TrafficStore(store_location) as store:
        before = store.id
    ingester, _ = drain(tmp_path / "copy", store_location)
    assert ingester.figures()["ingested"] == 0
    with TrafficStore(store_location) as store:
        assert (store.id, len(store), len(store.import_records())) == (before, 20, 1)
        with store.database.reading() as connection:
            assert read_month(connection, "2025-06")["key-1"].n_calls == 20


def test_a_live_workers_lines_come_in_and_done_segments_go(
    store_location: str, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    writer = recorder(root, store_location, segment_bytes=2_000)
    for number in range(40):
        writer.record(call(number))
        if number % 10 == 9:
            _journalled(writer, number + 1)
    drain(root, store_location)
    assert writer.figures()["written_traces"] == 40
    assert writer.figures()["spilled_traces"] == 0
    assert writer.figures()["spilled_bytes"] == 0
    assert len(list(root.glob(f"*/*{SUFFIX}"))) == 1
    writer.record(call(40))
    writer.close()
    drain(root, store_location)
    assert len(rows(store_location, "id")) == 41


def _journalled(writer: Any, n: int) -> None:
    _until(lambda: writer._counters[1] >= n)


def _until(is_so: Callable[[], bool]) -> None:
    import time

    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_several_workers_and_an_ingester_restarted_between(
    store_location: str, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    writers = [recorder(root, store_location, f"worker{n}") for n in range(3)]
    for number in range(90):
        writers[number % 3].record(call(number))
        if number == 45:
            drain(root, store_location)
    for writer in writers:
        writer.close()
    drain(root, store_location)
    assert sorted(row["id"] for row in rows(store_location, "id")) == [f"mtr-{n:032x}" for n in range(90)]
    with TrafficStore(store_location) as store:
        assert [record.n_items for record in store.import_records()] == [30, 30, 30]


def test_torn_and_damaged_lines_hold_up_none_of_the_others(
    store_location: str, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    writer = recorder(root, store_location)
    for number in range(3):
        writer.record(call(number))
    _journalled(writer, 3)
    (segment,) = root.glob(f"*/*{SUFFIX}")
    with segment.open("ab") as file:
        file.write(b'{"kind":"call","trace":{"id":3\n')
        file.write(b"\x00" * 50 + b"\n")
        file.write(b'{"kind":"call","tra')
    writer.close()
    ingester, notes = drain(root, store_location)
    assert len(rows(store_location, "id")) == 3
    assert ingester.figures()["quarantined"] == 2
    with TrafficStore(store_location) as store:
        assert store.quarantine_counts() == {"damaged line of the journal": 2}
        assert store.quarantine_rows()["line"].to_list() == [4, 5]
    assert notes.said == []


def test_a_value_the_database_refuses_is_quarantined_alone(
    store_location: str, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    writer = recorder(root, store_location)
    for number in range(21):
        writer.record(call(number, input_tokens=2**63 if number == 13 else 1))
    writer.close()
    ingester, _ = drain(root, store_location)
    assert len(rows(store_location, "id")) == 20
    assert ingester.figures()["quarantined"] == 1
    assert ingester.trouble is None
    with TrafficStore(store_location) as store:
        assert store.quarantine_rows()["line"].to_list() == [14]


def test_what_cannot_be_written_as_text_is_dropped_and_counted(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make, notes: Any
) -> None:
    writer = recorder(root, str(tmp_path / "t.db"), note=notes)
    writer.record(call(0, response="half a pair \ud800"))
    writer.record(call(1))
    writer.close()
    assert notes.messages() == ["a call could not be recorded"]
    _, said = drain(root, str(tmp_path / "t.db"))
    assert [row["id"] for row in rows(str(tmp_path / "t.db"), "id")] == [f"mtr-{1:032x}"]
    assert said.said[0][1]["dropped"] == 1


def test_memory_is_bounded_and_what_is_dropped_is_counted(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    full = {"now": True}
    writer = recorder(root, str(tmp_path / "t.db"), write=_disk(full), max_calls=10)
    for number in range(30):
        writer.record(call(number))
    _until(lambda: writer.figures()["dropped_traces"] >= 10)
    assert writer.figures()["queue_depth"] <= 20
    full["now"] = False
    _until(lambda: writer.figures()["queue_depth"] == 0)
    dropped = writer.figures()["dropped_traces"]
    writer.record(call(99))
    writer.close()
    _, notes = drain(root, str(tmp_path / "t.db"))
    assert len(rows(str(tmp_path / "t.db"), "id")) == 31 - dropped
    assert notes.messages() == ["a worker dropped calls"]
    assert notes.said[0][1]["dropped"] == dropped


def test_memory_is_bounded_in_bytes_too(tmp_path: Path, root: Path, call: MakeCall, recorder: Make) -> None:
    writer = recorder(root, str(tmp_path / "t.db"), write=_disk({"now": True}), max_bytes=100_000)
    big = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x" * 60_000}}]}]
    assert size_bytes(call(0, request={"messages": big})) > 60_000
    for number in range(20):
        writer.record(call(number, request={"messages": big}))
    assert writer.figures()["dropped_traces"] >= 15
    writer._closing.set()


def _disk(full: dict[str, bool]) -> Callable[[int, bytes], int]:
    """os.write on a disk that is full while it says so: half of what is written still fits."""

    def write(descriptor: int, data: bytes) -> int:
        if not full["now"]:
            return os.write(descriptor, data)
        if full.setdefault("half", False):
            full["half"] = False
            raise OSError(28, "No space left on device")
        full["half"] = True
        return os.write(descriptor, data[: len(data) // 2])

    return write


def test_a_full_disk_leaves_no_torn_line_behind(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make, notes: Any
) -> None:
    full = {"now": False}
    writer = recorder(root, str(tmp_path / "t.db"), write=_disk(full), note=notes)
    writer.record(call(0))
    _journalled(writer, 1)
    full["now"] = True
    for number in range(1, 6):
        writer.record(call(number))
    _until(lambda: "the journal cannot be written" in notes.messages())
    (segment,) = root.glob(f"*/*{SUFFIX}")
    assert segment.read_bytes().count(b"\n") == 1
    assert segment.read_bytes().endswith(b"\n")
    full["now"] = False
    _until(lambda: writer.figures()["queue_depth"] == 0)
    writer.close()
    assert notes.messages() == ["the journal cannot be written", "the journal can be written again"]
    ingester, _ = drain(root, str(tmp_path / "t.db"))
    assert (ingester.figures()["ingested"], ingester.figures()["quarantined"]) == (6, 0)


def test_the_journal_keeps_to_its_limit(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make, notes: Any
) -> None:
    writer = recorder(root, str(tmp_path / "t.db"), limit_bytes=5_000, note=notes)
    for number in range(20):
        writer.record(call(number))
        _until(lambda: writer.figures()["queue_depth"] == 0 or bool(notes.said))
    assert used_bytes(root) <= 5_000
    assert notes.said[0][0] == "the journal cannot be written"
    assert "limit of 5,000 bytes" in notes.said[0][1]["reason"]
    drain(root, str(tmp_path / "t.db"))
    writer._closing.set()


def test_a_wall_clock_that_goes_back_changes_nothing_but_the_times(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    location = str(tmp_path / "t.db")
    writer = recorder(root, location)
    for number, moment in enumerate((1_750_000_000.0, 1_700_000_000.0, 1_750_000_001.0)):
        writer.record(call(number, time=moment))
    writer.close()
    drain(root, location, clock=iter([5.0, 3.0, 1.0, 0.5, 0.1]).__next__)
    assert [row["time"] for row in rows(location, "time")] == [1_750_000_000.0, 1_700_000_000.0, 1_750_000_001.0]
    with TrafficStore(location) as store, store.database.reading() as connection:
        assert read_month(connection, "2025-06")["key-1"].n_calls == 2
        assert read_month(connection, "2023-11")["key-1"].n_calls == 1


def test_personal_data_is_taken_out_while_ingesting(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    location = str(tmp_path / "t.db")
    writer = recorder(root, location)
    made = call(0, response="Ana pays")
    made.request["messages"][1]["content"] = "I am Ana"
    writer.record(made)
    writer.audited(audit_of(made, "Ana", True))
    assert asyncio.run(writer.judge("chatcmpl-0", "wrong", "Ana moves"))
    writer.close()
    drain(root, location, redact=lambda text: text.replace("Ana", "[PERSON]"))
    (row,) = rows(location)
    assert "Ana" not in json.dumps(row)
    assert (row["correction"], row["reference"]) == ("[PERSON] moves", "[PERSON]")


# Judgements


def test_an_answer_is_judged_by_response_id_or_trace_id(
    store_location: str, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    first = recorder(root, store_location)
    first.record(call(0))
    first.record(call(1))
    # Before the database has seen it: the answer is remembered.
    assert asyncio.run(first.judge("chatcmpl-0", "wrong", "transfer"))
    first.close()
    drain(root, store_location)
    second = recorder(root, store_location)
    assert not asyncio.run(second.judge("chatcmpl-unknown", "correct", None))
    assert asyncio.run(second.judge(f"mtr-{1:032x}", "correct", None))
    second.close()
    with TrafficStore(store_location) as store:
        before = store.id
    drain(root, store_location)
    assert [(row["feedback"], row["correction"]) for row in rows(store_location)] == [
        ("wrong", "transfer"),
        ("correct", None),
    ]
    with TrafficStore(store_location) as store:
        assert store.id != before
        assert len(store) == 2


def test_an_answer_of_another_worker_is_waited_for(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    location = str(tmp_path / "t.db")
    TrafficStore(location).close()
    one, other = recorder(root, location, "worker0"), recorder(root, location, "worker1")
    one.record(call(0))

    async def judge() -> bool:
        judging = asyncio.create_task(other.judge("chatcmpl-0", "correct", None))
        await asyncio.sleep(0.15)
        assert not judging.done()
        await asyncio.to_thread(drain, root, location)
        return await judging

    assert asyncio.run(judge())
    one.close()
    other.close()
    drain(root, location)
    assert rows(location, "feedback") == [{"feedback": "correct"}]


def test_an_id_that_several_answers_have_is_refused(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    location = str(tmp_path / "t.db")
    writer = recorder(root, location)
    writer.record(call(0, response_id="cmpl-1"))
    writer.record(call(1, response_id="cmpl-1"))
    with pytest.raises(ApiError) as recent:
        asyncio.run(writer.judge("cmpl-1", "wrong", None))
    writer.close()
    drain(root, location)
    later = recorder(root, location)
    with pytest.raises(ApiError) as stored:
        asyncio.run(later.judge("cmpl-1", "wrong", None))
    later.close()
    assert (recent.value.status, stored.value.status) == (409, 409)


def test_with_the_database_away_only_recent_answers_can_be_judged(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    location = str(tmp_path / "folder" / "t.db")
    writer = recorder(root, location)
    writer.record(call(0))
    assert asyncio.run(writer.judge("chatcmpl-0", "wrong", None))
    with pytest.raises(ApiError) as away:
        asyncio.run(writer.judge("chatcmpl-7", "wrong", None))
    assert (away.value.status, away.value.code) == (503, "database_unavailable")
    writer.close()
    drain(root, location)
    assert rows(location, "feedback") == [{"feedback": "wrong"}]


def test_a_judgement_of_a_call_that_was_no_trace_is_quarantined(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    location = str(tmp_path / "t.db")
    writer = recorder(root, location)
    writer.record(call(0, request={}))
    assert asyncio.run(writer.judge("chatcmpl-0", "wrong", None))
    writer.close()
    drain(root, location)
    with TrafficStore(location) as store:
        assert store.quarantine_counts() == {"judgement of an unknown answer": 1}


def test_after_close_nothing_is_taken_and_the_figures_stay(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make
) -> None:
    writer = recorder(root, str(tmp_path / "t.db"))
    writer.record(call(0))
    writer.close()
    writer.close()
    writer.record(call(1))
    assert writer.figures() == {
        "queue_depth": 0.0,
        "spilled_traces": 1.0,
        "spilled_bytes": pytest.approx(1_000, rel=0.9),
        "dropped_traces": 0.0,
        "written_traces": 0.0,
    }
    (folder,) = root.iterdir()
    counters = Counters(folder)
    assert counters[GOODBYE] == 1
    counters.close()


# Revocations


def test_enough_wrong_answers_revoke_the_certificate_once(
    store_location: str, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    kept = Decision(Route.KEPT, task="intents", policy_id="p", written=Written("a"), is_audited=True, allowed=0.05)
    other = replace(kept, policy_id="unknown")
    writer = recorder(root, store_location)
    for number in range(60):
        writer.audited(audit_of(call(number, decision=kept), "b", number % 2 == 0))
        writer.audited(audit_of(call(100 + number, decision=other), "b", True))
    writer.close()
    ingester, notes = drain(root, store_location, delta_of={"p": 0.05}.get)
    assert ingester.figures()["revoked"] == 1
    assert notes.messages() == ["a certificate is revoked"]
    again, _ = drain(root, store_location, delta_of={"p": 0.05}.get)
    assert again.figures()["revoked"] == 0
    with TrafficStore(store_location) as store, store.database.reading() as connection:
        (found,) = read_revocations(connection).values()
    assert (found.policy_id, found.task) == ("p", "intents")
    assert found.e_value >= 20
    assert found.n_wrong <= found.n <= 60


def test_traffic_is_readable_as_a_frame(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    writer = recorder(root, str(tmp_path / "t.db"))
    writer.record(call(0))
    writer.close()
    drain(root, str(tmp_path / "t.db"))
    with TrafficStore(tmp_path / "t.db") as store:
        found = store.select(pl.Series(["mtr-" + "0" * 32]), ("route", "response_id"))
    assert found.rows() == [("escalated", "chatcmpl-0")]
