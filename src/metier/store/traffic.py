"""TrafficStore: traces in a database, added in transactions that leave it whole whenever the process dies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from sqlalchemy import ColumnElement, Connection, Row, Select, Table, bindparam, func, or_, select, update

from metier.artefacts.traffic import TRACE_SCHEMA, Trace
from metier.errors import BadInput, StoreBusy
from metier.store.database import explained, open_engine, writing
from metier.store.digests import add_digests, row_digest, to_hex, trace_content
from metier.store.tables import imports, quarantine, traces

EXCERPT_BYTES = 2_000
DUPLICATE_ID = "duplicate id with different content"
# SQLite takes at most 32,766 parameters in one statement.
_IDS_PER_QUERY = 10_000
_TRACE_COLUMNS = tuple(TRACE_SCHEMA)
_trace_values = attrgetter(*_TRACE_COLUMNS)
_ADDED_COLUMNS = (*_TRACE_COLUMNS, "content", "import_id", "line")
_QUARANTINE_COLUMNS = ("import_id", "path", "line", "reason", "detail", "excerpt", "size_bytes", "digest", "time")


class Located(NamedTuple):
    """A trace and the line (1-based) of its file; `raw` is kept for the case that it has to be quarantined. `place` tells
    apart what stands on one line."""

    trace: Trace
    line: int
    raw: bytes
    place: str = ""


class Refused(NamedTuple):
    """A line that cannot be used: a short `reason` to count by, a `detail`, the beginning of it and its full size."""

    line: int
    reason: str
    detail: str
    raw: bytes
    size_bytes: int
    place: str = ""


@dataclass(frozen=True)
class Batch:
    """What one transaction writes. `n_items` lines or records have been read since the previous batch."""

    traces: Sequence[Located]
    refused: Sequence[Refused]
    n_items: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)


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


class _Known(NamedTuple):
    content: bytes
    feedback: str | None
    correction: str | None


@dataclass
class _Sorted:
    """A batch, sorted by what is to be done with each trace."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    judged: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    conflicts: list[Refused] = field(default_factory=list)
    n_present: int = 0
    digest: int = 0


class TrafficStore:
    """Traffic in a database. `location` is the path of a SQLite file (made if absent) or a database URL.

    Fulfils the Traffic protocol. Reading never blocks an import and shows only whole transactions. Close it, or use it as a
    context manager. Raises BadArtefact for a file that is no store, StoreBusy where another process writes for too long.
    """

    def __init__(self, location: str | Path) -> None:
        self.location = str(location)
        self._engine = open_engine(location)

    def __enter__(self) -> TrafficStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the database's connections back."""
        self._engine.dispose()

    # Traffic

    @property
    def id(self) -> str:
        """Digest of every trace and its judgement, whatever the order they came in; read from one row an import."""
        with self._reading() as connection:
            digests = connection.execute(select(imports.c.digest)).scalars().all()
        return to_hex(add_digests(0, *(int(digest, 16) for digest in digests)))

    def __len__(self) -> int:
        with self._reading() as connection:
            return int(connection.execute(select(func.coalesce(func.sum(imports.c.n_added), 0))).scalar_one())

    def batches(self, columns: tuple[str, ...] = (), size: int = 20_000) -> Iterator[pl.DataFrame]:
        """Frames of at most `size` rows in the order the traces came in; those added after the first frame are left out."""
        names = _checked(columns)
        with self._reading() as connection:
            last = connection.execute(select(func.max(traces.c.seq))).scalar() or 0
        seen = 0
        while seen < last:
            query = select(traces.c.seq, *(traces.c[name] for name in names))
            query = query.where(traces.c.seq > seen, traces.c.seq <= last).order_by(traces.c.seq).limit(size)
            rows = self._rows(query)
            if not rows:
                return
            seen = rows[-1][0]
            yield _frame(rows, names)

    def select(self, ids: pl.Series, columns: tuple[str, ...] = ()) -> pl.DataFrame:
        """The traces with these ids, in the traffic's order; ids that are not there are passed over."""
        names = _checked(columns)
        rows: list[Row[Any]] = []
        wanted = ids.drop_nulls().unique().to_list()
        for start in range(0, len(wanted), _IDS_PER_QUERY):
            query = select(traces.c.seq, *(traces.c[name] for name in names))
            rows += self._rows(query.where(traces.c.id.in_(wanted[start : start + _IDS_PER_QUERY])))
        return _frame(sorted(rows, key=lambda row: int(row[0])), names)

    # Imports

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Holds the right to import into this store; raises StoreBusy at once where another process holds it."""
        if self._engine.dialect.name != "sqlite" or not self._engine.url.database:
            yield
            return
        from filelock import FileLock, Timeout

        lock = FileLock(f"{self._engine.url.database}.import.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as problem:
            raise StoreBusy(f"{self.location}: another import is running; try again when it is done.") from problem
        try:
            yield
        finally:
            lock.release()

    def begin_import(
        self, *, path: str, sha256: str, size_bytes: int, format: str, dataset: str | None, now: float
    ) -> ImportRecord:
        """The record of importing these bytes in this way: a new one, or that of an earlier run to go on with."""
        key = json.dumps([sha256, format, dataset])
        with explained(self.location), writing(self._engine) as connection:
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
        return _record(found)

    def add(self, import_id: int, batch: Batch, now: float) -> ImportRecord:
        """Writes a batch in one transaction, all or nothing, and gives the import's record after it.

        A trace whose id is there with the same content is passed over (its feedback and correction are taken over where
        they are new); one whose id is there with another content goes to quarantine.
        """
        with explained(self.location), writing(self._engine) as connection:
            before = connection.execute(select(imports).where(imports.c.id == import_id)).one()
            done = _sort(batch.traces, self._known(connection, batch.traces), import_id)
            refused = [*batch.refused, *done.conflicts]
            self._insert(connection, traces, _ADDED_COLUMNS, done.rows)
            self._quarantine(connection, import_id, before.path, refused, now)
            self._judge(connection, done.judged)
            values = {
                "n_items": before.n_items + batch.n_items,
                "n_added": before.n_added + len(done.rows),
                "n_present": before.n_present + done.n_present,
                "n_judged": before.n_judged + len(done.judged),
                "skipped": _counted(before.skipped, batch.skipped),
                "warnings": _counted(before.warnings, batch.warnings),
                "quarantined": _counted(before.quarantined, Counter(line.reason for line in refused)),
                "digest": to_hex(add_digests(int(before.digest, 16), done.digest)),
            }
            connection.execute(update(imports).where(imports.c.id == import_id).values(values))
            after = connection.execute(select(imports).where(imports.c.id == import_id)).one()
        return _record(after)

    def finish_import(self, import_id: int, now: float) -> ImportRecord:
        """Marks an import as complete: from now on its file is known."""
        with explained(self.location), writing(self._engine) as connection:
            done = {"state": "done", "finished_at": now}
            connection.execute(update(imports).where(imports.c.id == import_id).values(done))
            row = connection.execute(select(imports).where(imports.c.id == import_id)).one()
        return _record(row)

    def import_records(self) -> tuple[ImportRecord, ...]:
        """Every import, oldest first."""
        return tuple(_record(row) for row in self._rows(select(imports).order_by(imports.c.id)))

    # Quarantine

    def quarantine_counts(self, path: str | None = None) -> dict[str, int]:
        """Quarantined lines by reason, most frequent first; of one file where `path` is given."""
        query = select(quarantine.c.reason, func.count()).group_by(quarantine.c.reason)
        query = query.order_by(func.count().desc(), quarantine.c.reason)
        if path is not None:
            query = query.where(_of_file(path))
        with self._reading() as connection:
            return {reason: int(n) for reason, n in connection.execute(query)}

    def quarantine_rows(
        self, limit: int | None = 50, reason: str | None = None, path: str | None = None, offset: int = 0
    ) -> pl.DataFrame:
        """Quarantined lines in the order they were met: path, line, reason, detail, excerpt (at most EXCERPT_BYTES),
        size_bytes (of the whole line), time (of the import)."""
        names = ("path", "line", "reason", "detail", "excerpt", "size_bytes", "time")
        query = select(*(quarantine.c[name] for name in names)).order_by(quarantine.c.seq)
        if reason is not None:
            query = query.where(quarantine.c.reason == reason)
        if path is not None:
            query = query.where(_of_file(path))
        if limit is not None:
            query = query.limit(limit).offset(offset)
        kinds = dict.fromkeys(names, pl.String()) | {"line": pl.Int64(), "size_bytes": pl.Int64(), "time": pl.Float64()}
        return pl.DataFrame([tuple(row) for row in self._rows(query)], schema=pl.Schema(kinds), orient="row")

    # Mechanism

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with explained(self.location), self._engine.connect() as connection:
            yield connection

    def _rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with self._reading() as connection:
            return connection.execute(query).all()

    def _known(self, connection: Connection, located: Sequence[Located]) -> dict[str, _Known]:
        ids = list({item.trace.id for item in located})
        columns = traces.c.id, traces.c.content, traces.c.feedback, traces.c.correction
        known: dict[str, _Known] = {}
        for start in range(0, len(ids), _IDS_PER_QUERY):
            query: Select[Any] = select(*columns).where(traces.c.id.in_(ids[start : start + _IDS_PER_QUERY]))
            for row in connection.execute(query):
                known[row.id] = _Known(bytes(row.content), row.feedback, row.correction)
        return known

    def _insert(
        self, connection: Connection, table: Table, names: tuple[str, ...], rows: list[tuple[Any, ...]]
    ) -> None:
        if not rows:
            return
        statement = (
            table.insert().values({name: bindparam(name) for name in names}).compile(dialect=self._engine.dialect)
        )
        if statement.positiontup is not None:
            # The driver takes tuples: Core's own path would make a dictionary of every row.
            order = [names.index(name) for name in statement.positiontup]
            values: Any = rows if order == list(range(len(names))) else [tuple(row[i] for i in order) for row in rows]
        else:
            values = [dict(zip(names, row, strict=True)) for row in rows]
        connection.exec_driver_sql(str(statement), values)

    def _quarantine(
        self, connection: Connection, import_id: int, path: str, refused: list[Refused], now: float
    ) -> None:
        rows = {row[7]: row for row in (_quarantine_row(line, import_id, path, now) for line in refused)}
        digests = list(rows)
        for start in range(0, len(digests), _IDS_PER_QUERY):
            # A file that has grown since its last import is read again from its start: its bad lines are known already.
            query = select(quarantine.c.digest).where(quarantine.c.digest.in_(digests[start : start + _IDS_PER_QUERY]))
            for digest in connection.execute(query).scalars():
                del rows[digest]
        self._insert(connection, quarantine, _QUARANTINE_COLUMNS, list(rows.values()))

    def _judge(self, connection: Connection, judged: Mapping[str, tuple[str | None, str | None]]) -> None:
        if not judged:
            return
        statement = update(traces).where(traces.c.id == bindparam("trace_id"))
        statement = statement.values(feedback=bindparam("new_feedback"), correction=bindparam("new_correction"))
        connection.execute(
            statement,
            [
                {"trace_id": trace_id, "new_feedback": feedback, "new_correction": correction}
                for trace_id, (feedback, correction) in judged.items()
            ],
        )


def _sort(located: Iterable[Located], known: dict[str, _Known], import_id: int) -> _Sorted:
    done = _Sorted()
    for item in located:
        trace = item.trace
        content = trace_content(trace)
        seen = known.get(trace.id)
        if seen is None:
            known[trace.id] = _Known(content, trace.feedback, trace.correction)
            done.rows.append((*_trace_values(trace), content, import_id, item.line))
            done.digest = add_digests(done.digest, row_digest(trace.id, content, trace.feedback, trace.correction))
        elif seen.content != content:
            detail = f"id {trace.id[:200]!r} is already there with another request or answer"
            done.conflicts.append(Refused(item.line, DUPLICATE_ID, detail, item.raw, len(item.raw), item.place))
        else:
            done.n_present += 1
            _take_judgement(done, trace, seen, known)
    return done


def _take_judgement(done: _Sorted, trace: Trace, seen: _Known, known: dict[str, _Known]) -> None:
    judgement = _Known(seen.content, trace.feedback or seen.feedback, trace.correction or seen.correction)
    if judgement == seen:
        return
    known[trace.id] = judgement
    done.judged[trace.id] = judgement.feedback, judgement.correction
    new, old = row_digest(trace.id, *judgement), row_digest(trace.id, *seen)
    done.digest = add_digests(done.digest, new, -old)


def _of_file(path: str) -> ColumnElement[bool]:
    """The file by the path it was imported under, or by its name alone."""
    return or_(quarantine.c.path == path, quarantine.c.path.endswith(f"/{path}", autoescape=True))


def _quarantine_row(line: Refused, import_id: int, path: str, now: float) -> tuple[Any, ...]:
    excerpt = line.raw[:EXCERPT_BYTES].decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
    # Escapes make it longer: cut again, so that the promise holds for what is stored.
    excerpt = excerpt.encode()[:EXCERPT_BYTES].decode("utf-8", "ignore")
    digest = to_hex(row_digest(path, line.raw, line.place, f"{line.line} {line.reason} {line.size_bytes}"))
    return import_id, path, line.line, line.reason, line.detail, excerpt, line.size_bytes, digest, now


def _counted(before: str, more: Mapping[str, int]) -> str:
    if not more:
        return before
    return json.dumps(dict(Counter(json.loads(before)) + Counter(more)), sort_keys=True)


def _record(row: Row[Any]) -> ImportRecord:
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


def _checked(columns: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in columns if name not in TRACE_SCHEMA]
    if unknown:
        raise BadInput(f"no column {unknown[0]!r} in a trace; there are {', '.join(_TRACE_COLUMNS)}")
    return columns or _TRACE_COLUMNS


def _frame(rows: Sequence[Row[Any]], names: tuple[str, ...]) -> pl.DataFrame:
    """Rows whose first value is the sequence number, as a frame without it."""
    schema = {name: TRACE_SCHEMA[name] for name in names}
    if not rows:
        return pl.DataFrame(schema=schema)
    values = list(zip(*rows, strict=True))[1:]
    return pl.DataFrame(
        [pl.Series(name, column, dtype=schema[name]) for name, column in zip(names, values, strict=True)]
    )
