"""Opens the database of the traffic store, a SQLite file (WAL) or any URL that SQLAlchemy knows; migrates it if needed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from metier.errors import BadArtefact, BadInput, MetierError, StoreBusy
from metier.store.tables import REVISION

BUSY_TIMEOUT_S = 60
_WRITING = "metier_writing"
# 64 MiB of pages: holds the upper levels of the id index of tens of millions of traces, and bounds memory.
_CACHE_KIB = 64 * 1024
# Pages written before the log is folded back: large enough that one import transaction is folded once.
_CHECKPOINT_PAGES = 8_000
_FULL_MESSAGES = ("database or disk is full", "disk i/o error", "no space left", "file too large")


def open_engine(location: str | Path) -> Engine:
    """An engine over `location` (a path of a SQLite file, made if absent, or a database URL) whose tables are up to date.

    Raises BadInput for a URL that cannot be read, BadArtefact for a file that is no store of ours.
    """
    url = _url(location)
    try:
        engine = create_engine(url)
    except (ArgumentError, ImportError) as problem:
        raise BadInput(f"{location!s} cannot be opened as a database: {problem}") from problem
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    with explained(str(location)):
        _migrate(engine)
    return engine


def _url(location: str | Path) -> str:
    if isinstance(location, str) and "://" in location:
        try:
            make_url(location)
        except ArgumentError as problem:
            raise BadInput(f"{location!r} is no database URL; expected sqlite:///FILE or postgresql://…") from problem
        return location
    path = Path(location)
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{path}"


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        # The driver's own BEGIN comes too late for a transaction that reads first; "begin" below sends it instead.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_S * 1000}",
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            f"cache_size=-{_CACHE_KIB}",
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
    """A connection inside one transaction that holds the right to write from its start; all of it is kept, or nothing."""
    with engine.connect().execution_options(**{_WRITING: True}) as connection, connection.begin():
        yield connection


@contextmanager
def explained(location: str) -> Iterator[None]:
    """Turns the database's own errors into ours, with what to do."""
    try:
        yield
    except OperationalError as problem:
        raise _explain(location, problem) from problem
    except DatabaseError as problem:
        raise BadArtefact(f"{location} is not a readable traffic store: {problem.orig}") from problem


def _explain(location: str, problem: OperationalError) -> MetierError:
    message = str(problem.orig)
    code = getattr(problem.orig, "sqlite_errorcode", None)
    if any(part in message.lower() for part in _FULL_MESSAGES) or code == sqlite3.SQLITE_FULL:
        return MetierError(
            f"{location}: no room left to write ({message}). What was committed so far is kept; free some space and run "
            "the same command again, it goes on where it stopped."
        )
    if "locked" in message:
        return StoreBusy(f"{location}: another process has been writing for over {BUSY_TIMEOUT_S} s; try again later.")
    return BadArtefact(f"{location}: the traffic store cannot be used: {message}")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _migrate(engine: Engine) -> None:
    with engine.connect() as connection:
        found = _revision(connection)
    if found == REVISION:
        return
    if found is not None and found > REVISION:
        raise BadArtefact(
            f"{engine.url!r} is of a newer metier (revision {found}; known is {REVISION}): upgrade metier."
        )
    with writing(engine) as connection:
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
