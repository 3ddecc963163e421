"""Work that nobody waits for, such as the audit of a kept answer: bounded, counted, finished before the process ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

_log = logging.getLogger("metier.gateway")


class Background:
    """Runs coroutines beside the calls. At most `max_running` run and `max_waiting` wait; `skipped` counts the rest."""

    def __init__(self, max_running: int = 32, max_waiting: int = 1_000) -> None:
        self._slots = asyncio.Semaphore(max_running)
        self._limit = max_running + max_waiting
        self._tasks: set[asyncio.Task[None]] = set()
        self.skipped = 0

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None] | None:
        """Run `work` when there is room; None, and one more skipped, where too much is waiting already."""
        if len(self._tasks) >= self._limit:
            self.skipped += 1
            return None
        task = asyncio.create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with self._slots:
            try:
                await work()
            except Exception:
                _log.exception("background work failed")

    async def drain(self, timeout_s: float) -> None:
        """Wait until everything is done; what is not after `timeout_s` seconds is cancelled, and ends by itself."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=max(timeout_s, 0.0))
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
