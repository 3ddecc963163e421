"""The parts of one worker: opened from a project, kept up to date, and closed in the right order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

from starlette.types import ASGIApp

from metier.gateway.access import load_gatekeeper
from metier.gateway.app import build_app
from metier.gateway.background import Background
from metier.gateway.parts import Parts
from metier.gateway.process.setup import JOURNAL_FOLDER, Setup
from metier.gateway.recording.journal import Journal
from metier.gateway.recording.recorder import MAX_CALLS, JournalRecorder
from metier.gateway.redaction import redactor
from metier.gateway.routing.champions import Writing
from metier.gateway.routing.holder import RouterHolder
from metier.gateway.routing.ledger import DatabaseLedger
from metier.gateway.telemetry.lines import Level
from metier.gateway.telemetry.opening import open_telemetry
from metier.gateway.telemetry.stdlib import take_over_logging
from metier.gateway.upstreams import open_upstreams
from metier.machine import usable_cores
from metier.store.folders import ArtefactStore

# Decisions that take over a millisecond are made beside the event loop. They hold the interpreter's lock for part of the
# time, so that more threads than this only stand in each other's way.
_DECIDING_THREADS = 4
_REFRESH_S = 1.0
# Large libraries that the first call would have to wait for.
_NEEDED_SOON = ("aiohttp", "genai_prices")
_MIB = 1 << 20
# A model of some hundred million parameters is read from memory no faster by more cores than these.
_MOST_THREADS = 8


class Worker:
    """The parts of one worker process. Make it, `start` it in the event loop, `close` it there. `setup` may be replaced by
    `reload`; address, limits and upstreams stay as they were at the start."""

    def __init__(self, setup: Setup, number: int) -> None:
        self.setup = setup
        serve = setup.serve
        # Names and addresses are the ingester's: finding them takes too long here.
        redact = redactor()
        self.router = RouterHolder(
            ArtefactStore(setup.store),
            lambda task: self.setup.route_of(task),
            DatabaseLedger(setup.traffic_url),
            event=self._event,
            redacts_pii=serve.redact_pii,
            writing=Writing(serve.answers_at_once, serve.specialist_threads or _threads(serve.workers)),
        )
        self.telemetry = open_telemetry(
            serve.log, tasks=self.router.tasks, aliases=setup.models, upstreams=setup.upstreams, redact=redact
        )
        take_over_logging(self.telemetry)
        self.gatekeeper = load_gatekeeper(setup.traffic_url, n_workers=serve.workers)
        journal = Journal(setup.store / JOURNAL_FOLDER, f"worker{number}")
        self.recorder = JournalRecorder(journal, setup.traffic_url, redact, note=self._note)
        self.threads = ThreadPoolExecutor(_DECIDING_THREADS, "metier-decide")
        self.is_loaded = False
        self.is_draining = False

    async def start(self) -> ASGIApp:
        """Load the specialists and connect the parts; returns the application."""
        for name in _NEEDED_SOON:
            import_module(name)
        self.router.start()
        self.is_loaded = True
        self.upstreams = open_upstreams(self.setup.upstreams, self.setup.models)
        self.background = Background()
        self.telemetry.watch(self.recorder, self.upstreams, self.router.realised)
        self._refreshing = asyncio.create_task(self._refresh())
        serve = self.setup.serve
        return build_app(
            Parts(self.gatekeeper, self.router, self.upstreams, self.recorder, self.telemetry),
            self.background,
            self.threads,
            timeout_s=serve.timeout_s,
            max_body_bytes=round(serve.max_body_mb * _MIB),
            client_timeout_s=serve.client_timeout_s,
            cors_origins=serve.cors_origins,
            needs_key=lambda: self.gatekeeper.has_keys,
            readiness=self.readiness,
        )

    def readiness(self) -> Mapping[str, bool]:
        """What must be true for calls to be sent here. A champion that could not be loaded is no hindrance: its calls go to
        the frontier model, and the log and /metrics say so."""
        return {
            "specialists": self.is_loaded,
            "keys": self.gatekeeper.is_known,
            "recorder": self.recorder.figures()["queue_depth"] < MAX_CALLS,
            "accepting": not self.is_draining,
        }

    def reload(self, setup: Setup | None = None) -> None:
        """Take over the routes of a new setup, and look for new champions and keys now."""
        if setup is not None:
            self.setup = setup
        self.router.ask_to_reload()
        self.telemetry.event("reload")

    async def close(self, timeout_s: float) -> None:
        """Let audits under way finish for at most `timeout_s` seconds, then write down everything and leave."""
        await self.background.drain(timeout_s)
        self._refreshing.cancel()
        await self.upstreams.close()
        self.threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self.recorder.close()
        self.router.close()
        self.gatekeeper.close()
        self.telemetry.close()

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_S)
            self.telemetry.refresh()

    def _event(self, event: str, level: Level = "info", **fields: Any) -> None:
        self.telemetry.event(event, level, **fields)

    def _note(self, message: str, fields: Mapping[str, Any]) -> None:
        self.telemetry.event("recording", "warning", message=message, **fields)


def _threads(n_workers: int) -> int:
    """Cores for a specialist that writes: one is left to the event loops, and more than some do not write faster."""
    return max(1, min(_MOST_THREADS, (usable_cores() - 1) // n_workers))
