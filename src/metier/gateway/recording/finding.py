"""Which trace an answer's id means: one of the last, kept in memory, or one in the store."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from pathlib import Path

from metier.errors import MetierError, StoreAway
from metier.gateway.recording.counters import ACCEPTED, INGESTED, JOURNALLED, Counters
from metier.store.database import Database, open_database
from metier.store.judging import find

REMEMBERED = 20_000
# Another worker's answer is in the store a moment after it was given; so long a judgement waits for it.
PATIENCE_S = 3.0
_LOOK_EVERY_S = 0.1
_BUSY_TIMEOUT_S = 2.0


class Recent:
    """The last answers of this worker by trace id and by response id."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._traces: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def add(self, trace_id: str, response_id: str | None) -> None:
        self._traces[trace_id] = (trace_id,)
        if response_id is not None and response_id != trace_id:
            # Two answers with one response id: an upstream that counts from 1 after each start.
            self._traces[response_id] = (*self._traces.get(response_id, ())[-1:], trace_id)
        while len(self._traces) > self._limit:
            self._traces.popitem(last=False)

    def find(self, answer_id: str) -> tuple[str, ...]:
        return self._traces.get(answer_id, ())


class Answers:
    """Answers in the store at `location`, and those on their way there from the workers' journals in `root`."""

    def __init__(self, location: str, root: Path) -> None:
        self._location = location
        self._root = root
        self._database: Database | None = None
        self._lock = threading.Lock()

    async def find(self, answer_id: str) -> tuple[str, ...]:
        """Ids of the traces that are meant. Raises a MetierError where the database is away."""
        found = await asyncio.to_thread(self._look, answer_id)
        if found:
            return found
        awaited = await asyncio.to_thread(self._on_their_way)
        for _ in range(int(PATIENCE_S / _LOOK_EVERY_S)):
            if not awaited:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
            there = await asyncio.to_thread(self._ingested)
            awaited = {name: n for name, n in awaited.items() if there.get(name, n) < n}
        else:
            raise StoreAway("the journal is not yet in the database")
        return await asyncio.to_thread(self._look, answer_id)

    def close(self) -> None:
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _look(self, answer_id: str) -> tuple[str, ...]:
        with self._lock:
            try:
                if self._database is None:
                    self._database = open_database(self._location, busy_timeout_s=_BUSY_TIMEOUT_S, create=False)
                self._database.require_in_place()
                with self._database.reading() as connection:
                    return tuple(find(connection, answer_id))
            except MetierError:
                if self._database is not None:
                    self._database.close()
                    self._database = None
                raise

    def _on_their_way(self) -> dict[str, int]:
        """By stream, how many lines must be in the store before an answer given until now is: those not there yet."""
        return {name: accepted for name, (accepted, ingested) in self._streams().items() if ingested < accepted}

    def _ingested(self) -> dict[str, int]:
        return {name: ingested for name, (_, ingested) in self._streams().items()}

    def _streams(self) -> dict[str, tuple[int, int]]:
        found = {}
        for folder in self._root.iterdir():
            if folder.name.startswith(".") or not folder.is_dir():
                continue
            try:
                counters = Counters(folder)
            except OSError:
                continue  # brought in and removed in this moment
            try:
                # What a dead worker had in memory will never arrive.
                expected = counters[ACCEPTED] - counters.dropped if counters.is_in_use() else counters[JOURNALLED]
                found[folder.name] = (expected, counters[INGESTED])
            finally:
                counters.close()
        return found
