"""An upstream's answer while it comes in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import orjson

from metier.gateway.protocols import Header
from metier.gateway.upstreams import failures
from metier.gateway.upstreams.breaker import NO_TICKET, Breaker, Ticket
from metier.gateway.upstreams.failures import Failure
from metier.gateway.upstreams.timeouts import Timeouts
from metier.gateway.upstreams.wire.errors import Broken
from metier.gateway.upstreams.wire.exchange import Exchange

# An answer that is no stream is held back until this much of it is here, so that a broken one can still be asked again.
_HELD_BYTES = 2**20
_SERVER_ERROR = 500


class Reply:
    """`begin` takes in the first part of the body; after it the body is read once, by `read` or by `chunks`."""

    def __init__(
        self,
        exchange: Exchange,
        headers: Sequence[Header],
        *,
        upstream: str,
        model: str | None,
        idle_timeout_s: float,
        deadline: float,
        clock: Callable[[], float],
        timeouts: Timeouts,
        breaker: Breaker,
        ticket: Ticket,
        is_event_stream: bool,
    ) -> None:
        self.status = exchange.status
        self.headers = headers
        self.upstream = upstream
        self.model = model
        self.attempts = 1
        self.is_event_stream = is_event_stream
        self.document: object = None
        self._exchange = exchange
        self._idle_timeout_s = idle_timeout_s
        self._deadline = deadline
        self._clock = clock
        self._timeouts = timeouts
        self._breaker = breaker
        self._ticket = ticket
        self._held: list[bytes] = []
        self._is_done = False

    async def begin(self, latest: float, *, is_whole: bool) -> None:
        """Take in the first part of a stream, which comes by `latest`, or a whole answer up to a MiB. Raises Failure."""
        size, timeout_s = 0, latest - self._clock()
        while not self._is_done:
            chunk = await self._next(timeout_s)
            self._held.append(chunk)
            size += len(chunk)
            if chunk and (not is_whole or size >= _HELD_BYTES):
                return
            timeout_s = self._idle_timeout_s
        if not self._is_sound():
            raise Failure(failures.broken(self.upstream, "it is no JSON"))

    def hide(self, secret: bytes) -> None:
        """Put asterisks, as many, in the secret's place: in the headers and in what is held, which is the whole of an
        error up to a MiB."""
        stars = b"*" * len(secret)
        self.headers = [(name, value.replace(secret, stars)) for name, value in self.headers]
        self._held = [b"".join(self._held).replace(secret, stars)]

    def answered(self) -> None:
        """Tell the breaker how the answer has begun: a 5xx is the upstream's failure, whatever becomes of its body."""
        if self.status >= _SERVER_ERROR:
            self._breaker.failed(self._ticket)
            self._ticket = NO_TICKET
            return
        self._ticket = self._breaker.answered(self._ticket)
        if self._is_done:
            self._breaker.finished(self._ticket)

    async def read(self) -> bytes:
        """The whole body. Raises ApiError 502 or 504."""
        while chunk := await self._following():
            self._held.append(chunk)
        body = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held = [body]
        return body

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises ApiError 502 or 504."""
        for chunk in self._held:
            yield chunk
        self._held = []
        while chunk := await self._following():
            yield chunk

    async def close(self) -> None:
        """Let go of the upstream; its connection is closed where the answer has not come to its end."""
        if not self._is_done:
            self._is_done = True
            self._breaker.released(self._ticket)
            self._exchange.close()

    async def _following(self) -> bytes:
        """The next part after `begin`, b"" at the end; tells the breaker what becomes of the answer. Raises ApiError."""
        while not self._is_done:
            try:
                chunk = await self._next(self._idle_timeout_s)
            except Failure as failure:
                if failure.counts:
                    self._breaker.failed(self._ticket)
                await self.close()
                raise failure.error from None
            if self._is_done:
                self._breaker.finished(self._ticket)
            if chunk:
                return chunk
        return b""

    async def _next(self, timeout_s: float) -> bytes:
        """The next part of the body, or b"". Raises Failure."""
        left_s = timeout_s
        try:
            chunk = self._exchange.take()
            if chunk is None:
                left_s = self._deadline - self._clock()
                with self._timeouts.after(min(timeout_s, left_s)):
                    while chunk is None:
                        await self._exchange.wait()
                        chunk = self._exchange.take()
        except TimeoutError:
            is_own_fault = timeout_s <= left_s
            what = f"it sent nothing for {timeout_s:.3g} s" if is_own_fault else "the call's time is over"
            raise Failure(failures.timed_out(self.upstream, what), counts=is_own_fault) from None
        except Broken as error:
            raise Failure(failures.broken(self.upstream, str(error))) from None
        self._is_done = self._exchange.has_ended
        return chunk

    def _is_sound(self) -> bool:
        """Whether a success is JSON, as the client's library expects; an answer that came packed is taken as it is."""
        if self.status >= 300 or self.is_event_stream or any(name == b"content-encoding" for name, _ in self.headers):
            return True
        self._held = [b"".join(self._held)]
        try:
            self.document = orjson.loads(self._held[0])
        except orjson.JSONDecodeError:
            return False
        return True
