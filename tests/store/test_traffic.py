"""The traffic store: what it keeps, what its id follows, and that dying in the middle leaves it whole."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from metier.artefacts.traffic import TRACE_SCHEMA, FrameTraffic, Trace, Traffic
from metier.errors import BadArtefact, BadInput, MetierError, StoreBusy
from metier.store import database, tables
from metier.store.traffic import DUPLICATE_ID, EXCERPT_BYTES, Batch, Located, Refused, TrafficStore

MIGRATIONS = Path(database.__file__).parent / "migrations"


def trace(number: int, **changes: object) -> Trace:
    made = Trace(
        id=f"call-{number}",
        messages=f'[{{"role":"user","content":"question {number}"}}]',
        parameters='{"temperature":0}',
        response=f"answer {number}",
        model="gpt-4o",
        time=1_750_000_000.0 + number,
        input_tokens=10,
        output_tokens=2,
        latency_s=0.5,
        cost_usd=0.001,
        group=f"customer-{number % 3}",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def batch(*traces: Trace, refused: tuple[Refused, ...] = ()) -> Batch:
    located = [Located(item, line, item.messages.encode()) for line, item in enumerate(traces, 1)]
    return Batch(located, list(refused), len(traces) + len(refused))


def begin(store: TrafficStore, sha256: str = "a") -> int:
    return store.begin_import(
        path="logs/log.jsonl", sha256=sha256, size_bytes=1, format="openai-log", dataset=None, now=1.0
    ).id


@pytest.fixture
def store(store_location: str):
    with TrafficStore(store_location) as made:
        yield made


def test_gives_back_what_was_added_in_order_and_in_batches(store: TrafficStore) -> None:
    traces = [trace(number) for number in range(25)]
    store.add(begin(store), batch(*traces), 2.0)
    traffic: Traffic = store
    frames = list(traffic.batches(size=10))
    assert [frame.height for frame in frames] == [10, 10, 5]
    assert all(frame.schema == TRACE_SCHEMA for frame in frames)
    rows = pl.concat(frames).rows(named=True)
    assert [Trace(**row) for row in rows] == traces
    assert len(store) == 25


def test_empty_store_reads_as_an_empty_traffic(store: TrafficStore) -> None:
    assert len(store) == 0
    assert list(store.batches()) == []
    assert store.select(pl.Series("id", ["x"], dtype=pl.String)).schema == TRACE_SCHEMA
    assert store.quarantine_counts() == {}
    assert store.quarantine_rows().height == 0


def test_columns_can_be_chosen_and_unknown_ones_are_named(store: TrafficStore) -> None:
    store.add(begin(store), batch(trace(1)), 2.0)
    assert next(store.batches(("id", "response"))).rows() == [("call-1", "answer 1")]
    with pytest.raises(BadInput, match="'tokens'"):
        next(store.batches(("tokens",)))


def test_selects_by_id_in_the_traffics_order(store: TrafficStore) -> None:
    store.add(begin(store), batch(*(trace(number) for number in range(12_000))), 2.0)
    wanted = pl.Series("id", [f"call-{number}" for number in range(11_999, -1, -1)] + ["absent", "call-3"])
    found = store.select(wanted, ("id",))
    assert found["id"].to_list() == [f"call-{number}" for number in range(12_000)]


def test_id_changes_when_a_trace_is_added_or_judged_and_not_otherwise(store: TrafficStore) -> None:
    number = begin(store)
    ids = [store.id]
    store.add(number, batch(trace(1)), 2.0)
    ids.append(store.id)
    store.add(number, batch(trace(1)), 2.0)
    assert store.id == ids[-1]
    after = store.add(number, batch(trace(1, feedback="wrong", correction="other")), 2.0)
    ids.append(store.id)
    assert after.n_judged == 1
    assert len(set(ids)) == 3
    assert next(store.batches(("feedback", "correction"))).rows() == [("wrong", "other")]
    # A later export without the judgement does not take it back.
    store.add(number, batch(trace(1)), 2.0)
    assert store.id == ids[-1]


def test_id_does_not_depend_on_the_order_or_the_split_into_imports(tmp_path: Path) -> None:
    with TrafficStore(tmp_path / "one.db") as one, TrafficStore(tmp_path / "two.db") as two:
        one.add(begin(one), batch(trace(1), trace(2), trace(3)), 2.0)
        two.add(begin(two, "b"), batch(trace(3)), 5.0)
        two.add(begin(two, "c"), batch(trace(2), trace(1)), 6.0)
        assert one.id == two.id


def test_same_id_with_other_content_is_quarantined_within_and_across_batches(store: TrafficStore) -> None:
    number = begin(store)
    store.add(number, batch(trace(1)), 2.0)
    after = store.add(number, batch(trace(1, response="else"), trace(2), trace(2, messages="[]")), 2.0)
    assert (after.n_added, after.quarantined) == (2, {DUPLICATE_ID: 2})
    assert store.quarantine_counts() == {DUPLICATE_ID: 2}
    assert store.quarantine_rows()["line"].to_list() == [1, 3]
    assert "call-1" in store.quarantine_rows()["detail"][0]


def test_quarantine_holds_position_reason_excerpt_and_full_size_once(store: TrafficStore) -> None:
    raw = b"\x00\xff" * 5_000
    lines = (Refused(7, "NUL bytes", "first at byte 1", raw, 123_456), Refused(9, "not JSON", "", b"{", 1))
    store.add(begin(store), batch(refused=lines), 2.0)
    # The same file, grown: another import, the same bad lines.
    store.add(begin(store, "b"), batch(refused=lines), 3.0)
    rows = store.quarantine_rows()
    assert rows["line"].to_list() == [7, 9]
    assert rows["size_bytes"].to_list() == [123_456, 1]
    assert len(rows["excerpt"][0].encode()) <= EXCERPT_BYTES
    assert rows["excerpt"][0].startswith("\\x00\\xff")
    assert store.quarantine_rows(reason="not JSON").height == 1
    assert store.quarantine_rows(1, offset=1)["line"].to_list() == [9]
    assert store.quarantine_rows(path="other").height == 0
    assert store.quarantine_rows(path="og.jsonl").height == 0
    assert store.quarantine_counts("logs/log.jsonl") == store.quarantine_counts("log.jsonl")
    assert store.quarantine_counts("log.jsonl") == {"NUL bytes": 1, "not JSON": 1}


def test_a_finished_import_is_known_again(store: TrafficStore) -> None:
    number = begin(store)
    store.add(number, batch(trace(1)), 2.0)
    store.finish_import(number, 3.0)
    (known,) = store.import_records()
    assert known.done
    assert begin(store) == number


def test_migrations_make_the_tables_that_the_code_expects(store_location: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == tables.REVISION
    with TrafficStore(store_location) as store, store.database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_opening_an_existing_store_does_not_import_alembic(tmp_path: Path) -> None:
    TrafficStore(tmp_path / "traffic.db").close()
    code = (
        "import sys; from metier.store.traffic import TrafficStore; "
        f"TrafficStore({str(tmp_path / 'traffic.db')!r}).close(); assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_store_of_a_newer_metier_is_refused(tmp_path: Path) -> None:
    TrafficStore(tmp_path / "traffic.db").close()
    with sqlite3.connect(tmp_path / "traffic.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(BadArtefact, match="upgrade metier"):
        TrafficStore(tmp_path / "traffic.db")


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "traffic.db"
    path.write_bytes(b"this is no database" * 1_000)
    with pytest.raises(BadArtefact, match=r"traffic\.db"):
        TrafficStore(path)
    assert path.read_bytes() == b"this is no database" * 1_000


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="database"):
        TrafficStore("nonsense://somewhere")


def test_many_threads_open_a_new_store_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            TrafficStore(tmp_path / "traffic.db").close()
        except BaseException as problem:
            failures.append(problem)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_only_one_process_imports_at_a_time(store_location: str) -> None:
    with TrafficStore(store_location) as one, TrafficStore(store_location) as two:
        with one.importing(), pytest.raises(StoreBusy, match="another import"), two.importing():
            pass
        with two.importing():
            pass


def test_reading_goes_on_while_another_connection_writes(store: TrafficStore) -> None:
    store.add(begin(store), batch(trace(1), trace(2)), 2.0)
    frames = store.batches(size=1)
    first = next(frames)
    store.add(begin(store), batch(trace(3)), 2.0)
    rest = list(frames)
    assert [first.height, *(frame.height for frame in rest)] == [1, 1]


def test_a_full_disk_keeps_what_was_committed_and_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "traffic.db"
    with TrafficStore(path) as store:
        number = begin(store)
        store.add(number, batch(*(trace(n) for n in range(100))), 2.0)
        before = store.id
        with store.database.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 5}")
        with pytest.raises(MetierError, match="free some space"):
            store.add(number, batch(*(trace(n, messages="x" * 2_000) for n in range(100, 600))), 2.0)
        assert (len(store), store.id) == (100, before)
    with TrafficStore(path) as store:
        assert (len(store), store.id) == (100, before)
        store.add(number, batch(*(trace(n) for n in range(100, 600))), 2.0)
        assert len(store) == 600


_WRITER = """
import sys
from metier.artefacts.traffic import Trace
from metier.store.traffic import Batch, Located, TrafficStore
with TrafficStore(sys.argv[1]) as store:
    number = store.begin_import(path="p", sha256="s", size_bytes=1, format="f", dataset=None, now=0.0).id
    for start in range(0, 10**9, 500):
        made = [Trace(f"c{n}", '[{"role":"user","content":"' + "x" * 500 + '"}]') for n in range(start, start + 500)]
        store.add(number, Batch([Located(t, 1, b"") for t in made], [], 500), 0.0)
        print(start + 500, flush=True)
"""


def test_kill_minus_nine_leaves_whole_batches(tmp_path: Path) -> None:
    path = tmp_path / "traffic.db"
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 1_500:
        pass
    time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    reported = [int(line) for line in process.stdout.read().split()]
    process.stdout.close()
    process.wait()
    with TrafficStore(path) as store:
        n = len(store)
        assert n % 500 == 0
        assert n >= max([1_500, *reported])
        (record,) = store.import_records()
        assert (record.n_items, record.n_added) == (n, n)
        frames = pl.concat(store.batches(("id",)))
        assert frames.height == n
        with TrafficStore(tmp_path / "fresh.db") as fresh:
            rows = [Trace(**row) for row in pl.concat(store.batches()).rows(named=True)]
            fresh.add(begin(fresh), batch(*rows), 1.0)
            assert fresh.id == store.id
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_frame_traffic_and_store_agree_on_the_protocol(store: TrafficStore) -> None:
    store.add(begin(store), batch(trace(1), trace(2)), 2.0)
    frame = FrameTraffic(next(store.batches()))
    wanted = pl.Series("id", ["call-2"])
    assert frame.select(wanted).equals(store.select(wanted))
    assert len(frame) == len(store)
