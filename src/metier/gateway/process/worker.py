"""A worker: `python -m metier.gateway.process.worker NUMBER FD` answers calls that come in on the socket FD."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
import time

from metier.errors import MetierError
from metier.gateway.process.messages import EXIT_CANNOT_START, Lines, Report, TaskReport, say
from metier.gateway.process.parts import Worker
from metier.gateway.process.server import build_server
from metier.gateway.process.setup import Setup

# What is loaded at the start lives as long as the process: the collector need not look at it. And it need not look every
# 700 objects at what a call leaves, which is freed when the last reference goes.
_GC_THRESHOLDS = (20_000, 50, 100)
# A thread that computes gives way to the event loop this fast (Python's default is 5 ms, an age for a call).
_SWITCH_INTERVAL_S = 0.0005
# Beside the time to drain, for audits under way: enough to notice that one is about done.
_MIN_AUDIT_S = 1.0


def main() -> None:
    """Run until SIGTERM, or until the supervisor is gone."""
    # Ctrl-C reaches every process of the terminal; the supervisor alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    number, descriptor = int(sys.argv[1]), int(sys.argv[2])
    lines = Lines()
    setup = lines.next()
    if setup is None:
        return
    import uvloop

    try:
        uvloop.run(_work(lines, setup, number, socket.socket(fileno=descriptor)))
    except MetierError as problem:
        say(Report(error=str(problem)))
        sys.exit(EXIT_CANNOT_START)


async def _work(lines: Lines, setup: Setup, number: int, listener: socket.socket) -> None:
    worker = Worker(setup, number)
    app = await worker.start()
    drain_s = setup.serve.drain_s
    server = build_server(app, client_timeout_s=setup.serve.client_timeout_s, drain_s=drain_s)
    stopped_at: list[float] = []

    def stop() -> None:
        worker.is_draining = True
        stopped_at.append(time.monotonic())
        server.stop()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGHUP, worker.reload)
    lines.follow(
        lambda new: _ignore_closed(loop, worker.reload, new),
        lambda: _ignore_closed(loop, stop),
    )
    server.on_started = lambda: say(_report(worker))
    _settle()
    try:
        await server.serve(sockets=[listener])
    finally:
        used_s = time.monotonic() - stopped_at[0] if stopped_at else 0.0
        await worker.close(max(drain_s - used_s, _MIN_AUDIT_S))


def _ignore_closed(loop: asyncio.AbstractEventLoop, call: object, *arguments: object) -> None:
    try:
        loop.call_soon_threadsafe(call, *arguments)  # type: ignore[arg-type]
    except RuntimeError:
        return


def _settle() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)


def _report(worker: Worker) -> Report:
    states = worker.router.states().values()
    return Report(
        tasks=tuple(
            TaskReport(
                task=state.task,
                mode=state.mode,
                champion=state.champion,
                student=state.student,
                has_certificate=state.has_certificate,
                is_revoked=state.is_revoked,
                fault=state.fault,
            )
            for state in states
        ),
        missing_keys=dict(worker.upstreams.missing_keys()),
        has_keys=worker.gatekeeper.has_keys,
    )


if __name__ == "__main__":
    main()
