"""Counters of one worker in a small file mapped into memory: what they held is there after the process was killed."""

from __future__ import annotations

import fcntl
import mmap
import os
from pathlib import Path

FILE_NAME = "counters"

# Each is written by one thread of one process alone. ACCEPTED: calls and judgements handed to the recorder. JOURNALLED:
# those in the journal. DROPPED_FULL: no room in memory. DROPPED_BAD: could not be written as text. GOODBYE: 1 once the
# worker ended in order. INGESTED, INGESTED_BYTES: what the ingester has brought into the database.
ACCEPTED, JOURNALLED, JOURNALLED_BYTES, DROPPED_FULL, DROPPED_BAD, GOODBYE, PID, INGESTED, INGESTED_BYTES = range(9)
_SIZE = 4_096


class Counters:
    """The counters in `folder`, made if `create`; indexed by the names above. The one who made them holds a lock on the
    file as long as it lives, by which others know that it does."""

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
        self._descriptor = os.open(folder / FILE_NAME, flags, 0o600)
        try:
            if create:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Written out, not left as a hole: a mapped page that finds no room on a full disk kills the process.
                os.write(self._descriptor, bytes(_SIZE))
            elif os.fstat(self._descriptor).st_size < _SIZE:
                raise OSError(f"{folder / FILE_NAME} is too short to hold counters")
            self._map = mmap.mmap(self._descriptor, _SIZE)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._values = memoryview(self._map).cast("Q")

    def __getitem__(self, name: int) -> int:
        return self._values[name]

    def __setitem__(self, name: int, value: int) -> None:
        self._values[name] = value

    @property
    def dropped(self) -> int:
        return self._values[DROPPED_FULL] + self._values[DROPPED_BAD]

    def is_in_use(self) -> bool:
        """Whether the process that made the counters is alive (asked by another)."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        self._values.release()
        self._map.close()
        os.close(self._descriptor)
