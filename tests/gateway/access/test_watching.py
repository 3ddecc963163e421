"""The gatekeeper against a real database: keys made and revoked while it runs, and a database that goes and comes back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from metier.gateway.access import load_gatekeeper
from metier.gateway.access.refusal_log import EVERY_S, RefusalLog
from metier.gateway.errors import ApiError
from metier.store.database import open_database
from metier.store.keys import KeyStore
from metier.store.spend import Spent, add_spend, month_of


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "traffic.db"


def test_keys_made_and_revoked_count_on_a_running_gateway(path: Path) -> None:
    gatekeeper = load_gatekeeper(f"sqlite:///{path}", watch=False)
    gatekeeper.watch(every_s=0.02)
    try:
        gatekeeper.admit(None, "127.0.0.1")
        with KeyStore(path) as store:
            text, key = store.create("billing", time.time())
            until(lambda: gatekeeper.has_keys)
            assert gatekeeper.admit(f"Bearer {text}", None).key_id == key.id
            store.revoke(key.id, time.time())

        def is_refused() -> bool:
            try:
                gatekeeper.admit(f"Bearer {text}", None)
            except ApiError as error:
                return error.status == 401
            return False

        until(is_refused)
    finally:
        gatekeeper.close()


def test_a_budget_spent_elsewhere_is_refused_here(path: Path) -> None:
    with KeyStore(path) as store:
        text, key = store.create("billing", time.time(), budget_usd_month=2.0)
    gatekeeper = load_gatekeeper(f"sqlite:///{path}", watch=False)
    gatekeeper.admit(f"Bearer {text}", None)
    database = open_database(path)
    month = month_of(time.time())
    database.write(lambda connection: add_spend(connection, {(key.id, month): Spent(2.0, 7)}))
    database.close()
    assert gatekeeper.refresh()
    with pytest.raises(ApiError) as caught:
        gatekeeper.admit(f"Bearer {text}", None)
    assert caught.value.code == "insufficient_quota"
    gatekeeper.close()


def test_the_keys_read_last_stay_valid_while_the_database_is_away(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with KeyStore(path) as store:
        text, _ = store.create("billing", time.time())
    gatekeeper = load_gatekeeper(f"sqlite:///{path}", watch=False)
    away = path.with_name("away.db")
    path.rename(away)
    with caplog.at_level(logging.WARNING, "metier"):
        for _ in range(3):
            assert not gatekeeper.refresh()
    assert not path.exists(), "an empty database in the place of the lost one would have no keys"
    assert not gatekeeper.is_current
    assert len(caplog.records) == 1
    assert gatekeeper.admit(f"Bearer {text}", None).name == "billing"
    with pytest.raises(ApiError):
        gatekeeper.admit(None, "127.0.0.1")
    away.rename(path)
    with KeyStore(path) as store:
        other, _ = store.create("support", time.time())
    assert gatekeeper.refresh()
    assert gatekeeper.is_current
    assert gatekeeper.admit(f"Bearer {other}", None).name == "support"
    gatekeeper.close()


def test_a_database_that_is_away_from_the_start_lets_nobody_in_and_shows_no_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = "postgresql://metier:hunter2secret@127.0.0.1:1/metier"
    with caplog.at_level(logging.WARNING, "metier"):
        gatekeeper = load_gatekeeper(url, watch=False)
    with pytest.raises(ApiError) as caught:
        gatekeeper.admit(None, "127.0.0.1")
    assert caught.value.status == 503
    assert not gatekeeper.is_known
    assert "every call gets a 503" in caplog.text
    assert "hunter2secret" not in caplog.text + caught.value.message
    gatekeeper.close()


def test_many_attempts_are_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    log = RefusalLog(monotonic=lambda: now[0])
    with caplog.at_level(logging.WARNING, "metier"):
        for n in range(10_000):
            now[0] = n * 3 * EVERY_S / 10_000
            log("wrong", "abcdefgh")
            log("unknown", None)
    assert len(caplog.records) == 6
    assert "reason=wrong key=abcdefgh n=1" in caplog.text
    assert sum(int(record.message.rpartition("=")[2]) for record in caplog.records) <= 20_000


def test_a_server_that_stops_and_comes_back(postgres_server, postgres_url: str) -> None:  # type: ignore[no-untyped-def]
    with KeyStore(postgres_url) as store:
        text, key = store.create("billing", time.time())
    gatekeeper = load_gatekeeper(postgres_url, watch=False)
    postgres_server.stop()
    try:
        assert not gatekeeper.refresh()
        assert gatekeeper.admit(f"Bearer {text}", None).key_id == key.id
    finally:
        postgres_server.start()
    with KeyStore(postgres_url) as store:
        other, _ = store.create("support", time.time())
    assert gatekeeper.refresh()
    assert gatekeeper.admit(f"Bearer {other}", None).name == "support"
    gatekeeper.close()
