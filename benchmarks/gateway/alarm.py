"""A timer that wakes an event loop to some 50 µs; uvloop's own go by whole milliseconds, too coarse here."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable
from types import TracebackType

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_NONBLOCK = os.O_NONBLOCK
_libc = ctypes.CDLL(None, use_errno=True)


class Alarm:
    """Calls `ring` in the running loop at times of time.monotonic(), one at a time (Linux: timerfd)."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._file = _libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")

    def __enter__(self) -> Alarm:
        asyncio.get_running_loop().add_reader(self._file, self._rung)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)

    def set(self, time_s: float) -> None:
        """Ring at `time_s`; at once where that has gone by. An earlier setting that has not rung is replaced."""
        seconds, nanoseconds = divmod(max(1, round(time_s * 1e9)), 1_000_000_000)
        spec = struct.pack("qqqq", 0, 0, seconds, nanoseconds)
        if _libc.timerfd_settime(self._file, _ABSOLUTE, spec, None):
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")

    def _rung(self) -> None:
        try:
            os.read(self._file, 8)
        except BlockingIOError:
            return
        self._ring()
