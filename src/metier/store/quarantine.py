"""Lines that could not be used: where they stand, why, and how they begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl
from sqlalchemy import ColumnElement, Connection, func, or_, select

from metier.store.digests import row_digest, to_hex
from metier.store.statements import insert_tuples
from metier.store.tables import quarantine

EXCERPT_BYTES = 2_000
# SQLite takes at most 32,766 parameters in one statement.
_DIGESTS_PER_QUERY = 10_000
_COLUMNS = ("import_id", "path", "line", "reason", "detail", "excerpt", "size_bytes", "digest", "time")
_SHOWN = ("path", "line", "reason", "detail", "excerpt", "size_bytes", "time")


class Refused(NamedTuple):
    """A line that cannot be used: a short `reason` to count by, a `detail`, the beginning of it and its full size. `place`
    tells apart what stands on one line."""

    line: int
    reason: str
    detail: str
    raw: bytes
    size_bytes: int
    place: str = ""


def add_refused(connection: Connection, import_id: int, path: str, refused: Sequence[Refused], now: float) -> None:
    """Quarantine lines; those that are there already are passed over."""
    rows = {row[7]: row for row in (_row(line, import_id, path, now) for line in refused)}
    digests = list(rows)
    for start in range(0, len(digests), _DIGESTS_PER_QUERY):
        # A file that has grown since its last import is read again from its start: its bad lines are known already.
        query = select(quarantine.c.digest).where(quarantine.c.digest.in_(digests[start : start + _DIGESTS_PER_QUERY]))
        for digest in connection.execute(query).scalars():
            del rows[digest]
    insert_tuples(connection, quarantine, _COLUMNS, list(rows.values()))


def count_refused(connection: Connection, path: str | None = None) -> dict[str, int]:
    """Quarantined lines by reason, most frequent first; of one file where `path` is given."""
    query = select(quarantine.c.reason, func.count()).group_by(quarantine.c.reason)
    query = query.order_by(func.count().desc(), quarantine.c.reason)
    if path is not None:
        query = query.where(_of_file(path))
    return {reason: int(n) for reason, n in connection.execute(query)}


def read_refused(
    connection: Connection,
    limit: int | None = 50,
    reason: str | None = None,
    path: str | None = None,
    offset: int = 0,
) -> pl.DataFrame:
    """Quarantined lines in the order they were met: path, line, reason, detail, excerpt (at most EXCERPT_BYTES),
    size_bytes (of the whole line), time (of the import)."""
    query = select(*(quarantine.c[name] for name in _SHOWN)).order_by(quarantine.c.seq)
    if reason is not None:
        query = query.where(quarantine.c.reason == reason)
    if path is not None:
        query = query.where(_of_file(path))
    if limit is not None:
        query = query.limit(limit).offset(offset)
    kinds = dict.fromkeys(_SHOWN, pl.String()) | {"line": pl.Int64(), "size_bytes": pl.Int64(), "time": pl.Float64()}
    rows = [tuple(row) for row in connection.execute(query)]
    return pl.DataFrame(rows, schema=pl.Schema(kinds), orient="row")


def _of_file(path: str) -> ColumnElement[bool]:
    """The file by the path it was imported under, or by its name alone."""
    return or_(quarantine.c.path == path, quarantine.c.path.endswith(f"/{path}", autoescape=True))


def _row(line: Refused, import_id: int, path: str, now: float) -> tuple[Any, ...]:
    excerpt = _storable(line.raw[:EXCERPT_BYTES].decode("utf-8", "backslashreplace"))
    # Escapes make it longer: cut again, so that the promise holds for what is stored.
    excerpt = excerpt.encode()[:EXCERPT_BYTES].decode("utf-8", "ignore")
    digest = to_hex(row_digest(path, line.raw, line.place, f"{line.line} {line.reason} {line.size_bytes}"))
    return import_id, path, line.line, line.reason, _storable(line.detail), excerpt, line.size_bytes, digest, now


def _storable(text: str) -> str:
    """PostgreSQL cannot hold NUL characters in a text."""
    return text.replace("\x00", "\\x00")
