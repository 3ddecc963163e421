"""Locations of databases, and what goes wrong with them: said plainly, and never with a password."""

from __future__ import annotations

import sqlite3
import traceback
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from metier.artefacts.traffic import Trace
from metier.errors import BadArtefact, BadInput, MetierError, MissingExtra, StoreAway, StoreBusy
from metier.store.database import open_database
from metier.store.traffic import Batch, Located, Refused, TrafficStore
from metier.store.urls import database_url, masked

PASSWORD = "s3cr3t-pw"


@pytest.mark.parametrize(
    "location",
    [
        f"postgresql://ana:{PASSWORD}@db.example:5432/traffic",
        f"postgresql+psycopg://ana:{PASSWORD}@db.example/traffic?sslmode=require",
        f"postgresql://db.example/traffic?user=ana&password={PASSWORD}",
        f"postgresql://ana:{PASSWORD}@db.example:notaport/traffic",
        f"postgresql://ana:x@{PASSWORD}@db.example/traffic",
        f"nonsense://ana:{PASSWORD}@db.example/traffic",
    ],
)
def test_no_password_is_shown(location: str) -> None:
    assert PASSWORD not in masked(location)
    with pytest.raises(MetierError) as problem:
        open_database(location)
    assert PASSWORD not in "".join(traceback.format_exception(problem.value))


def test_locations_are_read() -> None:
    assert masked("/data/traffic.db") == "/data/traffic.db"
    assert masked("postgresql://ana@db/x") == "postgresql://ana@db/x"
    assert database_url("postgresql://db/x").drivername == "postgresql+psycopg"
    assert database_url("postgres://db/x").drivername == "postgresql+psycopg"
    for wrong in "mysql://db/x", "postgresql:/db", "redis://x":
        if "://" in wrong:
            with pytest.raises(BadInput, match="no database URL"):
                database_url(wrong)


def test_an_at_sign_in_a_password_is_named_without_it() -> None:
    with pytest.raises(BadInput, match="%40"):
        database_url(f"postgresql://ana:half@{PASSWORD}@db/x")


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = util.find_spec
    monkeypatch.setattr("metier.store.urls.find_spec", lambda name: None if name == "psycopg" else found(name))
    with pytest.raises(MissingExtra, match=r"pip install 'metier\[scale\]'"):
        TrafficStore("postgresql://db/x")


def test_the_environments_password_is_used(
    postgres_server: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("PGUSER", "metier")
    with TrafficStore(postgres_url.replace("metier@", "")) as store:
        assert len(store) == 0
        assert PASSWORD not in store.location + repr(store.database)


def test_a_refused_password_is_told_from_a_server_that_is_away(
    postgres_server: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    with pytest.raises(StoreAway, match=r"does not let us in.*PGPASSWORD"):
        TrafficStore(postgres_server.url("store_nowhere"))
    with pytest.raises(StoreAway, match="does not let us in"):
        TrafficStore(postgres_server.url("postgres", user="nobody"))
    with pytest.raises(StoreAway, match="cannot be reached"):
        TrafficStore("postgresql://metier@127.0.0.1:1/x")


def test_a_connection_that_breaks_is_replaced(postgres_server: Any, postgres_url: str) -> None:
    with TrafficStore(postgres_url) as store:
        assert len(store) == 0
        postgres_server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'store_%'", "postgres"
        )
        assert len(store) == 0


def test_what_is_no_store_of_ours_is_refused(postgres_server: Any, postgres_url: str) -> None:
    with TrafficStore(postgres_url) as store, store.database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE quarantine")
    with TrafficStore(postgres_url) as store, pytest.raises(BadArtefact, match="not a readable"):
        store.quarantine_counts()


@pytest.fixture
def batch() -> Batch:
    return Batch([Located(Trace("a", "[]"), 1, b"")], [], 1)


def test_a_lock_held_for_too_long_is_named(store_location: str, batch: Batch) -> None:
    with TrafficStore(store_location) as store:
        number = store.begin_import(path="p", sha256="s", size_bytes=0, format="f", dataset=None, now=0.0).id
        other = open_database(store_location, busy_timeout_s=0.1)

        def work(connection: Any) -> None:
            from metier.store import imports

            imports.locked(connection, number)
            with pytest.raises(StoreBusy, match=r"over 0\.1 s"):
                other.write(lambda connection: imports.finish(connection, number, 1.0))

        store.database.write(work)
        other.close()


@pytest.mark.parametrize("value", [{"model": "m\x00"}, {"input_tokens": 2**70}])
def test_a_refused_value_is_bad_input_and_its_text_is_not_shown(postgres_url: str, value: dict[str, Any]) -> None:
    with TrafficStore(postgres_url) as store:
        number = store.begin_import(path="p", sha256="s", size_bytes=0, format="f", dataset=None, now=0.0).id
        given = Batch([Located(Trace("a", '["private words"]', **value), 1, b"")], [], 1)
        with pytest.raises(BadInput, match="refuses a value") as problem:
            store.add(number, given, 0.0)
        assert "private words" not in "".join(traceback.format_exception(problem.value))
        assert len(store) == 0


def test_nul_characters_of_a_quarantined_line_can_be_kept(store_location: str) -> None:
    with TrafficStore(store_location) as store:
        number = store.begin_import(path="p", sha256="s", size_bytes=0, format="f", dataset=None, now=0.0).id
        store.add(number, Batch([], [Refused(1, "bad", "saw \x00", b"a\x00b", 3)], 1), 0.0)
        assert store.quarantine_rows()["excerpt"].to_list() == ["a\\x00b"]


def test_a_file_that_is_gone_is_not_made_again_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with pytest.raises(StoreAway, match="is gone"):
        open_database(path, create=False)
    assert not path.exists()
    database = open_database(path)
    database.require_in_place()
    path.rename(tmp_path / "moved.db")
    with pytest.raises(StoreAway, match="is gone since"):
        database.require_in_place()
    sqlite3.connect(path).close()
    path.touch()
    with pytest.raises(StoreAway, match="was replaced"):
        database.require_in_place()
    database.close()


def test_only_a_durable_database_waits_for_the_disk(tmp_path: Path) -> None:
    for durable, expected in (True, 2), (False, 1):
        database = open_database(tmp_path / "t.db", durable=durable)
        with database.reading() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == expected
        database.close()
