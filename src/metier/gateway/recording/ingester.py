"""The ingester: one for each journal, brings its lines into the database, now or when the database is back."""

from __future__ import annotations

import fcntl
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from metier.errors import BadInput, MetierError
from metier.gateway.recording.counters import ACCEPTED, GOODBYE, INGESTED, INGESTED_BYTES, JOURNALLED
from metier.gateway.recording.loading import NOT_ON_DISK, Elsewhere, Load, decoded, refusing, write_load
from metier.gateway.recording.revoking import DeltaOf, Watch
from metier.gateway.recording.streams import Portion, Stream, find_streams
from metier.gateway.recording.traces import Redact
from metier.store import imports
from metier.store.database import Database, open_database
from metier.store.imports import ImportRecord, counted

# One transaction: large enough that a backlog is worked off quickly, small enough for memory and for readers.
MAX_LINES = 5_000
MAX_BYTES = 16 * 1024**2
POLL_S = 0.25
_STEP_S = 0.05
# How long the database may be locked by another process before the ingester says so; it tries again in any case.
BUSY_TIMEOUT_S = 5.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0
_LOCK = ".ingester.lock"
LOST = "lost: the worker was killed"
DROPPED = "dropped: no room to write them"

Note = Callable[[str, Mapping[str, Any]], None]


class Ingester:
    """Brings the journal below `root` into the store at `location`.

    Exactly once: how far a worker's stream has been read stands in the row of the table `imports` that the stream has, and
    changes in the transaction that brings its lines. Whatever the database does, `run` goes on and tries again; `trouble`
    says why it does not get on.

    `redact` takes out of a text what takes longer than a worker has time for (personal data; secrets are out already).
    `delta_of` gives the delta of a policy's certificate. `note` gets a message and its fields where something happened
    that a person should know. `clock` is seconds since 1970.
    """

    def __init__(
        self,
        root: Path,
        location: str,
        *,
        redact: Redact | None = None,
        delta_of: DeltaOf = lambda _policy_id: None,
        note: Note = lambda _message, _fields: None,
        clock: Callable[[], float] = time.time,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        self.trouble: str | None = None
        self._root = root
        self._location = location
        self._redact = redact
        self._watch = Watch(delta_of)
        self._note = note
        self._clock = clock
        self._busy_timeout_s = busy_timeout_s
        self._database: Database | None = None
        self._was_open = False
        self._streams: dict[str, Stream] = {}
        self._imports: dict[str, int] = {}
        self._counts = dict.fromkeys(("ingested", "quarantined", "lost", "dropped", "revoked", "failures"), 0)

    def figures(self) -> Mapping[str, float]:
        """Since the start: ingested (lines), quarantined, lost (with killed workers), dropped (by workers that have ended),
        revoked, failures (of transactions); and now: backlog (lines in the journal), in_trouble (0 or 1)."""
        backlog = sum(_backlog(stream) for stream in list(self._streams.values()))
        return {**self._counts, "backlog": float(backlog), "in_trouble": float(self.trouble is not None)}

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set and everything that workers who have ended left is in the database, or the database is
        in trouble then: what is left is brought in by the next run. Never raises for a fault of database or journal."""
        with self._alone(stop) as is_alone:
            pause_s = _FIRST_PAUSE_S
            while is_alone:
                is_last = stop.is_set()
                is_busy = self.step()
                if is_last and (self.trouble is not None or not is_busy):
                    break
                if self.trouble is not None:
                    _wait(stop, pause_s)
                    pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
                    continue
                pause_s = _FIRST_PAUSE_S
                if not is_busy and not is_last:
                    _wait(stop, POLL_S)
        self.close()

    def step(self) -> bool:
        """Bring in one portion of each stream; True where there may be more at once."""
        try:
            is_busy = self._step()
        except MetierError as problem:
            self._failed(str(problem))
        except Exception as problem:
            # Not foreseen, and no reason to stop recording: shown by its kind, for its text may hold anything.
            self._failed(f"unexpected {type(problem).__name__}")
        else:
            if self.trouble is not None:
                self._note("the database takes traces again", {})
            self.trouble = None
            return is_busy
        return False

    def close(self) -> None:
        """Gives files and connections back."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        self._leave_database()

    @contextmanager
    def _alone(self, stop: threading.Event) -> Iterator[bool]:
        """Waits until no other process brings this journal in: several gateways of one project share it."""
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    _wait(stop, POLL_S)
                    if stop.is_set():
                        yield False
                        return
                else:
                    yield True
                    return
        finally:
            os.close(descriptor)

    def _step(self) -> bool:
        database = self._open()
        for folder in find_streams(self._root):
            if folder.name not in self._streams:
                self._streams[folder.name] = Stream(folder)
        is_busy = False
        for stream in list(self._streams.values()):
            # Asked before reading: what a worker wrote before it ended is then read for certain.
            was_alive = stream.is_alive()
            portion = self._bring_in(database, stream)
            if portion.lines or portion.n_missing:
                is_busy = is_busy or portion.has_more or not was_alive
            elif not was_alive:
                self._end(database, stream)
        return is_busy

    def _open(self) -> Database:
        if self._database is None:
            self._database = open_database(
                self._location, busy_timeout_s=self._busy_timeout_s, durable=True, create=not self._was_open
            )
            self._was_open = True
            self._revoke(self._database, None)
        return self._database

    def _bring_in(self, database: Database, stream: Stream) -> Portion:
        if stream.name not in self._imports:
            begun = database.write(lambda connection: self._begin(connection, stream.name))
            self._imports[stream.name] = begun.id
            stream.seek(begun.n_items)
            stream.n_missing = begun.skipped.get(NOT_ON_DISK, 0)
            if stream.counters is not None:
                stream.counters[INGESTED] = begun.n_items
        portion = stream.read(MAX_LINES, MAX_BYTES)
        if portion.lines or portion.n_missing:
            try:
                self._store(database, stream, portion)
            except Elsewhere:
                del self._imports[stream.name]
                return portion
            except BaseException:
                stream.seek(stream.position)
                raise
        return portion

    def _begin(self, connection: Connection, name: str) -> ImportRecord:
        return imports.begin(
            connection,
            path=f"gateway:{platform.node()}:{name}",
            sha256=name,
            size_bytes=0,
            format="gateway",
            dataset=None,
            now=self._clock(),
        )

    def _store(self, database: Database, stream: Stream, portion: Portion) -> None:
        """Store a portion; where the database refuses a value in it, its halves, down to the line with that value."""
        try:
            load = decoded(portion, stream.position, self._redact)
            self._commit(database, stream, portion, load)
        except BadInput as problem:
            if len(portion.lines) <= 1:
                self._commit(database, stream, portion, refusing(portion, stream.position, problem))
                return
            half = len(portion.lines) // 2
            for lines, first, missing in (
                (portion.lines[:half], portion.first, portion.n_missing),
                (portion.lines[half:], portion.first + half, 0),
            ):
                self._store(database, stream, Portion(first, lines, missing, sum(map(len, lines))))

    def _commit(self, database: Database, stream: Stream, portion: Portion, load: Load) -> None:
        import_id = self._imports[stream.name]
        database.require_in_place()
        before, after = stream.position, self._clock()
        record = database.write(lambda connection: write_load(connection, import_id, load, after))
        # Where the file was moved away meanwhile, the lines went with it, and are brought into the one that comes.
        database.require_in_place()
        stream.advance(portion)
        self._counts["ingested"] += stream.position - before
        self._counts["quarantined"] += len(load.refused)
        if stream.counters is not None:
            stream.counters[INGESTED] = record.n_items
            stream.counters[INGESTED_BYTES] += portion.n_bytes
        if load.audits:
            self._revoke(database, {row.policy_id for row in load.audits})

    def _revoke(self, database: Database, policy_ids: set[str] | None) -> None:
        for revocation in self._watch.revoke(database, policy_ids):
            self._counts["revoked"] += 1
            self._note("a certificate is revoked", {"task": revocation.task, "policy": revocation.policy_id,
                                                    "reason": revocation.reason})  # fmt: skip

    def _end(self, database: Database, stream: Stream) -> None:
        """A worker has ended, and all that it wrote is in the database: say what it did not write."""
        import_id, counters = self._imports[stream.name], stream.counters
        found = stream.position - stream.n_missing
        accepted = counters[ACCEPTED] if counters is not None else found
        dropped = counters.dropped if counters is not None else 0
        # After a power failure the counters may be older than the lines.
        lost = max(0, accepted - dropped - found)
        is_clean = counters is not None and counters[GOODBYE] == 1

        def work(connection: Connection) -> None:
            before = imports.locked(connection, import_id)
            if before.state == "done":
                return  # by an ingester that died before it could remove the folder
            missed = {name: n for name, n in ((LOST, lost), (DROPPED, dropped)) if n}
            imports.change(connection, import_id, {"skipped": counted(before.skipped, missed)})
            imports.finish(connection, import_id, self._clock())

        database.write(work)
        self._counts["lost"] += lost
        self._counts["dropped"] += dropped
        if not is_clean or lost or dropped:
            self._note(
                _ending(is_clean),
                {
                    "stream": stream.name,
                    "accepted": accepted,
                    "journalled": found,
                    "dropped": dropped,
                    "lost": lost,
                    "torn_bytes": stream.torn_bytes(),
                },
            )
        stream.remove()
        del self._streams[stream.name], self._imports[stream.name]

    def _failed(self, reason: str) -> None:
        self._counts["failures"] += 1
        if reason != self.trouble:
            self._note("the database does not take traces; they wait in the journal", {"reason": reason})
        self.trouble = reason
        self._leave_database()

    def _leave_database(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        # The next may be another: how far it has got is read from it.
        self._imports.clear()
        self._watch.forget()


def _wait(stop: threading.Event, seconds: float) -> None:
    """Until `stop` is set, at most so long. Not by `stop.wait`: it holds a lock for a moment, for which a signal handler
    that sets `stop` in the same thread would wait forever."""
    until = time.monotonic() + seconds
    while not stop.is_set() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _STEP_S))


def _ending(is_clean: bool) -> str:
    return "a worker dropped calls" if is_clean else "a worker ended without goodbye"


def _backlog(stream: Stream) -> int:
    counters = stream.counters
    return 0 if counters is None else max(0, counters[JOURNALLED] - stream.position)
