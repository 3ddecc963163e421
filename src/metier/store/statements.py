"""INSERT: in bulk, and with ON CONFLICT, which SQLite and PostgreSQL both know but spell in dialects of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam
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


def insert_tuples(
    connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows given as tuples in the order of `names`; faster than Core itself, which makes a dictionary of each."""
    if not rows:
        return
    statement = table.insert().values({name: bindparam(name) for name in names}).compile(dialect=connection.dialect)
    if statement.positiontup is None:
        values: Any = [dict(zip(names, row, strict=True)) for row in rows]
    else:
        order = [names.index(name) for name in statement.positiontup]
        values = rows if order == list(range(len(names))) else [tuple(row[i] for i in order) for row in rows]
    connection.exec_driver_sql(str(statement), values)
