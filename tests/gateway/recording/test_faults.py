"""What recording withstands: workers killed, the ingester killed, the database away, locked, full, moved and replaced."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from metier.artefacts.traffic import Trace
from metier.gateway.calls import CallRecord
from metier.gateway.recording.ingester import LOST, Ingester
from metier.gateway.recording.journal import SUFFIX
from metier.gateway.recording.loading import NOT_ON_DISK
from metier.store.spend import read_month
from metier.store.traffic import Batch, Located, TrafficStore

MakeCall = Callable[..., CallRecord]
Make = Callable[..., Any]

# Records some thousand calls a second without end.
_WORKER = """
import sys, time
from pathlib import Path
from metier.gateway.calls import Caller, CallRecord
from metier.gateway.recording.journal import Journal
from metier.gateway.recording.recorder import JournalRecorder
root, name = Path(sys.argv[1]), sys.argv[2]
recorder = JournalRecorder(Journal(root, name, segment_bytes=200_000), sys.argv[3], lambda text: text)
print("begun", flush=True)
for number in range(10**9):
    if number % 10 == 0:
        time.sleep(0.01)
    request = {"messages": [{"role": "user", "content": f"question {number} " + "x" * 200}]}
    recorder.record(CallRecord(f"mtr-{name}-{number}", "/v1/chat/completions", 1.75e9, Caller("k"), request,
                               "m", response="answer", cost_usd=0.5))
"""

_INGESTER = """
import sys, threading
from pathlib import Path
from metier.gateway.recording.ingester import Ingester
Ingester(Path(sys.argv[1]), sys.argv[2]).run(threading.Event())
"""


@contextmanager
def process(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@contextmanager
def ingesting(root: Path, location: str, **options: Any) -> Iterator[tuple[Ingester, list[str]]]:
    """An ingester at work in a thread, and what it notes."""
    said: list[str] = []
    ingester = Ingester(root, location, note=lambda text, _: said.append(text), busy_timeout_s=0.1, **options)
    stop = threading.Event()
    thread = threading.Thread(target=ingester.run, args=(stop,))
    thread.start()
    try:
        yield ingester, said
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def ids(location: str) -> list[str]:
    with TrafficStore(location) as store:
        return [row[0] for frame in store.batches(("id",)) for row in frame.iter_rows()]


def recomputed(store: TrafficStore, path: Path) -> str:
    """The id of a fresh store with the same traces, added one after the other."""
    with TrafficStore(path) as fresh:
        begun = fresh.begin_import(path="p", sha256="s", size_bytes=1, format="f", dataset=None, now=0.0)
        for frame in store.batches():
            located = [Located(Trace(**row), 1, b"") for row in frame.iter_rows(named=True)]
            fresh.add(begun.id, Batch(located, [], len(located)), 0.0)
        return fresh.id


def test_kill_minus_nine_of_a_worker_under_load_states_exactly_what_was_lost(
    store_location: str, root: Path, drain: Make
) -> None:
    with process(_WORKER, str(root), "w0", store_location) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "begun\n"
        until(lambda: sum(path.stat().st_size for path in root.glob(f"*/*{SUFFIX}")) > 100_000)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(10)
    journalled = sum(path.read_bytes().count(b"\n") for path in root.glob(f"*/*{SUFFIX}"))
    ingester, notes = drain(root, store_location)
    found = ids(store_location)
    assert found == [f"mtr-w0-{number}" for number in range(journalled)]
    ((message, fields),) = notes.said
    assert message == "a worker ended without goodbye"
    assert fields["journalled"] == journalled
    assert fields["lost"] == fields["accepted"] - journalled
    assert 0 <= fields["lost"] <= 1_000
    assert ingester.figures()["lost"] == fields["lost"]
    with TrafficStore(store_location) as store:
        (record,) = store.import_records()
        assert record.skipped.get(LOST, 0) == fields["lost"]
        assert record.done
        with store.database.reading() as connection:
            assert read_month(connection, "2025-06")["k"] == (journalled * 0.5, journalled)


def test_kill_minus_nine_of_the_ingester_counts_nothing_twice(store_location: str, root: Path, drain: Make) -> None:
    with (
        TrafficStore(store_location) as store,
        process(_WORKER, str(root), "w0", store_location) as worker,
        process(_INGESTER, str(root), store_location) as ingester,
    ):
        until(lambda: len(store) > 100)
        ingester.kill()
        ingester.wait(10)
        worker.kill()
        worker.wait(10)
        drain(root, store_location)
        found = ids(store_location)
        assert found == [f"mtr-w0-{number}" for number in range(len(found))]
        with store.database.reading() as connection:
            assert read_month(connection, "2025-06")["k"].n_calls == len(found) == len(store)


def test_gateways_share_one_database(store_location: str, tmp_path: Path, drain: Make) -> None:
    roots = [tmp_path / "one", tmp_path / "two"]
    with (
        TrafficStore(store_location) as store,
        process(_WORKER, str(roots[0]), "a", store_location) as a,
        process(_WORKER, str(roots[1]), "b", store_location) as b,
        process(_INGESTER, str(roots[0]), store_location) as ingester,
    ):
        with ingesting(roots[1], store_location):
            until(lambda: all(store.find(f"mtr-{name}-100") for name in "ab"))
        for started in a, b, ingester:
            started.kill()
            started.wait(10)
        for root in roots:
            drain(root, store_location)
        found = ids(store_location)
        for name in "ab":
            own = [id_ for id_ in found if id_.startswith(f"mtr-{name}-")]
            assert own == [f"mtr-{name}-{number}" for number in range(len(own))]
        with store.database.reading() as connection:
            assert read_month(connection, "2025-06")["k"].n_calls == len(found) == len(store)
        assert store.id == recomputed(store, tmp_path / "fresh.db")


def test_a_locked_database_is_waited_for(tmp_path: Path, root: Path, call: MakeCall, recorder: Make) -> None:
    location = str(tmp_path / "t.db")
    TrafficStore(location).close()
    writer = recorder(root, location)
    other = sqlite3.connect(location, isolation_level=None)
    with ingesting(root, location) as (ingester, said):
        until(lambda: bool(ingester._streams))
        other.execute("BEGIN IMMEDIATE")
        writer.record(call(0))
        until(lambda: ingester.trouble is not None)
        assert "another process has been writing" in (ingester.trouble or "")
        assert ingester.figures()["in_trouble"] == 1
        assert writer.figures()["spilled_traces"] == 1
        other.execute("ROLLBACK")
        until(lambda: writer.figures()["written_traces"] == 1)
        until(lambda: ingester.trouble is None)
    assert said == ["the database does not take traces; they wait in the journal", "the database takes traces again"]
    other.close()
    writer.close()


def test_a_database_that_is_moved_away_and_back_misses_nothing(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    location = tmp_path / "t.db"
    writer = recorder(root, str(location))
    writer.record(call(0))
    with ingesting(root, str(location)) as (ingester, _):
        until(lambda: writer.figures()["written_traces"] == 1)
        location.rename(tmp_path / "moved.db")
        for suffix in "-wal", "-shm":
            Path(f"{location}{suffix}").rename(tmp_path / f"moved.db{suffix}")
        writer.record(call(1))
        until(lambda: ingester.trouble is not None)
        assert "is gone" in (ingester.trouble or "")
        assert not location.exists()
        for suffix in "-wal", "-shm", "":
            if (moved := tmp_path / f"moved.db{suffix}").exists():
                moved.rename(f"{location}{suffix}")
        until(lambda: writer.figures()["written_traces"] == 2)
    writer.close()
    drain(root, str(location))
    assert len(ids(str(location))) == 2


def test_a_database_that_is_replaced_takes_what_is_still_in_the_journal(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    location = tmp_path / "t.db"
    writer = recorder(root, str(location))
    writer.record(call(0))
    TrafficStore(tmp_path / "other.db").close()
    with ingesting(root, str(location)) as (ingester, _):
        until(lambda: writer.figures()["written_traces"] == 1)
        for suffix in "", "-wal", "-shm":
            Path(f"{location}{suffix}").unlink(missing_ok=True)
        (tmp_path / "other.db").rename(location)
        writer.record(call(1))
        until(lambda: ingester.figures()["failures"] > 0 and ingester.trouble is None)
        until(lambda: writer.figures()["spilled_traces"] == 0)
    writer.close()
    drain(root, str(location))
    # The segment was still there: both calls are in the new database.
    assert len(ids(str(location))) == 2


def test_postgresql_stopped_and_started(
    postgres_server: Any, postgres_url: str, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    writer = recorder(root, postgres_url)
    writer.record(call(0))
    with ingesting(root, postgres_url) as (ingester, _):
        until(lambda: writer.figures()["written_traces"] == 1)
        postgres_server.stop()
        try:
            writer.record(call(1))
            until(lambda: ingester.trouble is not None)
            assert "cannot be reached" in (ingester.trouble or "")
        finally:
            postgres_server.start()
        until(lambda: writer.figures()["written_traces"] == 2)
        until(lambda: ingester.trouble is None)
    writer.close()
    drain(root, postgres_url)
    assert len(ids(postgres_url)) == 2


def test_a_full_disk_under_the_database_is_waited_for(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    location = str(tmp_path / "t.db")
    writer = recorder(root, location)
    writer.record(call(0))
    with ingesting(root, location) as (ingester, _):
        until(lambda: writer.figures()["written_traces"] == 1)
        assert ingester._database is not None
        with ingester._database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=1")
        writer.record(call(1, response="y" * 200_000))
        # The next connection knows nothing of the limit: the disk has room again.
        until(lambda: ingester.figures()["failures"] > 0 or writer.figures()["written_traces"] == 2)
        until(lambda: writer.figures()["written_traces"] == 2)
        assert ingester.figures()["failures"] == 1
    writer.close()
    drain(root, location)
    assert len(ids(location)) == 2


def test_no_start_without_a_database_is_no_crash(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    away = "postgresql://metier:s3cr3t-pw@127.0.0.1:1/none"
    writer = recorder(root, away)
    writer.record(call(0))
    writer.close()
    ingester, notes = drain(root, away)
    assert "cannot be reached" in (ingester.trouble or "")
    assert "s3cr3t" not in str(notes.said) + str(ingester.trouble)
    location = str(tmp_path / "t.db")
    drain(root, location)
    assert len(ids(location)) == 1


def test_lines_that_a_power_failure_took_are_counted_as_lost(
    tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    location = str(tmp_path / "t.db")
    writer = recorder(root, location, segment_bytes=1)
    for number in range(5):
        writer.record(call(number))
        until(lambda n=number: writer._counters[1] > n)  # type: ignore[misc]
    writer.close()
    segments = sorted(root.glob(f"*/*{SUFFIX}"))
    assert len(segments) == 5
    segments[1].write_bytes(b"")
    segments[4].write_bytes(segments[4].read_bytes()[:100])
    _, notes = drain(root, location)
    assert len(ids(location)) == 3
    assert notes.said[0][1]["lost"] == 2
    with TrafficStore(location) as store:
        (record,) = store.import_records()
    assert record.skipped == {NOT_ON_DISK: 1, LOST: 2}


def test_only_one_ingester_works_on_a_journal(tmp_path: Path, root: Path, call: MakeCall, recorder: Make) -> None:
    location = str(tmp_path / "t.db")
    TrafficStore(location).close()
    writer = recorder(root, location)
    with ingesting(root, location) as (first, _):
        writer.record(call(0))
        until(lambda: writer.figures()["written_traces"] == 1)
        with ingesting(root, location) as (second, _):
            writer.record(call(1))
            until(lambda: writer.figures()["written_traces"] == 2)
            assert (first.figures()["ingested"], second.figures()["ingested"]) == (2, 0)
    writer.close()


def test_a_worker_killed_while_it_begins_leaves_no_rubbish(tmp_path: Path, root: Path, drain: Make) -> None:
    unfinished = root / ".20260101T000000-worker0-1-abcd"
    unfinished.mkdir(parents=True)
    (unfinished / "counters").write_bytes(bytes(4096))
    drain(root, str(tmp_path / "t.db"))
    assert not unfinished.exists()


@pytest.mark.parametrize("content", [None, b"short"])
def test_damaged_counters_do_not_keep_lines_from_the_database(
    content: bytes | None, tmp_path: Path, root: Path, call: MakeCall, recorder: Make, drain: Make
) -> None:
    location = str(tmp_path / "t.db")
    writer = recorder(root, location)
    writer.record(call(0))
    writer.close()
    (counters,) = root.glob("*/counters")
    counters.unlink()
    if content is not None:
        counters.write_bytes(content)
    _, notes = drain(root, location)
    assert len(ids(location)) == 1
    assert notes.messages() == ["a worker ended without goodbye"]
