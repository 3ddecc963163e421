"""The keys of the gateway in the database: made, listed, revoked; every gateway that shares the database reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Select, insert, select, update

from metier.artefacts.keys import Key, key_hash, key_id, new_secret_key
from metier.errors import BadInput, NotFound
from metier.store.database import explained, open_engine, writing
from metier.store.spend import Spent, read_month
from metier.store.tables import keys

MAX_NAME_CHARS = 100
_COLUMNS = ("id", "name", "hash", "created_at", "revoked_at", "requests_per_minute", "budget_usd_month")
_MAX_PER_MINUTE = 10_000_000


@dataclass(frozen=True)
class KeyBook:
    """Every key, the revoked ones too, by id, and what each spent in `month` (YYYY-MM of UTC); read in one transaction."""

    keys: Mapping[str, Key]
    month: str
    spent: Mapping[str, Spent]


class KeyStore:
    """Keys in a database. `location` is the path of a SQLite file (made if absent) or a database URL.

    Close it, or use it as a context manager. Raises as TrafficStore does.
    """

    def __init__(self, location: str | Path) -> None:
        self.location = str(location)
        self._engine = open_engine(location)

    def __enter__(self) -> KeyStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the database's connections back."""
        self._engine.dispose()

    def create(
        self, name: str, now: float, *, requests_per_minute: int | None = None, budget_usd_month: float | None = None
    ) -> tuple[str, Key]:
        """A new key: its text, which is not kept and cannot be shown again, and what is kept of it.

        Raises BadInput for a name that another live key has, or a name or limit out of range.
        """
        _check(name, requests_per_minute, budget_usd_month)
        text = new_secret_key()
        id_ = key_id(text)
        assert id_ is not None
        key = Key(id_, name, key_hash(text), now, None, requests_per_minute, budget_usd_month)
        with explained("the keys"), writing(self._engine) as connection:
            same = select(keys.c.id).where(keys.c.name == name, keys.c.revoked_at.is_(None))
            if (taken := connection.execute(same).scalar()) is not None:
                raise BadInput(f"key {taken} is called {name!r} already. Choose another name, or revoke that one first.")
            connection.execute(insert(keys).values({column: getattr(key, column) for column in _COLUMNS}))
        return text, key

    def revoke(self, id_: str, now: float) -> Key:
        """Revoke a key for good; one that is revoked stays as it is. Raises NotFound with the ids of live keys."""
        with explained("the keys"), writing(self._engine) as connection:
            connection.execute(
                update(keys).where(keys.c.id == id_, keys.c.revoked_at.is_(None)).values(revoked_at=now)
            )
            row = connection.execute(_every_key().where(keys.c.id == id_)).first()
            if row is None:
                live = connection.execute(select(keys.c.id, keys.c.name).where(keys.c.revoked_at.is_(None))).all()
                known = ", ".join(f"{key} ({name})" for key, name in live) or "none"
                raise NotFound(f"no key has the id {id_[:40]!r}. Live keys: {known}.")
        return Key(*row)

    def read(self, month: str) -> KeyBook:
        """Every key, the oldest first, with what it spent in `month`."""
        with explained("the keys"), self._engine.connect() as connection, connection.begin():
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
