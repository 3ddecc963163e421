"""The load generator: some 15 µs of CPU a call, so that on two cores the server is what is measured.

Two ways. Closed loop: each connection sends its next call as soon as the last is answered; the rate it reaches is the
server's maximum. Open loop: calls are sent at times fixed before, whatever the server does, and a latency runs from the
time at which the call was to be sent, so a server that stalls cannot hide the calls it kept waiting (coordinated omission).
Every answer is checked; one that is wrong, cut short or missing counts as an error, by kind.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import httptools
import uvloop
from alarm import Alarm

Header = tuple[bytes, bytes]
# How long calls under way at the end may still take; then they count as missing.
_PATIENCE_S = 30.0
_CONNECT_TRIES = 20


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int


@dataclass(slots=True)
class Answer:
    """What came back: header names as the server wrote them; `first_token_s` of streams on time.monotonic()."""

    status: int = 0
    headers: list[Header] = field(default_factory=list)
    body: bytes = b""
    first_token_s: float | None = None

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP request, whole, and what is wrong with an answer to it (None: nothing)."""

    wire: bytes
    check: Callable[[Answer], str | None]
    is_stream: bool = False


@dataclass(slots=True)
class Load:
    """What a run gave. Times are seconds; in an open loop they run from the time at which the call was to be sent."""

    latencies_s: list[float] = field(default_factory=list)
    first_tokens_s: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    wall_s: float = 0.0
    most_open: int = 0

    @property
    def n(self) -> int:
        return len(self.latencies_s) + self.n_errors

    @property
    def n_errors(self) -> int:
        return self.errors.total()

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return len(self.latencies_s) / self.wall_s


def even(rate: float, duration_s: float) -> list[float]:
    """Times at which to send, evenly spaced."""
    return [number / rate for number in range(int(rate * duration_s))]


def poisson(rate: float, duration_s: float, seed: int) -> list[float]:
    """Times at which independent clients would send: exponential gaps."""
    draw, now, times = random.Random(seed), 0.0, []
    while (now := now + draw.expovariate(rate)) < duration_s:
        times.append(now)
    return times


def closed_loop(
    address: Address,
    calls: Iterator[Call],
    n_connections: int,
    *,
    n: int | None = None,
    duration_s: float | None = None,
) -> Load:
    """As fast as `n_connections` get answers, for `n` calls or `duration_s` (calls under way are waited for)."""
    return _run(_Closed(address, calls, n, duration_s).run(n_connections))


def open_loop(address: Address, calls: Iterator[Call], times_s: Sequence[float], n_connections: int) -> Load:
    """A call at each of `times_s` from the start, ascending. While all connections are busy a call waits; it counts."""
    return _run(_Open(address, calls, times_s).run(n_connections))


def _run(work: Any) -> Load:
    gc.collect()
    gc.disable()  # a collection of our own would show as latency of the server
    try:
        return uvloop.run(work)
    finally:
        gc.enable()


class _Connection(asyncio.Protocol):
    """One call at a time. `done` hears of every answer, with what is wrong with it; `lost` of a connection that went."""

    def __init__(self, done: Callable[[_Connection, str | None], None], lost: Callable[[_Connection], None]) -> None:
        self._done, self._lost = done, lost
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self.call: Call | None = None
        self.answer = Answer()
        self.due_s = 0.0

    def send(self, call: Call, due_s: float) -> None:
        self.call, self.due_s, self.answer, self._pieces = call, due_s, Answer(), []
        self._transport.write(call.wire)

    def close(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        self._lost(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.answer.headers.append((name, value))

    def on_body(self, piece: bytes) -> None:
        call = self.call
        if call is not None and call.is_stream and self.answer.first_token_s is None and has_token(piece):
            self.answer.first_token_s = time.monotonic()
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        call, answer = self.call, self.answer
        if call is None:  # an answer to nothing
            self._transport.abort()
            return
        answer.status = self._parser.get_status_code()
        answer.body = b"".join(self._pieces)
        self.call = None
        self._done(self, call.check(answer))


def has_token(piece: bytes) -> bool:
    """Whether events of a chat stream hold a piece of the text."""
    for mark in (b'"content":"', b'"content": "'):
        start = piece.find(mark)
        while start >= 0:
            end = start + len(mark)
            if piece[end : end + 1] not in (b'"', b""):
                return True
            start = piece.find(mark, end)
    return False


class _Loop:
    """What both ways share: connecting, and keeping the books."""

    def __init__(self, address: Address, calls: Iterator[Call]) -> None:
        self.address, self.calls = address, calls
        self.load = Load()
        self.connections: set[_Connection] = set()
        self.reconnecting: set[asyncio.Task[None]] = set()
        self.finished = asyncio.Event()
        self.n_open = 0

    async def connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        for attempt in range(_CONNECT_TRIES):
            try:
                _, connection = await loop.create_connection(
                    lambda: _Connection(self.done, self.lost), self.address.host, self.address.port
                )
            except OSError:
                if attempt + 1 == _CONNECT_TRIES:
                    raise
                await asyncio.sleep(0.05)
            else:
                self.connections.add(connection)
                return connection
        raise AssertionError

    def send(self, connection: _Connection, due_s: float) -> None:
        self.n_open += 1
        self.load.most_open = max(self.load.most_open, self.n_open)
        connection.send(next(self.calls), due_s)

    def done(self, connection: _Connection, wrong: str | None) -> None:
        self.n_open -= 1
        if wrong is not None:
            self.load.errors[wrong] += 1
        else:
            answer = connection.answer
            self.load.latencies_s.append(time.monotonic() - connection.due_s)
            if answer.first_token_s is not None:
                self.load.first_tokens_s.append(answer.first_token_s - connection.due_s)
        self.free(connection)

    def lost(self, connection: _Connection) -> None:
        """A call under way on it is an error; another connection takes its place."""
        self.connections.discard(connection)
        self.forget(connection)
        if self.finished.is_set():
            return
        if connection.call is not None:
            connection.call = None
            self.n_open -= 1
            self.load.errors["connection lost"] += 1
        task = asyncio.get_running_loop().create_task(self._replace())
        self.reconnecting.add(task)
        task.add_done_callback(self.reconnecting.discard)

    async def _replace(self) -> None:
        with suppress(OSError):
            self.free(await self.connect())

    async def wait(self, timeout_s: float) -> None:
        """Until all is answered; what is not by then is missing."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.finished.wait(), timeout_s)
        self.finished.set()
        for connection in tuple(self.connections):
            if connection.call is not None:
                self.load.errors["no answer"] += 1
            connection.close()

    def free(self, connection: _Connection) -> None:
        raise NotImplementedError

    def forget(self, connection: _Connection) -> None:
        """Called for a connection that went."""


class _Closed(_Loop):
    def __init__(self, address: Address, calls: Iterator[Call], n: int | None, duration_s: float | None) -> None:
        super().__init__(address, calls)
        self._left = n
        self._duration_s = duration_s
        self._end_s = float("inf")

    async def run(self, n_connections: int) -> Load:
        connections = [await self.connect() for _ in range(n_connections)]
        start_s = time.monotonic()
        if self._duration_s is not None:
            self._end_s = start_s + self._duration_s
        for connection in connections:
            self.free(connection)
        await self.wait(_PATIENCE_S + (self._duration_s or 3600.0))
        self.load.wall_s = time.monotonic() - start_s
        return self.load

    def free(self, connection: _Connection) -> None:
        now_s = time.monotonic()
        if self._left == 0 or now_s >= self._end_s:
            if self.n_open == 0:
                self.finished.set()
            return
        if self._left is not None:
            self._left -= 1
        self.send(connection, now_s)


class _Open(_Loop):
    def __init__(self, address: Address, calls: Iterator[Call], times_s: Sequence[float]) -> None:
        super().__init__(address, calls)
        self._times_s = times_s
        self._next = 0
        self._start_s = 0.0
        self._idle: deque[_Connection] = deque()
        self._waiting: deque[float] = deque()
        self._alarm = Alarm(self._due)

    async def run(self, n_connections: int) -> Load:
        for _ in range(n_connections):
            self._idle.append(await self.connect())
        with self._alarm:
            self._start_s = time.monotonic() + 0.05
            self._arm()
            await self.wait(_PATIENCE_S + self._times_s[-1])
        self.load.wall_s = time.monotonic() - self._start_s
        if n_unsent := len(self._waiting) + len(self._times_s) - self._next:
            self.load.errors["not sent"] += n_unsent
        return self.load

    def _arm(self) -> None:
        if self._next < len(self._times_s):
            self._alarm.set(self._start_s + self._times_s[self._next])

    def _due(self) -> None:
        now_s = time.monotonic()
        while self._next < len(self._times_s) and (due_s := self._start_s + self._times_s[self._next]) <= now_s:
            self._next += 1
            if self._idle:
                # The longest idle first: every connection stays in use, as with many clients.
                self.send(self._idle.popleft(), due_s)
            else:
                self._waiting.append(due_s)
        self._arm()

    def free(self, connection: _Connection) -> None:
        if self._waiting:
            self.send(connection, self._waiting.popleft())
            return
        self._idle.append(connection)
        if self.n_open == 0 and self._next == len(self._times_s):
            self.finished.set()

    def forget(self, connection: _Connection) -> None:
        with suppress(ValueError):
            self._idle.remove(connection)
