"""One connection to a server: a request out, its answer in, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from metier.gateway.protocols import Header
from metier.gateway.upstreams.wire.errors import Broken, in_words

# Reading stops while this much of a body waits to be taken.
_HIGH_WATER_BYTES = 2**16
_MAX_HEAD_BYTES = 2**18
_CONTINUE, _SWITCHING, _OK = 100, 101, 200


class Connection(asyncio.Protocol):
    """`begin` sends a request and waits for the head of its answer; `take` and `wait` give the body as it comes.

    `status` and `headers` (as received) are those of the current answer, `has_ended` says whether its body is complete;
    then `is_reusable` whether another request may follow. `lost` is called when the connection is gone.
    """

    def __init__(self, lost: Callable[[Connection], None]) -> None:
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)  # set before anything else is called
        self._parser = httptools.HttpResponseParser(self)
        self._reset()
        self.has_ended = True
        self.is_reusable = True
        self.idle_since = 0.0

    def _reset(self) -> None:
        self.status = 0
        self.headers: list[Header] = []
        self.has_ended = False
        self._has_head = False
        self._has_length = False
        self._n_head_bytes = 0
        self._body: list[bytes] = []
        self._n_waiting_bytes = 0
        self._is_paused = False
        self._error: Broken | None = None
        self._waiter: asyncio.Future[None] | None = None

    # what the client calls

    async def begin(self, request: bytes) -> None:
        """Send `request`; returns once the answer's head is here. Raises Broken."""
        self._reset()
        self.is_reusable = False
        if not self.is_open:  # it is told of a loss only once
            self._error = Broken("it closed the connection")
        else:
            self._transport.write(request)
        while not self._has_head:
            await self.wait()

    def take(self) -> bytes | None:
        """What has come of the body since; b"" at its end; None where one has to `wait`. Raises Broken."""
        if self._body:
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._body = []
            self._n_waiting_bytes = 0
            if self._is_paused:
                self._is_paused = False
                self._transport.resume_reading()
            return body
        if self.has_ended:
            return b""
        if self._error is not None:
            raise self._error
        return None

    async def wait(self) -> None:
        """Until something comes. Raises Broken where nothing can."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    def abort(self) -> None:
        """Close at once; what has not been sent or read is dropped."""
        self.is_reusable = False
        self._transport.abort()

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.has_ended:  # nothing has been asked for
            self.abort()
            return
        if not self._has_head:
            self._n_head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("it sent no valid HTTP")
            return
        if not self._has_head and self._n_head_bytes > _MAX_HEAD_BYTES:
            self._fail("its headers do not end")
        elif self._n_waiting_bytes >= _HIGH_WATER_BYTES and not self._is_paused and not self.has_ended:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_reusable = False
        if not self.has_ended and self._error is None:
            if self._has_head and not self._has_length and exc is None:
                self.has_ended = True  # a body without a length ends with its connection (RFC 9112, 6.3)
            else:
                why = in_words(exc) if isinstance(exc, OSError) else "it closed the connection"
                self._error = Broken(why, has_begun=self._n_head_bytes > 0)
        self._wake()
        self._lost(self)

    def _fail(self, why: str) -> None:
        """Nothing of use can come any more."""
        self.is_reusable = False
        if not self.has_ended:
            self._error = Broken(why, has_begun=True)
        self._transport.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done() and (self._has_head or self._error is not None):
            self._waiter.set_result(None)

    # what the parser calls

    def on_message_begin(self) -> None:
        if self.has_ended:  # a second answer to one request
            self.is_reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:  # what comes after the body are trailers
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._has_head:
            return
        if _CONTINUE <= status < _OK and status != _SWITCHING:
            self.headers = []
            return
        self.status = status
        self._has_head = True
        self._has_length = any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self.headers)

    def on_body(self, body: bytes) -> None:
        if not self.has_ended:
            self._body.append(body)
            self._n_waiting_bytes += len(body)

    def on_message_complete(self) -> None:
        if self._has_head and not self.has_ended and self.status != _SWITCHING:
            self.has_ended = True
            self.is_reusable = self._parser.should_keep_alive()
