"""What the gateway's processes tell one another: JSON lines, settings to a child's stdin, its state from its stdout.

A child whose stdin ends knows that the supervisor is gone, however it went, and leaves in order.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, ValidationError

from metier.gateway.process.setup import Setup

STDIN, STDOUT = 0, 1
# The exit status of a process that has said why it cannot start.
EXIT_CANNOT_START = 3


class TaskReport(BaseModel):
    """A task's routing, for the start-up lines; `fault` is why a champion is not the one that was promoted."""

    model_config = ConfigDict(frozen=True)

    task: str
    mode: str
    champion: str | None = None
    student: str | None = None
    has_certificate: bool = False
    is_revoked: bool = False
    fault: str | None = None


class Report(BaseModel):
    """What a worker says once: that it takes calls, with its tasks and the upstreams that lack a key (by environment
    variable); or `error`, why it cannot start."""

    model_config = ConfigDict(frozen=True)

    error: str | None = None
    tasks: tuple[TaskReport, ...] = ()
    missing_keys: dict[str, str] = {}
    has_keys: bool | None = None


def say(report: Report) -> None:
    """Tell the supervisor; it may be gone."""
    try:
        os.write(STDOUT, report.model_dump_json().encode() + b"\n")
    except OSError:
        return


def heard(line: bytes) -> Report | None:
    """A child's line; None for what some library printed."""
    try:
        return Report.model_validate_json(line)
    except ValidationError:
        return None


class Lines:
    """The setups that come in on stdin. Read from the descriptor itself: a thread that waits inside Python's own stdin
    would make the interpreter abort when the process ends."""

    def __init__(self, descriptor: int = STDIN) -> None:
        self._descriptor = descriptor
        self._unread = b""

    def next(self) -> Setup | None:
        """Waits for a setup; None where the supervisor is gone."""
        while b"\n" not in self._unread:
            data = os.read(self._descriptor, 65536)
            if not data:
                return None
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return Setup.model_validate_json(line)

    def follow(self, on_setup: Callable[[Setup], None], on_end: Callable[[], None]) -> None:
        """Wait for further ones in a thread; `on_end` is called when the supervisor is gone."""

        def read() -> None:
            while (setup := self.next()) is not None:
                on_setup(setup)
            on_end()

        threading.Thread(target=read, name="metier-supervisor", daemon=True).start()
