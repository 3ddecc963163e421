"""asyncio.timeout for the hot path: many timeouts share one timer of the event loop."""

from __future__ import annotations

import asyncio
from math import inf
from types import TracebackType

# What an event loop's clock may lag behind its timers (uvloop counts milliseconds).
_RESOLUTION_S = 1e-3


class Timeouts:
    """Timeouts of one event loop. A call seldom waits its time out, so the one timer stands at the earliest end that was
    ever wanted, and is set anew only for an earlier one, or when it fires."""

    def __init__(self) -> None:
        self._running: dict[Timeout, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = inf

    def after(self, delay_s: float) -> Timeout:
        """`with timeouts.after(s):` raises TimeoutError where what is awaited within takes longer than `s` seconds; what
        does not wait is not timed."""
        return Timeout(self, delay_s)

    def start(self, timeout: Timeout, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        ends_at = self._running[timeout] = loop.time() + delay_s
        if ends_at < self._fires_at:
            self._set(loop, ends_at)

    def stop(self, timeout: Timeout) -> None:
        self._running.pop(timeout, None)

    def _set(self, loop: asyncio.AbstractEventLoop, time: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = time
        self._timer = loop.call_at(time, self._fire, loop)

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, self._fires_at = None, inf
        latest = loop.time() + _RESOLUTION_S
        for timeout in [each for each, ends_at in self._running.items() if ends_at <= latest]:
            del self._running[timeout]
            timeout.expire()
        if self._running:
            self._set(loop, min(self._running.values()))


class Timeout:
    """One timeout, to be entered once; cancels as asyncio.timeout does, and tells other cancellations from its own."""

    __slots__ = ("_delay_s", "_has_expired", "_n_cancelling", "_task", "_timeouts")

    def __init__(self, timeouts: Timeouts, delay_s: float) -> None:
        self._timeouts = timeouts
        self._delay_s = delay_s
        self._has_expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a timeout needs a task to cancel")
        self._task = task
        self._n_cancelling = task.cancelling()
        self._timeouts.start(self, self._delay_s)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._has_expired:
            self._timeouts.stop(self)
        elif (
            self._task.uncancel() <= self._n_cancelling
            and kind is not None
            and issubclass(kind, asyncio.CancelledError)
        ):
            raise TimeoutError from error

    def expire(self) -> None:
        self._has_expired = True
        self._task.cancel()
