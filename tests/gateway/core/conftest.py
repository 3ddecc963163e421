"""The real application on a real socket, over the shipped fake upstream; the parts around it are the simplest there are."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import uvloop
from tests.gateway.sockets import read_all

from metier.gateway.app import build_app
from metier.gateway.background import Background
from metier.gateway.calls import ANONYMOUS, AuditOutcome, Caller, CallRecord, Decision, Reason, Route
from metier.gateway.errors import ApiError
from metier.gateway.parts import Parts
from metier.gateway.process.server import Server, build_server, listen
from metier.gateway.settings import UpstreamSettings
from metier.gateway.upstreams import open_upstreams
from metier.labs.upstream import Behaviour, RunningUpstream, running_upstream

PATIENCE_S = 10.0
PASSED = Decision(Route.PASSED, Reason.NOT_RECOGNISED)


class Door:
    """Lets everybody in, but for those with the key "bad"."""

    def __init__(self) -> None:
        self.charged: list[tuple[Caller, float]] = []

    def admit(self, authorization: str | None, client_host: str | None) -> Caller:
        if authorization == "Bearer bad":
            raise ApiError(401, "Unknown key.", "authentication_error", "invalid_api_key")
        return ANONYMOUS

    def charge(self, caller: Caller, cost_usd: float) -> None:
        self.charged.append((caller, cost_usd))


@dataclass
class Script:
    """A router whose decisions a test writes down: `decision`, or a function of the request."""

    decision: Decision | Callable[[Mapping[str, Any]], Decision] = PASSED
    slow: bool = False
    hints: list[str | None] = field(default_factory=list)
    unseen: Callable[[Decision], Decision] = lambda decision: replace(decision, label="unseen", score=0.5)

    def decide(self, request: Mapping[str, Any], trace_id: str, task_hint: str | None = None) -> Decision:
        self.hints.append(task_hint)
        return self.decision if isinstance(self.decision, Decision) else self.decision(request)

    def answer_unseen(self, decision: Decision, request: Mapping[str, Any]) -> Decision:
        return self.unseen(decision)

    def is_slow(self, request: Mapping[str, Any], task_hint: str | None = None) -> bool:
        return self.slow

    def same_answer(self, decision: Decision, reference: str) -> bool:
        return decision.label == reference


@dataclass
class Book:
    """Keeps every record, and knows the answers by id."""

    records: list[CallRecord] = field(default_factory=list)
    audits: list[AuditOutcome] = field(default_factory=list)
    judgements: list[tuple[str, str | None, str | None]] = field(default_factory=list)

    def record(self, record: CallRecord) -> None:
        self.records.append(record)

    def audited(self, outcome: AuditOutcome) -> None:
        self.audits.append(outcome)

    async def judge(self, response_id: str, feedback: str | None, correction: str | None) -> bool:
        if response_id not in {id_ for record in self.records for id_ in (record.response_id, record.trace_id)}:
            return False
        self.judgements.append((response_id, feedback, correction))
        return True

    def figures(self) -> Mapping[str, float]:
        return {}

    def wait(self, n: int = 1) -> list[CallRecord]:
        """The first `n` records, once they are there: they are written after the client has its answer."""
        return _awaited(self.records, n)

    def wait_for_audits(self, n: int = 1) -> list[AuditOutcome]:
        """The first `n` outcomes of audits."""
        return _awaited(self.audits, n)


def _awaited(found: list[Any], n: int) -> list[Any]:
    until = time.monotonic() + PATIENCE_S
    while len(found) < n:
        assert time.monotonic() < until, f"{len(found)} of {n} are there"
        time.sleep(0.002)
    return found


class Tally:
    """Counts the calls that began and those that finished."""

    def __init__(self) -> None:
        self.began_with: list[Mapping[str, str]] = []
        self.finished_with: list[CallRecord] = []
        self.audited_with: list[AuditOutcome] = []

    def began(self, record: CallRecord, headers: Mapping[str, str]) -> object:
        self.began_with.append(headers)
        return len(self.began_with)

    def finished(self, record: CallRecord, token: object) -> None:
        self.finished_with.append(record)

    def audited(self, outcome: AuditOutcome) -> None:
        self.audited_with.append(outcome)

    def headers_for(self, token: object) -> Mapping[str, str]:
        return {"traceparent": f"00-trace-{token}"}

    def exposition(self) -> tuple[bytes, str]:
        return b"metier_requests_total 0\n", "text/plain; version=0.0.4"


@dataclass
class Running:
    """A gateway that answers at `url` (which ends in /v1); `host` and `port` are for clients of their own kind."""

    port: int
    upstream: RunningUpstream
    router: Script
    door: Door
    book: Book
    tally: Tally
    server: Server
    checks: dict[str, bool]
    background: Background | None = None
    host: str = "127.0.0.1"

    @property
    def root(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    def connect(self) -> socket.socket:
        connection = socket.create_connection((self.host, self.port), timeout=PATIENCE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def exchange(self, request: bytes) -> bytes:
        """Everything that comes back on a connection that sends `request`, until the gateway closes it."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_all(connection)


Starter = Callable[..., Any]


@contextmanager
def running_gateway(
    upstream: RunningUpstream,
    router: Script,
    *,
    timeout_s: float = 30.0,
    max_body_bytes: int = 1 << 20,
    client_timeout_s: float = 10.0,
    drain_s: float = 5.0,
    cors_origins: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    background: tuple[int, int] = (32, 1000),
) -> Iterator[Running]:
    """A gateway in a thread of its own, stopped at the end."""
    listener = listen("127.0.0.1", 0)
    door, book, tally, checks = Door(), Book(), Tally(), {"specialists": True}
    threads = ThreadPoolExecutor(2)
    started = threading.Event()
    running: list[Running] = []

    async def serve() -> None:
        options = {"max_retries": 0, "api_key_env": "", "input_usd_per_million": 1.0, "output_usd_per_million": 2.0}
        upstreams = await _opened({"fake": UpstreamSettings(base_url=upstream.url, **{**options, **(settings or {})})})
        beside = Background(*background)
        app = build_app(
            Parts(door, router, upstreams, book, tally),
            beside,
            threads,
            timeout_s=timeout_s,
            max_body_bytes=max_body_bytes,
            client_timeout_s=client_timeout_s,
            cors_origins=cors_origins,
            needs_key=lambda: False,
            readiness=lambda: checks,
        )
        server = build_server(app, client_timeout_s=client_timeout_s, drain_s=drain_s)
        port = listener.getsockname()[1]
        running.append(Running(port, upstream, router, door, book, tally, server, checks, beside))
        started.set()
        try:
            await server.serve(sockets=[listener])
            await beside.drain(drain_s)
        finally:
            await upstreams.close()

    thread = threading.Thread(target=lambda: uvloop.run(serve()), name="gateway", daemon=True)
    thread.start()
    assert started.wait(PATIENCE_S)
    try:
        yield running[0]
    finally:
        running[0].server.stop()
        thread.join(PATIENCE_S)
        threads.shutdown()
        assert not thread.is_alive()


async def _opened(sections: Mapping[str, UpstreamSettings]) -> Any:
    opened = open_upstreams(sections, {})
    return await opened if asyncio.iscoroutine(opened) else opened


@pytest.fixture
def upstream() -> Iterator[RunningUpstream]:
    with running_upstream(Behaviour()) as running:
        yield running


@pytest.fixture
def start(upstream: RunningUpstream) -> Starter:
    """A context manager that runs a gateway: start(router=None, **limits)."""

    def starting(router: Script | None = None, **limits: Any) -> Any:
        return running_gateway(upstream, router or Script(), **limits)

    return starting


@pytest.fixture
def gateway(start: Starter) -> Iterator[Running]:
    with start() as running:
        yield running
