"""Opens the database of the traffic store, a SQLite file (WAL) or PostgreSQL; migrates it if needed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError

from metier.errors import BadArtefact, StoreAway
from metier.store.faults import BUSY_TIMEOUT_S, explained, is_conflict
from metier.store.tables import REVISION
from metier.store.urls import database_url, masked

_WRITING = "metier_writing"
# Memory for pages of SQLite. An import holds the upper levels of the id index of tens of millions of traces; a gateway's
# processes run beside others and for months, and the system caches the file as well.
IMPORT_CACHE_MIB = 64
_CACHE_MIB = 16
# Pages written before the log is folded back: large enough that one import transaction is folded once.
_CHECKPOINT_PAGES = 8_000
# A transaction is done again where another got in between: enough for dozens of gateways that start in one moment.
_ATTEMPTS = 8
_PAUSE_S = 0.02
_CONNECT_TIMEOUT_S = 5
_DEAD_PEER_MS = 30_000
# Any number that no other program locks in the same database: "metier" in hexadecimal, and what is locked.
_ADVISORY = 0x6D6574696572 << 8
MIGRATING, IMPORTING, AUDITING = _ADVISORY | 1, _ADVISORY | 2, _ADVISORY | 3

T = TypeVar("T")


@dataclass(frozen=True)
class Database:
    """An open database whose tables are up to date. `location` may be shown: it holds no password."""

    location: str
    engine: Engine
    busy_timeout_s: float
    file: Path | None
    inode: tuple[int, int] | None

    @property
    def is_postgresql(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read with."""
        with explained(self.location, self.busy_timeout_s), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection that sees the database as it is now, however long it reads and whoever writes."""
        if not self.is_postgresql:
            # Every statement of SQLite sees whole transactions in their order; a snapshot held would let its log grow.
            with self.reading() as connection:
                yield connection
            return
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with explained(self.location), self.engine.connect().execution_options(**options) as connection:
            yield connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` gives, done inside one transaction: all of it is kept, or nothing. It may be called again, with a
        new transaction, where that of another process got in between (an id of the same name, a deadlock)."""
        with explained(self.location, self.busy_timeout_s):
            for attempt in range(_ATTEMPTS):
                try:
                    with writing(self.engine) as connection:
                        return work(connection)
                except DBAPIError as problem:
                    if attempt + 1 == _ATTEMPTS or not is_conflict(problem):
                        raise
                    time.sleep(_PAUSE_S * (attempt + 1))
        raise AssertionError("the last attempt returns or raises")

    def require_in_place(self) -> None:
        """Raises StoreAway where the SQLite file was moved, removed or replaced since it was opened: what is written goes
        to a file that nobody will look for."""
        if self.file is not None and _inode(self.file) != self.inode:
            found = "is gone" if _inode(self.file) is None else "was replaced by another"
            raise StoreAway(f"{self.location}: the database file {found} since it was opened")

    def close(self) -> None:
        """Gives the connections back."""
        self.engine.dispose()


def open_database(
    location: str | Path,
    *,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    durable: bool = False,
    create: bool = True,
    cache_mib: int = _CACHE_MIB,
) -> Database:
    """The database at `location`: the path of a SQLite file, made if absent (unless `create` is False), or a URL.

    `busy_timeout_s` is how long to wait for another process that writes. With `durable`, what is committed survives a
    power failure (SQLite otherwise may lose the last transactions, never part of one; PostgreSQL is always durable).
    `cache_mib` bounds the memory for SQLite's pages.
    Raises BadInput for a URL that cannot be read, BadArtefact for a file that is no store of ours, StoreAway for a server
    that cannot be reached, MissingExtra where PostgreSQL's driver is not installed.
    """
    shown = masked(location)
    url = database_url(location)
    in_postgresql = url.get_backend_name() == "postgresql"
    file = None if in_postgresql or not url.database or url.database == ":memory:" else Path(url.database)
    if file is not None and not create and not file.exists():
        raise StoreAway(f"{shown}: the database file is gone")
    with explained(shown, busy_timeout_s):
        # Parameters are the contents of calls: they must not stand in a traceback.
        if in_postgresql:
            engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=_libpq(url.query))
            _prepare_postgresql(engine, busy_timeout_s)
        else:
            engine = create_engine(url, hide_parameters=True)
            _prepare_sqlite(engine, busy_timeout_s, durable, cache_mib)
        try:
            _migrate(engine, shown)
        except BaseException:
            engine.dispose()
            raise
    return Database(shown, engine, busy_timeout_s, file, None if file is None else _inode(file))


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 (twice a transaction)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _libpq(given: Any) -> dict[str, Any]:
    """libpq's parameters that are not given in the URL: a dead server must not be waited for by the quarter of an hour."""
    wanted = {
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "application_name": "metier",
        "tcp_user_timeout": _DEAD_PEER_MS,
        "keepalives_idle": _DEAD_PEER_MS // 1000,
    }
    return {name: value for name, value in wanted.items() if name not in given}


def _prepare_postgresql(engine: Engine, busy_timeout_s: float) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.execute(f"SET lock_timeout = {int(busy_timeout_s * 1000)}")
        connection.commit()


def _prepare_sqlite(engine: Engine, busy_timeout_s: float, durable: bool, cache_mib: int) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        # The driver's own BEGIN comes too late for a transaction that reads first; "begin" below sends it instead.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={int(busy_timeout_s * 1000)}",
            "journal_mode=WAL",
            f"synchronous={'FULL' if durable else 'NORMAL'}",
            "foreign_keys=ON",
            f"cache_size=-{cache_mib * 1024}",
            f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get(_WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection inside one transaction that on SQLite holds the right to write from its start; all of it is kept, or
    nothing."""
    with engine.connect().execution_options(**{_WRITING: True}) as connection, connection.begin():
        yield connection


def advisory_lock(connection: Connection, number: int) -> None:
    """On PostgreSQL, wait until no other transaction holds `number`, and hold it to the end of this one. A transaction
    that writes to SQLite is alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({number})")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _migrate(engine: Engine, shown: str) -> None:
    with engine.connect() as connection:
        found = _revision(connection)
    if found == REVISION:
        return
    if found is not None and found > REVISION:
        raise BadArtefact(f"{shown} is of a newer metier (revision {found}; known is {REVISION}): upgrade metier.")
    with writing(engine) as connection:
        advisory_lock(connection, MIGRATING)
        # Another process may have migrated while this one waited for the right to write.
        if _revision(connection) != REVISION:
            _run_alembic(connection)


def _run_alembic(connection: Connection) -> None:
    # Imported here: a store that is up to date, the usual case, must not pay for it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, REVISION)
