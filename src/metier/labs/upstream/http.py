"""One connection to the fake upstream: HTTP/1.1 requests in, whatever bytes the fault wants out."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

import httptools
import orjson

Header = tuple[bytes, bytes]
# A zero time to linger makes the kernel send RST instead of FIN.
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(eq=False, slots=True)
class Call:
    """A request as it came: header names in lower case, raw body. `is_aborted`: the client left before the answer's end."""

    method: str
    path: str
    headers: tuple[Header, ...]
    body: bytes
    is_aborted: bool = False
    _request: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def request(self) -> dict[str, Any]:
        """The body as a JSON object; {} where it is none."""
        if self._request is None:
            try:
                parsed = orjson.loads(self.body or b"{}")
            except orjson.JSONDecodeError:
                parsed = {}
            self._request = parsed if isinstance(parsed, dict) else {}
        return self._request

    def header(self, name: str) -> str | None:
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), None)


class Connection(asyncio.Protocol):
    """Answers requests one after the other, pipelined ones too. `answer` writes at once and gives back None, or gives back
    what is left to do."""

    def __init__(
        self,
        answer: Callable[[Call, Connection], Coroutine[Any, Any, None] | None],
        opened: Callable[[Connection], None],
        closed: Callable[[Connection], None],
    ) -> None:
        self._answer, self._opened, self._closed = answer, opened, closed
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)  # set before any other call arrives
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Call, bool]] = deque()
        self._current: Call | None = None
        self._task: asyncio.Task[None] | None = None
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._headers: list[Header] = []
        self._body: list[bytes] = []
        self._url = b""

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._closed(self)
        self._can_write.set()
        if self._task is not None:
            if self._current is not None:
                self._current.is_aborted = True
            self._task.cancel()

    def pause_writing(self) -> None:
        self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()

    # what the parser calls

    def on_message_begin(self) -> None:
        self._headers, self._body, self._url = [], [], b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._headers.append((name, value))
        if name == b"expect" and value.lower() == b"100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        path = self._url.partition(b"?")[0].decode("latin-1")
        call = Call(self._parser.get_method().decode(), path, tuple(self._headers), b"".join(self._body))
        self._waiting.append((call, self._parser.should_keep_alive()))
        if self._task is None:
            self._next()

    def _next(self) -> None:
        while self._waiting and not self._transport.is_closing():
            call, keeps_alive = self._waiting.popleft()
            rest = self._answer(call, self)
            if rest is not None:
                self._current = call
                self._task = asyncio.get_running_loop().create_task(self._finish(rest, keeps_alive))
                return
            if not keeps_alive:
                self._transport.close()

    async def _finish(self, rest: Coroutine[Any, Any, None], keeps_alive: bool) -> None:
        await rest
        self._task = self._current = None
        if not keeps_alive:
            self._transport.close()
        self._next()

    # what the answers call

    @property
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    async def send(self, data: bytes) -> None:
        """Write, and wait while the client does not read."""
        self.write(data)
        if not self._can_write.is_set():
            await self._can_write.wait()

    def close(self) -> None:
        """Close after what has been written."""
        self._transport.close()

    def reset(self) -> None:
        """Drop the connection with a TCP reset."""
        connection = self._transport.get_extra_info("socket")
        if connection is not None and not self._transport.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()
