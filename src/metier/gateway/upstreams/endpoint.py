"""One upstream: its pool of connections, its key, its breaker, and a single attempt at a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal
from urllib.parse import quote

from metier.gateway.upstreams import failures
from metier.gateway.upstreams.breaker import Breaker, Ticket
from metier.gateway.upstreams.failures import Failure
from metier.gateway.upstreams.headers import to_client
from metier.gateway.upstreams.options import Options
from metier.gateway.upstreams.reply import Reply
from metier.gateway.upstreams.timeouts import Timeouts
from metier.gateway.upstreams.wire.address import Address
from metier.gateway.upstreams.wire.errors import Broken, ConnectTimedOut, NotConnected
from metier.gateway.upstreams.wire.exchange import Exchange, begun
from metier.gateway.upstreams.wire.pool import Pool

_ERROR = 400


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A call as it goes out: `headers` as lines without Authorization, `authorization` the client's own. `deadline` in
    monotonic seconds."""

    method: Literal["GET", "POST"]
    path: str
    headers: bytes = field(repr=False)
    authorization: bytes | None = field(repr=False)
    deadline: float


class Endpoint:
    """`key` None passes the client's own Authorization on."""

    def __init__(self, options: Options, address: Address, key: str | None, clock: Callable[[], float]) -> None:
        self.options = options
        self.name = options.name
        self.breaker = Breaker(options.breaker_failures, options.breaker_reset_s, clock)
        self.is_keyless = bool(options.api_key_env) and not key
        self.has_own_key = bool(options.api_key_env)
        self._address = address
        self._key = key.encode("latin-1") if key else None
        self._authorization = b"Bearer " + self._key if self._key else None
        self._clock = clock
        self._timeouts = Timeouts()
        self._pool = Pool(address, options.max_connections, clock)

    async def attempt(self, call: Outgoing, body: bytes, model: str | None, ticket: Ticket) -> Reply:
        """An answer whose body has begun. Raises Failure."""
        began = self._clock()
        exchange = await self._exchange(call, self._request(call, body))
        try:
            reply = self._reply(exchange, call, model, ticket)
            is_error = reply.status >= _ERROR
            is_whole = is_error or not reply.is_event_stream
            await reply.begin(began + self.options.first_byte_timeout_s, is_whole=is_whole)
            if is_error and self._key:
                # Some upstreams repeat the key that they refuse, and it is not the client's.
                reply.hide(self._key)
        except BaseException:
            exchange.close()
            raise
        return reply

    async def close(self) -> None:
        await self._pool.close()

    def _request(self, call: Outgoing, body: bytes) -> bytes:
        """The bytes that go out."""
        address = self._address
        authorization = self._authorization or call.authorization
        return b"".join(
            (
                b"%b %b%b HTTP/1.1\r\n" % (call.method.encode(), address.prefix, _target(call.path)),
                address.headers,
                call.headers,
                b"" if authorization is None else b"authorization: %b\r\n" % authorization,
                b"" if call.method == "GET" else b"content-length: %d\r\n" % len(body),
                b"\r\n",
                body,
            )
        )

    async def _exchange(self, call: Outgoing, request: bytes) -> Exchange:
        """The head of the answer. Raises Failure."""
        timeout_s = self.options.first_byte_timeout_s
        left_s = call.deadline - self._clock()
        try:
            with self._timeouts.after(min(timeout_s, left_s)):
                return await begun(self._pool, request, self.options.connect_timeout_s)
        except TimeoutError:
            is_own_fault = timeout_s <= left_s
            what = f"no answer within {timeout_s:g} s" if is_own_fault else "the call's time is over"
            raise Failure(failures.timed_out(self.name, what), counts=is_own_fault) from None
        except ConnectTimedOut as error:
            raise Failure(failures.timed_out(self.name, str(error))) from None
        except NotConnected as error:
            raise Failure(failures.unreachable(self.name, str(error))) from None
        except Broken as error:
            raise Failure(failures.broken(self.name, str(error))) from None

    def _reply(self, exchange: Exchange, call: Outgoing, model: str | None, ticket: Ticket) -> Reply:
        status = exchange.status
        kind = next((value.lower() for name, value in exchange.headers if name.lower() == b"content-type"), b"")
        if 300 <= status < 400:
            raise Failure(failures.broken(self.name, f"it redirects ({status}); its base_url needs correcting"))
        if status < 300 and kind.startswith((b"text/html", b"application/xhtml")):
            raise Failure(failures.broken(self.name, "it sent a web page"))
        return Reply(
            exchange,
            to_client(exchange.headers),
            upstream=self.name,
            model=model,
            idle_timeout_s=self.options.idle_timeout_s,
            deadline=call.deadline,
            clock=self._clock,
            timeouts=self._timeouts,
            breaker=self.breaker,
            ticket=ticket,
            is_event_stream=kind.startswith(b"text/event-stream"),
        )


@lru_cache(maxsize=64)
def _target(path: str) -> bytes:
    """The path as a request line can hold it."""
    return quote(path, safe="/?&=:,%").encode()
