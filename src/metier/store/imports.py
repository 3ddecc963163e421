"""Imports: which files, and which runs of a gateway, the traces came from, and how far each has been read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from metier.errors import BadArtefact
from metier.store.digests import to_hex
from metier.store.tables import imports


@dataclass(frozen=True)
class ImportRecord:
    """One import as the store knows it. `quarantined`, `skipped` and `warnings` count by reason. `n_present` traces were
    already there, `n_judged` of them gained a feedback or a correction."""

    id: int
    path: str
    sha256: str
    size_bytes: int
    format: str
    dataset: str | None
    done: bool
    n_items: int
    n_added: int
    n_present: int
    n_judged: int
    quarantined: dict[str, int]
    skipped: dict[str, int]
    warnings: dict[str, int]
    started_at: float
    finished_at: float | None


def begin(
    connection: Connection,
    *,
    path: str,
    sha256: str,
    size_bytes: int,
    format: str,
    dataset: str | None,
    now: float,
) -> ImportRecord:
    """The record of importing these bytes in this way: a new one, or that of an earlier run to go on with."""
    key = json.dumps([sha256, format, dataset])
    found = connection.execute(select(imports).where(imports.c.key == key)).one_or_none()
    if found is None:
        values = {
            "key": key,
            "path": path,
            "sha256": sha256,
            "size_bytes": size_bytes,
            "format": format,
            "dataset": dataset,
            "state": "running",
            **dict.fromkeys(("n_items", "n_added", "n_present", "n_judged"), 0),
            **dict.fromkeys(("skipped", "warnings", "quarantined"), "{}"),
            "digest": to_hex(0),
            "started_at": now,
        }
        connection.execute(imports.insert().values(values))
        found = connection.execute(select(imports).where(imports.c.key == key)).one()
    return record(found)


def locked(connection: Connection, import_id: int) -> Row[Any]:
    """The row of an import, which no other transaction changes until this one ends.

    Raises BadArtefact where it is not there: the database is another than the one in which the import began.
    """
    query = select(imports).where(imports.c.id == import_id).with_for_update()
    found = connection.execute(query).one_or_none()
    if found is None:
        raise BadArtefact(f"the database holds no import number {import_id}: it is not the one in which it began")
    return found


def change(connection: Connection, import_id: int, values: Mapping[str, Any]) -> ImportRecord:
    """Set columns of an import, and give its record afterwards."""
    connection.execute(update(imports).where(imports.c.id == import_id).values(**values))
    return record(connection.execute(select(imports).where(imports.c.id == import_id)).one())


def finish(connection: Connection, import_id: int, now: float) -> ImportRecord:
    """Mark an import as complete: from now on its file is known."""
    return change(connection, import_id, {"state": "done", "finished_at": now})


def read_imports(connection: Connection) -> tuple[ImportRecord, ...]:
    """Every import, oldest first."""
    return tuple(record(row) for row in connection.execute(select(imports).order_by(imports.c.id)))


def counted(before: str, more: Mapping[str, int]) -> str:
    """Counts by reason as JSON text, with more added."""
    if not more:
        return before
    return json.dumps(dict(Counter(json.loads(before)) + Counter(more)), sort_keys=True)


def record(row: Row[Any]) -> ImportRecord:
    """A row of the table `imports` as an ImportRecord."""
    return ImportRecord(
        id=row.id,
        path=row.path,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        format=row.format,
        dataset=row.dataset,
        done=row.state == "done",
        n_items=row.n_items,
        n_added=row.n_added,
        n_present=row.n_present,
        n_judged=row.n_judged,
        quarantined=json.loads(row.quarantined),
        skipped=json.loads(row.skipped),
        warnings=json.loads(row.warnings),
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
