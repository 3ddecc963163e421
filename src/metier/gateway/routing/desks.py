"""Where a specialist that writes does its work: a few answers side by side, and a queue with an end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from metier.gateway.calls import Decision
from metier.gateway.routing.asking import Failures

_JOIN_S = 10.0


class WritingDesk:
    """Implements gateway.calls.Desk with a thread for each of `n_places` answers that the specialist writes at a time. Its
    threads are its own: calls of other tasks do not wait behind answers that take seconds."""

    def __init__(self, n_places: int, name: str, failures: Failures) -> None:
        self._n_places = n_places
        self._name = name
        self._failures = failures
        self._pool = ThreadPoolExecutor(n_places, thread_name_prefix="metier-write")
        self._lock = threading.Lock()
        self._n_under_way = 0
        self._is_closed = False

    def submit(self, work: Callable[[], Decision], max_waiting: int) -> Future[Decision] | None:
        """Have `work` done when its turn comes; None where `max_waiting` calls are waiting already, or it is closed."""
        with self._lock:
            if self._is_closed or self._n_under_way >= self._n_places + max_waiting:
                return None
            self._n_under_way += 1
            future = self._pool.submit(work)
        future.add_done_callback(self._done)
        return future

    def gave_up(self) -> None:
        """Count an answer that did not come in time."""
        self._failures.add(f"specialist {self._name} did not answer in time")

    @property
    def n_under_way(self) -> int:
        """Answers being written, and calls that wait."""
        return self._n_under_way

    def retire(self, then: Callable[[], object]) -> None:
        """Take no more work; once what was taken is done, call `then`. Returns at once."""
        self._close()

        def finish() -> None:
            self._pool.shutdown()
            then()

        threading.Thread(target=finish, name="metier-retire", daemon=True).start()

    def end(self, stop: Callable[[], object], then: Callable[[], object]) -> None:
        """Drop what waits, have what is being written broken off by `stop`, and call `then` when it is."""
        self._close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        stop()
        waiting = threading.Thread(target=self._pool.shutdown, daemon=True)
        waiting.start()
        waiting.join(_JOIN_S)
        # An engine that does not stop is left alone: freeing what it works on would end the process the hard way.
        if not waiting.is_alive():
            then()

    def _close(self) -> None:
        with self._lock:
            self._is_closed = True

    def _done(self, _: Future[Decision]) -> None:
        with self._lock:
            self._n_under_way -= 1
