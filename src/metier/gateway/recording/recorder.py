"""The Recorder of a worker: takes finished calls in a microsecond, and lets a thread of its own write the journal."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from metier.artefacts.traffic import Feedback
from metier.errors import MetierError
from metier.gateway.calls import AuditOutcome, CallRecord
from metier.gateway.errors import ApiError
from metier.gateway.recording.counters import (
    ACCEPTED,
    DROPPED_BAD,
    DROPPED_FULL,
    GOODBYE,
    INGESTED,
    INGESTED_BYTES,
    JOURNALLED,
    JOURNALLED_BYTES,
)
from metier.gateway.recording.finding import Answers, Recent
from metier.gateway.recording.journal import Journal
from metier.gateway.recording.lines import JudgementLine, encode
from metier.gateway.recording.traces import EMBEDDINGS_PATH, LineMaker, Redact

MAX_CALLS = 20_000
MAX_BYTES = 128 * 1024**2
# What a kill can undo is what came in since the last flush.
FLUSH_S = 0.02
SYNC_S = 1.0
# A full disk is tried again this often.
RETRY_S = 0.5
CLOSE_S = 5.0
_CHUNK_BYTES = 256 * 1024
# The event loop waits for the interpreter's lock while a line is made: the thread lets go of it after so long, and long
# enough for the loop to take it. Shorter slices cost more than they give: each change of threads takes some microseconds.
_SLICE_S = 500e-6
_LET_GO_S = 50e-6
_RECORD_BYTES = 1_000  # of a record's own, beside its texts

_Item = CallRecord | AuditOutcome | JudgementLine


class JournalRecorder:
    """Records into `journal`; judgements of answers that are not recent ones are looked up in the store at `location`.

    `redact` takes the secrets out of a text (JSON text included) before anything is written. What waits to be written is
    bounded (`max_calls`, `max_bytes`); what comes on top is dropped and counted. `note` gets a message and its fields
    where something happened that a person should know. Call `record` and `judge` from one thread, the event loop's;
    `close` at the end.
    """

    def __init__(
        self,
        journal: Journal,
        location: str,
        redact: Redact,
        *,
        note: Callable[[str, Mapping[str, Any]], None] = lambda _message, _fields: None,
        max_calls: int = MAX_CALLS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._journal = journal
        self._counters = journal.counters
        self._maker = LineMaker(redact)
        self._note = note
        self._recent = Recent()
        self._answers = Answers(location, journal.folder.parent)
        self._max_calls, self._max_bytes = max_calls, max_bytes
        self._waiting: deque[tuple[_Item, int]] = deque()
        # Two sums, each written by one thread alone.
        self._bytes_in = self._bytes_out = 0
        self._unwritten: list[bytes] = []
        self._stalled = False
        self._last: dict[str, float] = {}
        self._closing = threading.Event()
        self._closed = False
        self._flusher = threading.Thread(target=self._flush_always, name="metier-journal", daemon=True)
        self._syncer = threading.Thread(target=self._sync_always, name="metier-journal-sync", daemon=True)
        self._flusher.start()
        self._syncer.start()

    def record(self, record: CallRecord) -> None:
        """Keep a finished call; see gateway.protocols.Recorder."""
        if self._take(record, size_bytes(record)) and not record.endpoint.endswith(EMBEDDINGS_PATH):
            self._recent.add(record.trace_id, record.response_id)

    def audited(self, outcome: AuditOutcome) -> None:
        """Keep what an audit found; see gateway.protocols.Recorder."""
        self._take(outcome, _RECORD_BYTES + len(outcome.reference or ""))

    async def judge(self, response_id: str, feedback: str | None, correction: str | None) -> bool:
        """Keep a judgement of an answer; see gateway.protocols.Recorder."""
        found = self._recent.find(response_id)
        if not found:
            try:
                found = await self._answers.find(response_id)
            except MetierError as problem:
                raise ApiError(
                    503,
                    "the database is away, and the answer is not one of the last; try again later",
                    "api_error",
                    "database_unavailable",
                    headers=(("retry-after", "5"),),
                ) from problem
        if not found:
            return False
        if len(found) > 1:
            raise ApiError(
                409,
                "several answers have this id; give the trace id of one (the header x-metier-trace)",
                code="ambiguous_id",
            )
        line = JudgementLine(found[0], _feedback(feedback), correction)
        if not self._take(line, _RECORD_BYTES + len(correction or "")):
            raise ApiError(503, "no room left to keep the judgement; try again later", "api_error", "journal_full")
        return True

    def figures(self) -> Mapping[str, float]:
        """queue_depth: waiting to be written. spilled_traces, spilled_bytes: in the journal, not yet in the database.
        dropped_traces: lost for want of room. written_traces: in the database. Judgements count as traces do."""
        if self._closed:
            return self._last
        counters = self._counters
        return {
            "queue_depth": float(len(self._waiting) + len(self._unwritten)),
            "spilled_traces": float(max(0, counters[JOURNALLED] - counters[INGESTED])),
            "spilled_bytes": float(max(0, counters[JOURNALLED_BYTES] - counters[INGESTED_BYTES])),
            "dropped_traces": float(counters.dropped),
            "written_traces": float(counters[INGESTED]),
        }

    def close(self) -> None:
        """Write what waits, for CLOSE_S at most where the disk is full (the rest is dropped and counted); say goodbye."""
        if self._closed:
            return
        self._closing.set()
        self._flusher.join()
        self._syncer.join()
        n_left = len(self._waiting) + len(self._unwritten)
        self._counters[DROPPED_FULL] += n_left
        if n_left:
            self._note("calls dropped: the journal could not be written", {"n_dropped": n_left})
        self._counters[GOODBYE] = 1
        self._last = dict(self.figures()) | {"queue_depth": 0.0}
        self._closed = True
        self._journal.close()
        self._answers.close()

    def _take(self, item: _Item, n_bytes: int) -> bool:
        if self._closed:
            return False
        self._counters[ACCEPTED] += 1
        if len(self._waiting) >= self._max_calls or self._bytes_in - self._bytes_out + n_bytes > self._max_bytes:
            self._counters[DROPPED_FULL] += 1
            return False
        self._bytes_in += n_bytes
        self._waiting.append((item, n_bytes))
        return True

    # The threads

    def _flush_always(self) -> None:
        give_up_at = None
        while True:
            is_last = self._closing.is_set()
            if is_last and give_up_at is None:
                give_up_at = time.monotonic() + CLOSE_S
            while self._waiting or self._unwritten:
                if not self._flush():
                    break
            if is_last and (not self._stalled or time.monotonic() >= (give_up_at or 0)):
                return
            time.sleep(RETRY_S if self._stalled else FLUSH_S)

    def _flush(self) -> bool:
        """Write one chunk; False where there is no room."""
        if not self._unwritten:
            self._unwritten = self._lines()
        if not self._unwritten:
            return True
        try:
            self._journal.append(b"".join(self._unwritten), len(self._unwritten))
        except OSError as problem:
            if not self._stalled:
                self._note("the journal cannot be written", {"reason": problem.strerror or str(problem)})
            self._stalled = True
            return False
        if self._stalled:
            self._note("the journal can be written again", {})
        self._stalled = False
        self._unwritten = []
        return True

    def _lines(self) -> list[bytes]:
        lines: list[bytes] = []
        n_bytes = 0
        slice_end = time.perf_counter() + _SLICE_S
        while self._waiting and n_bytes < _CHUNK_BYTES:
            item, size = self._waiting.popleft()
            line = self._line(item)
            self._bytes_out += size
            if line is not None:
                lines.append(line)
                n_bytes += len(line)
            if time.perf_counter() >= slice_end:
                time.sleep(_LET_GO_S)
                slice_end = time.perf_counter() + _SLICE_S
        return lines

    def _line(self, item: _Item) -> bytes | None:
        try:
            if isinstance(item, JudgementLine):
                correction = self._maker.clean(item.correction)
                return encode(JudgementLine(item.trace_id, item.feedback, correction))
            if isinstance(item, AuditOutcome):
                return encode(self._maker.audit_line(item))
            return encode(self._maker.line(item))
        except Exception as problem:
            # Whatever a client or an upstream sent: one call must not stop the recording of the others.
            self._counters[DROPPED_BAD] += 1
            self._note("a call could not be recorded", {"reason": type(problem).__name__})
            return None

    def _sync_always(self) -> None:
        failing = False
        while not self._closing.wait(SYNC_S):
            try:
                self._journal.sync()
                failing = False
            except OSError as problem:
                if not failing:
                    self._note("the journal cannot be flushed to disk", {"reason": problem.strerror or str(problem)})
                failing = True


def size_bytes(record: CallRecord) -> int:
    """About how much memory a record takes, without walking all of it."""
    total = _RECORD_BYTES + len(record.response or "")
    messages = record.request.get("messages") or record.request.get("input")
    if isinstance(messages, str):
        return total + len(messages)
    if isinstance(messages, list):
        for message in messages:
            if type(message) is dict:
                total += _content_bytes(message.get("content"))
    return total


def _content_bytes(content: object) -> int:
    if type(content) is str:
        return len(content)
    if type(content) is not list:
        return 0
    total = 0
    for part in content:
        if type(part) is dict:
            for value in part.values():
                inner = value.get("url") or value.get("data") if type(value) is dict else value
                total += len(inner) if type(inner) is str else 0
    return total


def _feedback(value: str | None) -> Feedback | None:
    return "correct" if value == "correct" else "wrong" if value == "wrong" else None
