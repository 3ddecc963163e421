"""The supervisor: binds the address once, keeps workers and ingester alive, and passes on what signals mean."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from metier.errors import MetierError
from metier.gateway.access.hosts import is_loopback
from metier.gateway.process.child import Child
from metier.gateway.process.messages import Report
from metier.gateway.process.server import listen
from metier.gateway.process.setup import Setup
from metier.gateway.telemetry.logs import Logs, NoLogs, open_logs
from metier.gateway.telemetry.processes import forget_process, prepare_multiprocess
from metier.store.keys import KeyStore
from metier.store.spend import month_of

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_TICK_S = 0.5
# Beyond the time to drain: audits under way, and what the recorder has to write.
_LEAVING_S = 10.0
# What the ingester has not brought in by then stays in the journal, for the next start.
_INGEST_S = 30.0


@dataclass(frozen=True)
class Started:
    """What is said once the gateway takes calls. `report` is the first worker's."""

    host: str
    port: int
    setup: Setup
    report: Report


class Supervisor:
    """Runs the gateway until SIGTERM or SIGINT. `setup_of` reads the settings, again on each SIGHUP; `announce` is told
    once every process is ready."""

    def __init__(self, setup_of: Callable[[], Setup], announce: Callable[[Started], None]) -> None:
        self._setup_of = setup_of
        self._announce = announce
        self._setup = setup_of()
        self._is_announced = False
        self._received: list[int] = []
        self._metrics: Path | None = None
        self._logs: Logs | NoLogs = NoLogs()
        self._workers: list[Child] = []
        self._ingester = Child("ingester", ("metier.gateway.process.ingesting",), dict(os.environ))

    def run(self) -> None:
        """Raises MetierError where the gateway cannot start."""
        serve = self._setup.serve
        allow_connections()
        self._setup.store.mkdir(parents=True, exist_ok=True)
        require_key(serve.host, self._setup.traffic_url)
        listener = bind(serve.host, serve.port)
        self._logs = open_logs(serve.log)
        # The wakeup descriptor is written to the moment a signal comes, so that none is slept over.
        waking, woken = socket.socketpair()
        try:
            waking.setblocking(False)
            woken.setblocking(False)
            before = {number: signal.signal(number, self._receive) for number in (*_SIGNALS, signal.SIGCHLD)}
            old_wakeup = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
            try:
                self._supervise(listener, woken)
            finally:
                signal.set_wakeup_fd(old_wakeup)
                for number, handler in before.items():
                    signal.signal(number, handler)
        finally:
            for each in (waking, woken, listener):
                each.close()
            if self._metrics is not None:
                shutil.rmtree(self._metrics, ignore_errors=True)
            self._logs.close()

    def _supervise(self, listener: socket.socket, woken: socket.socket) -> None:
        self._workers = self._places(listener)
        try:
            for child in self._children:
                child.start(self._setup)
            while not self._is_told_to_stop():
                self._wait(woken)
                for child in self._children:
                    self._look_after(child)
                self._announce_once(listener)
            self._logs.event("stopping")
            listener.close()
            self._stop(self._workers, self._setup.serve.drain_s + _LEAVING_S, woken)
            self._stop([self._ingester], _INGEST_S, woken)
            self._logs.event("stopped")
        finally:
            # Only where something failed is there still anybody.
            for child in self._children:
                child.signal(signal.SIGKILL)

    @property
    def _children(self) -> list[Child]:
        return [*self._workers, self._ingester]

    def _places(self, listener: socket.socket) -> list[Child]:
        environment = dict(os.environ)
        n_workers = self._setup.serve.workers
        if n_workers > 1:
            self._metrics = Path(tempfile.mkdtemp(prefix="metier-metrics-"))
            environment |= prepare_multiprocess(self._metrics)
        descriptor = listener.fileno()
        return [
            Child(
                f"worker{number}",
                ("metier.gateway.process.worker", str(number), str(descriptor)),
                environment,
                (descriptor,),
            )
            for number in range(n_workers)
        ]

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if number in _SIGNALS:
            self._received.append(number)

    def _is_told_to_stop(self) -> bool:
        while self._received:
            if self._received.pop(0) != signal.SIGHUP:
                return True
            self._reload()
        return False

    def _reload(self) -> None:
        try:
            self._setup = self._setup_of()
        except MetierError as problem:
            self._logs.event("reload_failed", "error", problem=str(problem))
            return
        self._logs.event("reload")
        for child in self._children:
            child.tell(self._setup)

    def _wait(self, woken: socket.socket) -> None:
        """Until a signal comes, a child says something, or a moment has passed."""
        with selectors.DefaultSelector() as selector:
            selector.register(woken, selectors.EVENT_READ)
            for child in self._children:
                if child.process is not None and child.process.stdout is not None and child.report is None:
                    selector.register(child.process.stdout, selectors.EVENT_READ)
            selector.select(_TICK_S)
        try:
            while woken.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _look_after(self, child: Child) -> None:
        child.listen()
        if child.process is None:
            if time.monotonic() >= child.start_at:
                child.start(self._setup)
            return
        pid = child.process.pid
        status = child.ended()
        if status is None:
            return
        self._bury(child, pid, status)
        if not self._is_announced:
            error = child.report.error if child.report is not None else None
            raise MetierError(error or f"the {child.name} could not start ({_how(status)}); its last words stand above")

    def _bury(self, child: Child, pid: int, status: int) -> None:
        error = child.report.error if child.report is not None else None
        wait_s = round(max(0.0, child.start_at - time.monotonic()), 1)
        self._logs.event(
            "process_died", "error", process=child.name, pid=pid, how=_how(status), problem=error, restart_in_s=wait_s
        )
        if self._metrics is not None and child is not self._ingester:
            forget_process(self._metrics, pid)

    def _announce_once(self, listener: socket.socket) -> None:
        reports = [child.report for child in self._children if child.report is not None and child.report.error is None]
        if self._is_announced or len(reports) < len(self._children):
            return
        self._is_announced = True
        host, port = listener.getsockname()[:2]
        self._announce(Started(host, port, self._setup, reports[0]))

    def _stop(self, children: list[Child], patience_s: float, woken: socket.socket) -> None:
        """SIGTERM, and SIGKILL for those that are not gone after `patience_s` seconds. A second Ctrl-C or SIGTERM tells
        them to wait for nobody."""
        for child in children:
            child.signal(signal.SIGTERM)
        until = time.monotonic() + patience_s
        while any(child.process is not None for child in children):
            self._wait(woken)
            if self._received and any(number != signal.SIGHUP for number in self._received):
                self._received.clear()
                for child in children:
                    child.signal(signal.SIGTERM)
            if time.monotonic() > until:
                for child in children:
                    child.signal(signal.SIGKILL)
            for child in children:
                if child.process is not None and (status := child.ended()) not in (None, 0):
                    self._logs.event("process_left", "warning", process=child.name, how=_how(status or 0))


def allow_connections() -> None:
    """Let this process and its children open as many files, connections among them, as the system lets them: the usual
    1,024 are 500 streams."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def require_key(host: str, traffic_url: str) -> None:
    """Make the database where there is none, and raise MetierError for an address that others can reach while there is no
    key. Where the database is away nobody is let in until it is back, so that there is nothing to refuse."""
    try:
        with KeyStore(traffic_url) as keys:
            found = keys.read(month_of(time.time())).keys.values()
    except MetierError:
        return
    is_local = is_loopback(host) or host == "localhost"
    if not is_local and not any(key.revoked_at is None for key in found):
        raise MetierError(
            f"host {host} can be reached by others, and there is no key: anybody could spend your money. Make one with "
            "'metier key create NAME', or serve this machine alone with --host 127.0.0.1."
        )


def bind(host: str, port: int) -> socket.socket:
    """The gateway's listening socket. Raises MetierError that says what is in the way."""
    try:
        return listen(host, port)
    except socket.gaierror as problem:
        raise MetierError(f"host {host!r} has no address: {problem.strerror}. Use --host 127.0.0.1.") from problem
    except PermissionError as problem:
        raise MetierError(
            f"port {port} may not be opened by this user; choose one above 1023 with --port."
        ) from problem
    except OSError as problem:
        raise MetierError(
            f"{host}:{port} cannot be listened on: {problem.strerror}. Stop what listens there, or choose another port "
            "with --port."
        ) from problem


def _how(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
