"""The database's own errors as ours: what happened, where, and what to do; never a password or a trace's content."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import DataError, DBAPIError

from metier.errors import BadArtefact, BadInput, MetierError, StoreAway, StoreBusy

BUSY_TIMEOUT_S = 60.0

_FULL_MESSAGES = ("database or disk is full", "disk i/o error", "no space left", "file too large")
# SQLSTATE classes and codes of PostgreSQL, appendix A of its manual.
_FULL = ("53100",)
_LOCKED = ("55P03",)
_REFUSED = ("28000", "28P01", "42501", "3D000", "25006")
_AWAY = ("08", "57P", "53300")
_AGAIN = ("40001", "40P01", "23505")
# Without a SQLSTATE, libpq's text alone tells a refused password from a server that is away.
_REFUSED_MESSAGES = ("password authentication failed", "no password supplied", "does not exist", "pg_hba.conf")


def sqlstate(problem: DBAPIError) -> str:
    """PostgreSQL's five-character code, empty where there is none."""
    return str(getattr(problem.orig, "sqlstate", None) or "")


def is_conflict(problem: DBAPIError) -> bool:
    """Whether another transaction got in between, so that the same work, done again, may succeed."""
    return sqlstate(problem) in _AGAIN


@contextmanager
def explained(location: str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Iterator[None]:
    """Turns the database's own errors into ours. `location` must not hold a password.

    BadInput: a value that the database refuses. StoreBusy: locked for too long. StoreAway: not reachable, or no entry.
    MetierError: no room left. BadArtefact: not a readable store.
    """
    try:
        yield
    except OverflowError as problem:
        raise BadInput(f"{location}: the database refuses a value: an integer of more than 64 bits") from problem
    except DBAPIError as problem:
        raise _explain(location, problem, busy_timeout_s) from problem


def _explain(location: str, problem: DBAPIError, busy_timeout_s: float) -> MetierError:
    message = " ".join(str(problem.orig).split())
    code = sqlstate(problem)
    if isinstance(problem, DataError):
        # The message may quote the value.
        return BadInput(f"{location}: the database refuses a value ({type(problem.orig).__name__} {code})".rstrip())
    if _is_full(problem.orig, message, code):
        return MetierError(
            f"{location}: no room left to write ({message}). What was committed so far is kept; free some space and run "
            "the same command again, it goes on where it stopped."
        )
    if "locked" in message or code in _LOCKED:
        return StoreBusy(
            f"{location}: another process has been writing for over {busy_timeout_s:g} s; try again later."
        )
    if code in _REFUSED or (not code and any(part in message for part in _REFUSED_MESSAGES)):
        return StoreAway(
            f"{location}: the database does not let us in: {message}. Check the user, PGPASSWORD and the database's name."
        )
    if code.startswith(_AWAY) or (not code and _is_postgresql(problem)):
        return StoreAway(f"{location}: the database cannot be reached: {message}")
    return BadArtefact(f"{location} is not a readable traffic store: {message}")


def _is_full(error: Any, message: str, code: str) -> bool:
    if code in _FULL or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return True
    return any(part in message.lower() for part in _FULL_MESSAGES)


def _is_postgresql(problem: DBAPIError) -> bool:
    return type(problem.orig).__module__.startswith("psycopg")
