"""INSERT with ON CONFLICT, which SQLite and PostgreSQL both know but spell in dialects of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *key: str) -> None:
    """Insert the rows whose `key` is not there yet; the others are passed over."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(index_elements=key), rows)


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    key: Sequence[str],
    changes: Callable[[Any], Mapping[str, Any]],
) -> None:
    """Insert the rows; where `key` is there, apply `changes`, which gets the columns of the row that was not inserted."""
    if rows:
        statement = _insert(connection, table)
        connection.execute(
            statement.on_conflict_do_update(index_elements=key, set_=dict(changes(statement.excluded))), rows
        )


def _insert(connection: Connection, table: Table) -> Any:
    return _INSERTS[connection.dialect.name](table)


_INSERTS: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
