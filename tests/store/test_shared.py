"""What gateways share in one database: judgements, spend, audits, revocations; and several that write at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from metier.artefacts.traffic import Trace
from metier.errors import BadArtefact, NotFound
from metier.store import imports
from metier.store.audits import AuditRow, add_audits, audited_policies, read_audits
from metier.store.batches import NO_ANSWER, write_batch
from metier.store.judging import Judgement
from metier.store.revocations import Revocation, add_revocation, read_revocations
from metier.store.spend import Spent, add_spend, month_of, read_month
from metier.store.traffic import DUPLICATE_ID, Batch, Located, TrafficStore


def trace(number: int, **changes: object) -> Trace:
    made = Trace(id=f"mtr-{number}", messages=f'["{number}"]', response="a", response_id=f"r-{number}")
    return replace(made, **changes)  # type: ignore[arg-type]


def located(*traces: Trace) -> Batch:
    return Batch([Located(item, 1, item.messages.encode()) for item in traces], [], len(traces))


def begin(store: TrafficStore, name: str = "a") -> int:
    return store.begin_import(path=name, sha256=name, size_bytes=0, format="gateway", dataset=None, now=0.0).id


@pytest.fixture
def store(store_location: str):
    with TrafficStore(store_location) as made:
        yield made


def fresh_id(store: TrafficStore, path: Path) -> str:
    """The id of a store to which the same traces were added at once."""
    with TrafficStore(path) as fresh:
        rows = [Trace(**row) for frame in store.batches() for row in frame.iter_rows(named=True)]
        fresh.add(begin(fresh), located(*rows), 1.0)
        assert len(fresh) == len(store)
        return fresh.id


# Judgements


def test_an_answer_is_found_by_either_id(store: TrafficStore) -> None:
    store.add(begin(store), located(trace(1), trace(2), trace(3)), 1.0)
    assert store.find("mtr-1") == ["mtr-1"]
    assert store.find("r-2") == ["mtr-2"]
    assert store.find("r-9") == []
    store.add(begin(store), located(Trace(id="mtr-5", messages="[]", response_id="r-2")), 1.0)
    assert store.find("r-2") == ["mtr-2", "mtr-5"]


def test_the_newest_judgement_wins_and_changes_the_id(store: TrafficStore, tmp_path: Path) -> None:
    store.add(begin(store), located(trace(1)), 1.0)
    seen = [store.id]
    for number, (given, expected) in enumerate(
        (
            (("wrong", None), ("wrong", None)),
            ((None, "transfer"), ("wrong", "transfer")),
            (("wrong", None), ("wrong", "transfer")),
            (("wrong", "cancel"), ("wrong", "cancel")),
            (("correct", None), ("correct", None)),
        )
    ):
        store.judge("mtr-1", *given)
        assert next(store.batches(("feedback", "correction"))).rows() == [expected]
        assert store.id == fresh_id(store, tmp_path / f"{number}.db")
        seen.append(store.id)
    # Once, the judgement said nothing new.
    assert len(set(seen)) == len(seen) - 1
    assert store.import_records()[0].n_judged == 4
    with pytest.raises(NotFound, match="mtr-9"):
        store.judge("mtr-9", "wrong", None)


def test_judgements_in_a_batch_may_be_of_its_own_traces(store: TrafficStore, tmp_path: Path) -> None:
    number = begin(store)
    given = Batch(
        [Located(trace(1), 1, b"")],
        [],
        4,
        judgements=[
            Judgement("mtr-1", "wrong", None, 2, b"x"),
            Judgement("mtr-1", None, "c", 3, b"y"),
            Judgement("mtr-7", "wrong", None, 4, b"z"),
        ],
    )
    record = store.add(number, given, 1.0)
    assert (record.n_items, record.n_judged, record.quarantined) == (4, 1, {NO_ANSWER: 1})
    assert next(store.batches(("feedback", "correction"))).rows() == [("wrong", "c")]
    assert store.id == fresh_id(store, tmp_path / "fresh.db")


# Spend, audits, revocations


def test_spend_adds_up_by_key_and_month(store: TrafficStore) -> None:
    for _ in range(2):
        amounts = {("a", "2026-11"): Spent(0.25, 2), ("b", "2026-11"): Spent(0.0, 1), ("a", "2026-12"): Spent(1.0, 1)}
        store.database.write(lambda connection, new=amounts: add_spend(connection, new))  # type: ignore[misc]
    with store.database.reading() as connection:
        assert read_month(connection, "2026-11") == {"a": Spent(0.5, 4), "b": Spent(0.0, 2)}
        assert read_month(connection, "2026-12") == {"a": Spent(2.0, 2)}
        assert read_month(connection, "2025-01") == {}


def test_a_month_is_utcs() -> None:
    assert month_of(1_764_547_199.9) == "2025-11"
    assert month_of(1_764_547_200.0) == "2025-12"


def test_audits_are_read_in_order_and_counted_once(store: TrafficStore) -> None:
    rows = [AuditRow("p", "intents", f"mtr-{n}", float(n), n % 2 == 0, 0.05) for n in range(5)]
    other = AuditRow("q", "intents", "mtr-x", 0.0, True, 0.1)
    for _ in range(2):
        store.database.write(lambda connection: add_audits(connection, [*rows, other]))
    with store.database.reading() as connection:
        found = read_audits(connection, "p")
        assert [row for _, row in found] == rows
        assert [row.trace_id for _, row in read_audits(connection, "p", after=found[2][0])] == ["mtr-3", "mtr-4"]
        assert audited_policies(connection) == ["p", "q"]


def test_a_revocation_stays_as_it_was_first_given(store: TrafficStore) -> None:
    first = Revocation("p", "intents", 1.0, 25.0, 40, 9, "too many")
    for revocation in first, first._replace(time=2.0, reason="again"):
        store.database.write(lambda connection, new=revocation: add_revocation(connection, new))  # type: ignore[misc]
    with store.database.reading() as connection:
        assert read_revocations(connection) == {"p": first}


def test_a_transaction_is_kept_whole_or_not_at_all(store: TrafficStore) -> None:
    number = begin(store)

    def half(connection) -> None:
        write_batch(connection, imports.locked(connection, number), located(trace(1)), 1.0)
        add_spend(connection, {("a", "2026-11"): Spent(1.0, 1)})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.database.write(half)
    assert len(store) == 0
    with store.database.reading() as connection:
        assert read_month(connection, "2026-11") == {}
    with pytest.raises(BadArtefact, match="no import number 77"):
        store.add(77, located(trace(1)), 1.0)


# Several at once

_WRITER = """
import sys
from metier.artefacts.traffic import Trace
from metier.store.spend import Spent, add_spend
from metier.store.traffic import Batch, Located, TrafficStore
name = sys.argv[2]
with TrafficStore(sys.argv[1]) as store:
    number = store.begin_import(path=name, sha256=name, size_bytes=1, format="f", dataset=None, now=0.0).id
    print("ready", flush=True)
    sys.stdin.readline()
    for start in range(0, 400, 40):
        # The first half are every writer's, the others its own.
        traces = [Trace(f"c{n}" if n % 2 else f"{name}{n}", "[]", feedback="wrong") for n in range(start, start + 40)]
        if name == "w1":
            traces.reverse()
        store.add(number, Batch([Located(t, 1, b"") for t in traces], [], 40), 0.0)
        store.judge("shared", "wrong", name + str(start))
        store.database.write(lambda c: add_spend(c, {("k1", "m"): Spent(1.0, 1), ("k2", "m"): Spent(0.5, 1)}))
"""


def test_several_processes_write_the_same_ids_at_once(store_location: str, tmp_path: Path) -> None:
    with TrafficStore(store_location) as store:
        store.add(begin(store, "before"), located(Trace("shared", "[]", response="x")), 0.0)
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", _WRITER, store_location, f"w{n}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ,
            )
            for n in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        for writer in writers:
            writer.communicate(timeout=60)
            assert writer.returncode == 0
        assert len(store) == 1 + 200 + 2 * 200
        assert sum(frame.height for frame in store.batches(("id",), size=100)) == len(store)
        assert store.id == fresh_id(store, tmp_path / "fresh.db")
        assert store.quarantine_counts() == {}
        with store.database.reading() as connection:
            assert read_month(connection, "m") == {"k1": Spent(20.0, 20), "k2": Spent(10.0, 20)}


def test_the_same_id_in_two_transactions_at_once_is_written_once(postgres_url: str) -> None:
    """The second waits for the first, meets its id, and is done again."""
    with TrafficStore(postgres_url) as store, TrafficStore(postgres_url) as other:
        one, two = begin(store, "one"), begin(store, "two")
        tries: list[int] = []

        def second(connection) -> None:
            tries.append(1)
            same, another = located(trace(1)), located(trace(2, response="else"))
            batch = Batch([*same.traces, *another.traces], [], 2)
            write_batch(connection, imports.locked(connection, two), batch, 1.0)

        def first(connection) -> None:
            batch = located(trace(1), trace(2, response="b"))
            write_batch(connection, imports.locked(connection, one), batch, 1.0)
            thread.start()
            _waits_for_a_lock(store)

        thread = threading.Thread(target=lambda: other.database.write(second))
        store.database.write(first)
        thread.join(30)
        assert len(tries) == 2
        assert len(store) == 2
        assert store.quarantine_counts() == {DUPLICATE_ID: 1}


def _waits_for_a_lock(store: TrafficStore) -> None:
    _until(
        store, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )


def _until(store: TrafficStore, query: str) -> None:
    import time

    end = time.monotonic() + 20
    while True:
        with store.database.reading() as connection:
            if connection.exec_driver_sql(query).scalar():
                return
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_readers_see_one_moment_while_others_write(store: TrafficStore) -> None:
    number = begin(store)
    store.add(number, located(*(trace(n) for n in range(10))), 1.0)
    frames = store.batches(("id",), size=3)
    found = [next(frames)]
    store.add(number, located(*(trace(n) for n in range(10, 20))), 1.0)
    found += list(frames)
    assert pl.concat(found)["id"].to_list() == [f"mtr-{n}" for n in range(10)]


def test_many_open_a_new_database_at_once(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    server = request.getfixturevalue("postgres_server")
    name = f"empty_{os.getpid()}"
    server.sql(f"CREATE DATABASE {name}")
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as problem:
            failures.append(problem)

    threads = [threading.Thread(target=run, args=(lambda: TrafficStore(server.url(name)).close(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")
    assert failures == []
