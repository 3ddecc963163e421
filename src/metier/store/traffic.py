"""TrafficStore: traces in a database, added in transactions that leave it whole whenever the process dies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import Connection, Row, func, select

from metier.artefacts.traffic import TRACE_SCHEMA
from metier.errors import BadInput, NotFound, StoreBusy
from metier.store import imports as records
from metier.store.batches import DUPLICATE_ID, Batch, Located, write_batch
from metier.store.database import IMPORT_CACHE_MIB, IMPORTING, Database, open_database
from metier.store.digests import add_digests, to_hex
from metier.store.imports import ImportRecord
from metier.store.judging import Judgement, find, judge
from metier.store.quarantine import EXCERPT_BYTES, Refused, count_refused, read_refused
from metier.store.tables import imports, traces

__all__ = ["DUPLICATE_ID", "EXCERPT_BYTES", "Batch", "ImportRecord", "Located", "Refused", "TrafficStore"]

# SQLite takes at most 32,766 parameters in one statement.
_IDS_PER_QUERY = 10_000
_TRACE_COLUMNS = tuple(TRACE_SCHEMA)


class TrafficStore:
    """Traffic in a database. `location` is the path of a SQLite file (made if absent) or a database URL; several processes,
    on PostgreSQL also several machines, may read and write it at once.

    Fulfils the Traffic protocol. Reading never blocks an import and shows only whole transactions. Close it, or use it as a
    context manager. Raises BadArtefact for a file that is no store, StoreBusy where another process writes for too long,
    StoreAway where the server cannot be reached. What its methods raise shows no password.
    """

    def __init__(self, location: str | Path) -> None:
        self.database: Database = open_database(location, cache_mib=IMPORT_CACHE_MIB)
        self.location = self.database.location

    def __enter__(self) -> TrafficStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the database's connections back."""
        self.database.close()

    # Traffic

    @property
    def id(self) -> str:
        """Digest of every trace and its judgement, whatever the order they came in; read from one row an import."""
        with self.database.reading() as connection:
            digests = connection.execute(select(imports.c.digest)).scalars().all()
        return to_hex(add_digests(0, *(int(digest, 16) for digest in digests)))

    def __len__(self) -> int:
        with self.database.reading() as connection:
            return int(connection.execute(select(func.coalesce(func.sum(imports.c.n_added), 0))).scalar_one())

    def batches(self, columns: tuple[str, ...] = (), size: int = 20_000) -> Iterator[pl.DataFrame]:
        """Frames of at most `size` rows in the order the traces came in; those added after the first frame are left out."""
        names = _checked(columns)
        with self.database.snapshot() as connection:
            last = connection.execute(select(func.max(traces.c.seq))).scalar() or 0
            seen = 0
            while seen < last:
                query = select(traces.c.seq, *(traces.c[name] for name in names))
                query = query.where(traces.c.seq > seen, traces.c.seq <= last).order_by(traces.c.seq).limit(size)
                rows = connection.execute(query).all()
                if not self.database.is_postgresql:
                    connection.rollback()  # SQLite's log cannot be folded back past an open reader
                if not rows:
                    return
                seen = rows[-1][0]
                yield _frame(rows, names)

    def select(self, ids: pl.Series, columns: tuple[str, ...] = ()) -> pl.DataFrame:
        """The traces with these ids, in the traffic's order; ids that are not there are passed over."""
        names = _checked(columns)
        rows: list[Row[Any]] = []
        wanted = ids.drop_nulls().unique().to_list()
        with self.database.reading() as connection:
            for start in range(0, len(wanted), _IDS_PER_QUERY):
                query = select(traces.c.seq, *(traces.c[name] for name in names))
                rows += connection.execute(query.where(traces.c.id.in_(wanted[start : start + _IDS_PER_QUERY]))).all()
        return _frame(sorted(rows, key=lambda row: int(row[0])), names)

    # Imports

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Holds the right to import into this store; raises StoreBusy at once where another process holds it."""
        holding = _server_lock if self.database.is_postgresql else _file_lock
        with holding(self.database):
            yield

    def begin_import(
        self, *, path: str, sha256: str, size_bytes: int, format: str, dataset: str | None, now: float
    ) -> ImportRecord:
        """The record of importing these bytes in this way: a new one, or that of an earlier run to go on with."""

        def work(connection: Connection) -> ImportRecord:
            return records.begin(
                connection,
                path=path,
                sha256=sha256,
                size_bytes=size_bytes,
                format=format,
                dataset=dataset,
                now=now,
            )

        return self.database.write(work)

    def add(self, import_id: int, batch: Batch, now: float) -> ImportRecord:
        """Writes a batch in one transaction, all or nothing, and gives the import's record after it.

        A trace whose id is there with the same content is passed over (its feedback and correction are taken over where
        they are new); one whose id is there with another content goes to quarantine.
        """

        def work(connection: Connection) -> ImportRecord:
            return write_batch(connection, records.locked(connection, import_id), batch, now)

        return self.database.write(work)

    def finish_import(self, import_id: int, now: float) -> ImportRecord:
        """Marks an import as complete: from now on its file is known."""
        return self.database.write(lambda connection: records.finish(connection, import_id, now))

    def import_records(self) -> tuple[ImportRecord, ...]:
        """Every import, oldest first."""
        with self.database.reading() as connection:
            return records.read_imports(connection)

    # Judgements

    def find(self, answer_id: str) -> list[str]:
        """Ids of the traces whose id or response id this is; none, one, or a few where it is ambiguous."""
        with self.database.reading() as connection:
            return find(connection, answer_id)

    def judge(self, trace_id: str, feedback: str | None, correction: str | None) -> None:
        """Keeps a judgement of an answer; the store's id changes with it. Raises NotFound where there is no such trace."""

        def work(connection: Connection) -> None:
            of = connection.execute(select(traces.c.import_id).where(traces.c.id == trace_id)).scalar()
            if of is None:
                raise NotFound(f"there is no trace with the id {trace_id!r}")
            before = records.locked(connection, of)
            n_changed, digest, _ = judge(connection, [Judgement(trace_id, feedback, correction)])
            total = to_hex(add_digests(int(before.digest, 16), digest))
            records.change(connection, of, {"digest": total, "n_judged": before.n_judged + n_changed})

        self.database.write(work)

    # Quarantine

    def quarantine_counts(self, path: str | None = None) -> dict[str, int]:
        """Quarantined lines by reason, most frequent first; of one file where `path` is given."""
        with self.database.reading() as connection:
            return count_refused(connection, path)

    def quarantine_rows(
        self, limit: int | None = 50, reason: str | None = None, path: str | None = None, offset: int = 0
    ) -> pl.DataFrame:
        """Quarantined lines in the order they were met: path, line, reason, detail, excerpt (at most EXCERPT_BYTES),
        size_bytes (of the whole line), time (of the import)."""
        with self.database.reading() as connection:
            return read_refused(connection, limit, reason, path, offset)


@contextmanager
def _file_lock(database: Database) -> Iterator[None]:
    if database.file is None:
        yield
        return
    from filelock import FileLock, Timeout

    lock = FileLock(f"{database.file}.import.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as problem:
        raise _import_runs(database) from problem
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _server_lock(database: Database) -> Iterator[None]:
    """A lock of the database session: PostgreSQL gives it back by itself where the process dies."""
    with database.reading() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        if not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({IMPORTING})").scalar():
            raise _import_runs(database)
        try:
            yield
        finally:
            if not connection.closed and not connection.invalidated:
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({IMPORTING})")


def _import_runs(database: Database) -> StoreBusy:
    return StoreBusy(f"{database.location}: another import is running; try again when it is done.")


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
