"""The keys of the gateway in the database: made, listed, revoked; every gateway that shares the database reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, insert, select, update

from metier.artefacts.keys import Key, id_of, key_hash, new_secret_key
from metier.errors import BadInput, NotFound
from metier.store.database import open_database
from metier.store.spend import Spent, read_month
from metier.store.tables import keys

MAX_NAME_CHARS = 100
_COLUMNS = ("id", "name", "hash", "created_at", "revoked_at", "requests_per_minute", "budget_usd_month")
_MAX_PER_MINUTE = 10_000_000
_BUSY_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class KeyBook:
    """Every key, the revoked ones too, by id, and what each spent in `month` (YYYY-MM of UTC); read in one transaction."""

    keys: Mapping[str, Key]
    month: str
    spent: Mapping[str, Spent]


class KeyStore:
    """Keys in a database. `location` is the path of a SQLite file (made if absent, unless `create` is False) or a URL.

    Close it, or use it as a context manager. Raises as store.database.open_database and its transactions do.
    """

    def __init__(self, location: str | Path, *, create: bool = True) -> None:
        self._database = open_database(location, busy_timeout_s=_BUSY_TIMEOUT_S, create=create)

    def __enter__(self) -> KeyStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the database's connections back."""
        self._database.close()

    def create(
        self, name: str, now: float, *, requests_per_minute: int | None = None, budget_usd_month: float | None = None
    ) -> tuple[str, Key]:
        """A new key: its text, which is not kept and cannot be shown again, and what is kept of it.

        Raises BadInput for a name that another live key has, or a name or limit out of range.
        """
        _check(name, requests_per_minute, budget_usd_month)

        def work(connection: Connection) -> tuple[str, Key]:
            same = select(keys.c.id).where(keys.c.name == name, keys.c.revoked_at.is_(None))
            if (taken := connection.execute(same).scalar()) is not None:
                raise BadInput(
                    f"key {taken} is called {name!r} already. Choose another name, or revoke that one first."
                )
            text = new_secret_key()
            key = Key(id_of(text), name, key_hash(text), now, None, requests_per_minute, budget_usd_month)
            connection.execute(insert(keys).values({column: getattr(key, column) for column in _COLUMNS}))
            return text, key

        return self._database.write(work)

    def revoke(self, id_: str, now: float) -> Key:
        """Revoke a key for good; one that is revoked stays as it is. Raises NotFound with the ids of live keys."""

        def work(connection: Connection) -> Key:
            live = keys.c.revoked_at.is_(None)
            connection.execute(update(keys).where(keys.c.id == id_, live).values(revoked_at=now))
            row = connection.execute(_every_key().where(keys.c.id == id_)).first()
            if row is None:
                found = connection.execute(select(keys.c.id, keys.c.name).where(live).order_by(keys.c.name)).all()
                known = ", ".join(f"{key} ({name})" for key, name in found) or "none"
                raise NotFound(f"no key has this id. Live keys: {known}.")
            return Key(*row)

        return self._database.write(work)

    def read(self, month: str) -> KeyBook:
        """Every key, the oldest first, with what it spent in `month`. Raises StoreAway where the file is not there now."""
        self._database.require_in_place()
        with self._database.snapshot() as connection:
            rows = connection.execute(_every_key().order_by(keys.c.created_at, keys.c.id)).all()
            return KeyBook({row[0]: Key(*row) for row in rows}, month, read_month(connection, month))


def _every_key() -> Select[Any]:
    return select(*(keys.c[column] for column in _COLUMNS))


def _check(name: str, requests_per_minute: int | None, budget_usd_month: float | None) -> None:
    if not name.strip() or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise BadInput(f"a key's name must be 1 to {MAX_NAME_CHARS} printable characters, received {name[:120]!r}")
    if requests_per_minute is not None and not 1 <= requests_per_minute <= _MAX_PER_MINUTE:
        raise BadInput(f"requests per minute must be 1 to {_MAX_PER_MINUTE:,}, received {requests_per_minute}")
    if budget_usd_month is not None and not (math.isfinite(budget_usd_month) and budget_usd_month >= 0):
        raise BadInput(f"a budget must be 0 dollars or more, received {budget_usd_month}")
