"""Keys in the database: what is kept of them, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from metier.artefacts.keys import KEY_CHARS, is_key, key_hash, key_id, new_secret_key
from metier.errors import BadInput, NotFound, StoreAway
from metier.store.database import open_database
from metier.store.keys import KeyStore
from metier.store.spend import Spent, add_spend


@pytest.fixture
def store(store_location: str) -> Iterator[KeyStore]:
    with KeyStore(store_location) as made:
        yield made


def test_a_key_has_an_id_a_prefix_and_256_bits() -> None:
    texts = {new_secret_key() for _ in range(500)}
    assert len(texts) == len({key_id(text) for text in texts}) == 500
    for text in texts:
        assert len(text) == KEY_CHARS == 56
        assert text.startswith("mtr_")
        assert text.isascii()
        assert text.replace("_", "").isalnum()
    assert 62**43 > 2**256


@pytest.mark.parametrize(
    "text", ["", "mtr_", "mtr_abc", "x" * 56, "mtr_abcdefgh-" + "a" * 43, "mtr_abcdefgh_" + "é" * 43]
)
def test_what_is_no_key_has_no_id(text: str) -> None:
    assert key_id(text) is None


def test_a_secret_is_no_use_under_another_id() -> None:
    text = new_secret_key()
    assert is_key(text, key_hash(text))
    assert not is_key("mtr_" + "z" * 8 + text[12:], key_hash(text))


def test_only_the_hash_is_stored(store: KeyStore, store_location: str, tmp_path: Path) -> None:
    text, key = store.create("billing", 10.0, requests_per_minute=60, budget_usd_month=12.5)
    assert store.read("2026-11").keys == {key.id: key}
    assert (key.name, key.requests_per_minute, key.budget_usd_month) == ("billing", 60, 12.5)
    assert key.hash == key_hash(text)
    assert text not in repr(key)
    store.close()
    if not store_location.startswith("postgresql"):
        content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert key.hash.encode() in content
        assert text[13:].encode() not in content


def test_keys_are_listed_in_the_order_they_were_made_with_what_they_spent(store: KeyStore, store_location: str) -> None:
    ids = [store.create(name, float(n))[1].id for n, name in enumerate(("c", "a", "b"))]
    database = open_database(store_location)
    database.write(lambda connection: add_spend(connection, {
        (ids[0], "2026-11"): Spent(1.5, 3), (ids[0], "2026-10"): Spent(9.0, 9), (ids[2], "2026-11"): Spent(0.0, 1),
    }))  # fmt: skip
    database.close()
    book = store.read("2026-11")
    assert list(book.keys) == ids
    assert book.spent == {ids[0]: Spent(1.5, 3), ids[2]: Spent(0.0, 1)}
    assert book.month == "2026-11"


def test_revoking_keeps_the_first_time_and_the_row(store: KeyStore) -> None:
    _, key = store.create("billing", 1.0)
    assert store.revoke(key.id, 5.0).revoked_at == 5.0
    assert store.revoke(key.id, 9.0).revoked_at == 5.0
    assert store.read("2026-11").keys[key.id].revoked_at == 5.0


def test_a_name_is_free_again_once_its_key_is_revoked(store: KeyStore) -> None:
    _, key = store.create("billing", 1.0)
    with pytest.raises(BadInput, match=key.id):
        store.create("billing", 2.0)
    store.revoke(key.id, 3.0)
    store.create("billing", 4.0)


def test_revoking_an_unknown_key_names_the_live_ones(store: KeyStore) -> None:
    _, live = store.create("billing", 1.0)
    with pytest.raises(NotFound, match=rf"{live.id} \(billing\)"):
        store.revoke("nothing", 2.0)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "two\nlines", "bell\x07"])
def test_names_that_cannot_be_shown_are_refused(store: KeyStore, name: str) -> None:
    with pytest.raises(BadInput, match="name"):
        store.create(name, 1.0)


@pytest.mark.parametrize("rate", [0, -1, 10**9])
def test_rates_out_of_range_are_refused(store: KeyStore, rate: int) -> None:
    with pytest.raises(BadInput, match="requests per minute"):
        store.create("x", 1.0, requests_per_minute=rate)


@pytest.mark.parametrize("budget", [-0.01, float("nan"), float("inf")])
def test_budgets_out_of_range_are_refused(store: KeyStore, budget: float) -> None:
    with pytest.raises(BadInput, match="budget"):
        store.create("x", 1.0, budget_usd_month=budget)


def test_a_file_that_was_taken_away_is_not_read_as_if_it_were_there(
    store: KeyStore, tmp_path: Path, store_location: str
) -> None:
    if store_location.startswith("postgresql"):
        pytest.skip("a server's files are its own")
    store.create("billing", 1.0)
    (tmp_path / "traffic.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(StoreAway):
        store.read("2026-11")
