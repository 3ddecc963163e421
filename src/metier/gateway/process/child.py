"""A process of the gateway as the supervisor sees it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from metier.gateway.process.messages import Report, heard
from metier.gateway.process.setup import Setup

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
# Whoever lived this long died of something new.
_HEALTHY_S = 60.0


@dataclass
class Child:
    """One place among the gateway's processes: it is filled again when its process dies, later each time."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    descriptors: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    report: Report | None = None
    start_at: float = 0.0
    _started_at: float = 0.0
    _n_failures: int = 0
    _unread: bytes = field(default=b"", repr=False)

    def start(self, setup: Setup) -> None:
        """Start the process and tell it the setup."""
        self._started_at = time.monotonic()
        self.report, self._unread = None, b""
        self.process = subprocess.Popen(
            # -P: a file in the folder where the gateway is started must not stand in for a library.
            [sys.executable, "-P", "-m", *self.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=self.descriptors,
            env=dict(self.environment),
            process_group=0,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.tell(setup)

    def tell(self, setup: Setup) -> None:
        """Send a setup; a process that has just died will get it when it is started again."""
        if self.process is None or self.process.stdin is None:
            return
        try:
            self.process.stdin.write(setup.model_dump_json().encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            return

    def listen(self) -> None:
        """Take in what the process has said since the last time."""
        if self.process is None or self.process.stdout is None:
            return
        while data := self.process.stdout.read(65536):
            self._unread += data
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            self.report = heard(line) or self.report

    def ended(self) -> int | None:
        """The exit status of a process that has ended, once; negative for the signal that killed it. Sets when to start
        again."""
        if self.process is None or (status := self.process.poll()) is None:
            return None
        self.listen()
        self._forget()
        now = time.monotonic()
        self._n_failures = 0 if now - self._started_at > _HEALTHY_S else self._n_failures + 1
        self.start_at = now + min(_FIRST_WAIT_S * 2 ** max(0, self._n_failures - 1), _LONGEST_WAIT_S)
        return status

    def signal(self, number: int) -> None:
        """Send a signal, if there is a process."""
        if self.process is not None:
            self.process.send_signal(number)

    def _forget(self) -> None:
        assert self.process is not None
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    # What was not read by the process that is gone.
                    continue
        self.process = None
