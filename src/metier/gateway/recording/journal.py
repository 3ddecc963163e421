"""The journal that a worker writes: one line a call, appended to segment files, each named after its first line's number.

    <root>/<stream>/counters                what the worker has counted (recording.counters)
    <root>/<stream>/000000000000000.jsonl   lines 0 ...
    <root>/<stream>/000000000010412.jsonl   lines 10412 ...

A line is in the journal once os.write has returned: the death of the process does not undo it. `sync`, called each second,
makes it survive a power failure. The ingester removes segments whose lines are all in the database.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from metier.errors import MetierError
from metier.gateway.recording.counters import JOURNALLED, JOURNALLED_BYTES, PID, Counters

LIMIT_BYTES = 10 * 1024**3
SEGMENT_BYTES = 8 * 1024**2
SEGMENT_S = 60.0
SUFFIX = ".jsonl"

Write = Callable[[int, bytes], int]


class Journal:
    """One worker's stream of lines below `root`. `append` belongs to one thread, `sync` to one that may be another;
    `close` comes last.

    `write` is os.write; tests put a full disk in its place. `clock` is monotonic seconds. Raises MetierError where the
    folder cannot be made.
    """

    def __init__(
        self,
        root: Path,
        worker: str,
        *,
        limit_bytes: int = LIMIT_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        write: Write = os.write,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        self.folder = root / f"{stamp}-{worker}-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            self.counters = _made(self.folder)
        except OSError as problem:
            raise MetierError(
                f"{root}: the gateway's journal cannot be begun: {problem.strerror or problem}. It needs a folder that "
                "can be written to, with some room."
            ) from problem
        self._root = root
        self._limit_bytes = limit_bytes
        self._segment_bytes = segment_bytes
        self._write = write
        self._clock = clock
        self._descriptor: int | None = None
        self._size_bytes = 0
        self._opened_at = 0.0
        self._n_lines = 0
        self._used_bytes = used_bytes(root)
        self._ended: deque[int] = deque()

    def append(self, data: bytes, n_lines: int) -> None:
        """Write `n_lines` whole lines, all of them or (OSError: no room, over the limit, the disk fails) none."""
        if self._used_bytes + len(data) > self._limit_bytes:
            raise OSError(errno.ENOSPC, f"the journal has reached its limit of {self._limit_bytes:,} bytes")
        descriptor = self._segment()
        written = 0
        try:
            while written < len(data):
                written += self._write(descriptor, data[written:] if written else data)
        except OSError:
            self._take_back()
            raise
        self._size_bytes += len(data)
        self._used_bytes += len(data)
        self._n_lines += n_lines
        self.counters[JOURNALLED_BYTES] += len(data)
        self.counters[JOURNALLED] = self._n_lines

    def sync(self) -> None:
        """Make what was appended survive a power failure, and look how much room the journal takes."""
        ended = len(self._ended)
        if self._descriptor is not None:
            os.fdatasync(self._descriptor)
        for _ in range(ended):
            _sync_and_close(self._ended.popleft())
        self._used_bytes = used_bytes(self._root)

    def close(self) -> None:
        """Close the segment and the counters; the ingester then knows the stream as ended."""
        self._end_segment()
        while self._ended:
            _sync_and_close(self._ended.popleft())
        self.counters.close()

    def _segment(self) -> int:
        if self._descriptor is not None:
            is_old = self._clock() - self._opened_at >= SEGMENT_S
            if not is_old and self._size_bytes < self._segment_bytes:
                return self._descriptor
            self._end_segment()
        path = self.folder / f"{self._n_lines:015d}{SUFFIX}"
        # A segment of that name is left where a write failed and could not be taken back: it holds no whole line.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._size_bytes = 0
        self._opened_at = self._clock()
        return self._descriptor

    def _take_back(self) -> None:
        """Cut off the part of a batch that was written, so that the next one begins on a line of its own."""
        assert self._descriptor is not None
        try:
            os.ftruncate(self._descriptor, self._size_bytes)
        except OSError:
            self._end_segment()

    def _end_segment(self) -> None:
        if self._descriptor is not None:
            # Left open for `sync`: writing must not wait for the disk, nor `sync` meet a closed file.
            descriptor, self._descriptor = self._descriptor, None
            self._ended.append(descriptor)


def _made(folder: Path) -> Counters:
    """The counters of a new stream; made under another name and moved into place, so that the ingester never sees a stream
    without them."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = folder.with_name(f".{folder.name}")
    made.mkdir(mode=0o700)
    counters = Counters(made, create=True)
    counters[PID] = os.getpid()
    made.rename(folder)
    return counters


def _sync_and_close(descriptor: int) -> None:
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def used_bytes(root: Path) -> int:
    """Bytes of all segments below `root`, of every worker."""
    total = 0
    for path in root.glob(f"*/*{SUFFIX}"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total
