"""uvicorn's HTTP connection, made safe against clients that are slow, silent or gone."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from metier.gateway.chat import CONNECTION
from metier.gateway.errors import ApiError

# Headers of a request in all, request line included; other servers allow 8 to 64 KiB.
MAX_HEADER_BYTES = 65_536
# How long the rest of a body is read and thrown away after the answer (a refusal) has gone out. Closing at once would
# make the kernel send a reset, and the client would never see why it was refused.
_LINGER_S = 2.0


class GuardedConnection(HttpToolsProtocol):
    """A connection that a client cannot hold for ever, and that tells the application when the client has gone.

    A request's headers must be complete within `pause_s`, and a client that takes nothing of its answer for `pause_s` is
    cut off. The application finds the connection in its scope (gateway.chat.CONNECTION): `task`, which it sets, is
    cancelled when the client hangs up, and `is_gone` is true from then on.
    """

    pause_s = 20.0  # the worker makes a subclass with the setting

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.task: asyncio.Task[Any] | None = None
        self.is_gone = False
        self._is_in_headers = False
        self._header_bytes = 0
        self._header_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0

    # The connection as a whole

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # A client that connects and says nothing is as suspect as one that stops within its headers.
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_gone = True
        for timer in (self._header_timer, self._write_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        if self.task is not None:
            self.task.cancel()

    # Requests that come in

    @property
    def is_body_here(self) -> bool:
        """Whether the newest request, and so every one before it, has come in as a whole."""
        return not self.cycle.more_body

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._is_in_headers:
            return
        # The headers are not complete: seldom, so that all of this costs nothing for others.
        self._header_bytes += len(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(ApiError(431, "The request's headers are too large.", code="headers_too_large"))
        elif self._header_timer is None:
            self._start_header_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[CONNECTION] = self  # type: ignore[literal-required]
        self._is_in_headers = True

    def on_headers_complete(self) -> None:
        self._is_in_headers = False
        self._header_bytes = 0
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        super().on_message_complete()

    def _start_header_timer(self) -> None:
        self._header_timer = self.loop.call_later(self.pause_s, self._on_slow_headers)

    def _on_slow_headers(self) -> None:
        self._header_timer = None
        if self._header_bytes:
            self._refuse(
                ApiError(408, "The request's headers did not arrive in time.", "timeout_error", "request_timeout")
            )
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        self._refuse(ApiError(400, msg, code="invalid_http"))

    def _refuse(self, error: ApiError) -> None:
        """Answer what is no request, in OpenAI's shape, and close. The application never hears of it."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            # Another answer is on its way: two cannot share the line.
            self.transport.abort()
            return
        body = error.body()
        self.transport.write(
            b"HTTP/1.1 %d \r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (error.status, len(body), body)
        )
        self.transport.close()

    # Answers that go out

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.more_body and self._linger_timer is None and not self.transport.is_closing():
            self._linger_timer = self.loop.call_later(_LINGER_S, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def timeout_keep_alive_handler(self) -> None:
        # Closing waits until all is sent, which may be never.
        if self.transport.get_write_buffer_size():
            self._watch_writing()
        super().timeout_keep_alive_handler()

    def _watch_writing(self) -> None:
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self.pause_s, self._on_slow_reader)

    def _on_slow_reader(self) -> None:
        # Slow is not silent: as long as some of it is taken, the client may go on.
        if self.transport.get_write_buffer_size() < self._unsent_bytes:
            self._watch_writing()
        else:
            self.transport.abort()
