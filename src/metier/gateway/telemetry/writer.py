"""Writes log lines from a thread of its own, so that a slow reader of stderr never holds up a call."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from contextlib import suppress

MAX_LINES = 10_000
# Lines that come within this time are written together: one wake-up of the thread, one write.
_BATCH_S = 0.02
_BATCH_LINES = 500


class LineWriter:
    """A bounded queue of lines and the thread that writes them to a file descriptor.

    `write` never blocks: where the queue is full because nobody reads, the line is dropped and counted in `n_dropped`.
    """

    def __init__(self, descriptor: int, max_lines: int = MAX_LINES) -> None:
        self._descriptor = descriptor
        self._max_lines = max_lines
        self._lines: deque[bytes] = deque()
        self._wake = threading.Event()
        self._is_closing = False
        self.n_dropped = 0
        self._thread = threading.Thread(target=self._run, name="metier-log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Queue one line, line end included."""
        if len(self._lines) >= self._max_lines or self._is_closing:
            self.n_dropped += 1
            return
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is queued and stop; gives up after `timeout_s` where nobody reads."""
        self._is_closing = True
        self._wake.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            if not self._is_closing:
                time.sleep(_BATCH_S)
            self._wake.clear()
            while self._lines:
                self._write_batch()
            if self._is_closing:
                return

    def _write_batch(self) -> None:
        lines = [self._lines.popleft() for _ in range(min(_BATCH_LINES, len(self._lines)))]
        rest = memoryview(b"".join(lines))
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                # Somebody made the shared stderr non-blocking.
                with suppress(OSError, ValueError):
                    select.select([], [self._descriptor], [], 1.0)
            except OSError:
                # Closed by its reader: a log that nobody can read must not end the gateway.
                self.n_dropped += len(lines)
                return
