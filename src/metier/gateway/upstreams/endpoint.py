"""One upstream: its pool of connections, its key, its breaker, and a single attempt at a call."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
from aiohttp import ClientConnectorError, ClientError, ConnectionTimeoutError, ServerDisconnectedError
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from metier.gateway.upstreams import failures
from metier.gateway.upstreams.breaker import Breaker, Ticket
from metier.gateway.upstreams.failures import Failure
from metier.gateway.upstreams.headers import to_client
from metier.gateway.upstreams.options import Options
from metier.gateway.upstreams.proxies import proxy_for
from metier.gateway.upstreams.reply import Reply

# Connections that are not in use are kept this long; most servers keep them longer, and a closed one costs a handshake.
_KEEP_ALIVE_S = 30.0
_DNS_CACHE_S = 30
# Larger bodies are written piece by piece, so that the event loop is not held up.
_LARGE_BODY_BYTES = 2**20
# Whether the attempt under way opened its connection itself, or took one from the pool.
_is_new_connection: ContextVar[bool] = ContextVar("is_new_connection")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A call as it goes out: `headers` without Authorization, `authorization` the client's own. `deadline` in monotonic
    seconds."""

    method: Literal["GET", "POST"]
    path: str
    headers: Mapping[str, str]
    authorization: str | None
    is_stream: bool
    deadline: float


class Endpoint:
    """`key` None passes the client's own Authorization on."""

    def __init__(
        self, options: Options, key: str | None, clock: Callable[[], float], environment: Mapping[str, str]
    ) -> None:
        self.options = options
        self.name = options.name
        self.breaker = Breaker(options.breaker_failures, options.breaker_reset_s, clock)
        self.is_keyless = bool(options.api_key_env) and not key
        self.has_own_key = bool(options.api_key_env)
        self._authorization = f"Bearer {key}" if key else None
        self._clock = clock
        self._base = URL(options.base_url.rstrip("/"))
        self._urls: dict[str, URL] = {}
        self._proxy = proxy_for(self._base.scheme, self._base.host or "", environment)
        self._session: aiohttp.ClientSession | None = None

    async def attempt(self, call: Outgoing, body: bytes, model: str | None, ticket: Ticket) -> Reply:
        """An answer whose body has begun. Raises Failure."""
        response = await self._request(call, body)
        reply = None
        try:
            reply = self._reply(response, call, model, ticket)
            is_whole = not reply.is_event_stream
            await reply.begin(self.options.first_byte_timeout_s, is_whole=is_whole)
        except BaseException:
            response.close()
            raise
        return reply

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _request(self, call: Outgoing, body: bytes) -> aiohttp.ClientResponse:
        """The answer's headers, on a fresh connection where one from the pool turned out to be closed already."""
        try:
            return await self._once(call, body)
        except _StaleConnection:
            return await self._once(call, body)

    async def _once(self, call: Outgoing, body: bytes) -> aiohttp.ClientResponse:
        options = self.options
        left_s = call.deadline - self._clock()
        _is_new_connection.set(False)
        try:
            async with asyncio.timeout(min(options.first_byte_timeout_s, left_s)):
                return await self._opened().request(
                    call.method,
                    self._url(call.path),
                    data=_payload(body),
                    headers=self._headers(call),
                    allow_redirects=False,
                )
        except ConnectionTimeoutError:
            what = f"no connection within {options.connect_timeout_s:g} s"
            raise Failure(failures.timed_out(self.name, what)) from None
        except TimeoutError:
            is_own_fault = options.first_byte_timeout_s <= left_s
            what = f"no answer within {options.first_byte_timeout_s:g} s" if is_own_fault else "the call's time is over"
            raise Failure(failures.timed_out(self.name, what), counts=is_own_fault) from None
        except ClientConnectorError as error:
            raise Failure(failures.unreachable(self.name, failures.in_words(error))) from None
        except (ClientError, HttpProcessingError, OSError) as error:
            if not _is_new_connection.get() and _is_disconnect(error):
                raise _StaleConnection from None
            raise Failure(failures.broken(self.name, failures.in_words(error))) from None

    def _reply(self, response: aiohttp.ClientResponse, call: Outgoing, model: str | None, ticket: Ticket) -> Reply:
        status = response.status
        kind = response.headers.get("content-type", "").lower()
        if 300 <= status < 400:
            raise Failure(failures.broken(self.name, f"it redirects ({status}); its base_url needs correcting"))
        if status < 300 and kind.startswith(("text/html", "application/xhtml")):
            raise Failure(failures.broken(self.name, "it sent a web page"))
        return Reply(
            response,
            to_client(response.raw_headers),
            upstream=self.name,
            model=model,
            idle_timeout_s=self.options.idle_timeout_s,
            deadline=call.deadline,
            clock=self._clock,
            breaker=self.breaker,
            ticket=ticket,
            is_event_stream=kind.startswith("text/event-stream"),
        )

    def _headers(self, call: Outgoing) -> dict[str, str]:
        authorization = self._authorization or call.authorization
        return dict(call.headers) if authorization is None else {**call.headers, "authorization": authorization}

    def _url(self, path: str) -> URL:
        found = self._urls.get(path)
        if found is None:
            found = self._urls[path] = self._base.joinpath(path.lstrip("/"), encoded=True)
        return found

    def _opened(self) -> aiohttp.ClientSession:
        """The session, made in the event loop that uses it."""
        if self._session is None:
            self._session = _session(self.options, self._proxy)
        return self._session


class _StaleConnection(Exception):
    """The server had closed a connection of the pool when the call went out on it."""


def _is_disconnect(error: Exception) -> bool:
    return isinstance(error, ServerDisconnectedError | ConnectionError) or (
        isinstance(error, OSError) and isinstance(error.__cause__ or error.__context__, ConnectionError)
    )


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    if not body:
        return None
    return body if len(body) <= _LARGE_BODY_BYTES else io.BytesIO(body)


class _Connector(aiohttp.TCPConnector):
    """Notes for the attempt under way that its connection is a new one."""

    async def _create_connection(self, *arguments: Any, **named: Any) -> Any:
        _is_new_connection.set(True)
        return await super()._create_connection(*arguments, **named)


def _session(options: Options, proxy: str | None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=_Connector(
            limit=options.max_connections, keepalive_timeout=_KEEP_ALIVE_S, ttl_dns_cache=_DNS_CACHE_S
        ),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("user-agent", "accept", "content-type", "accept-encoding"),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=options.connect_timeout_s),
        proxy=proxy,
    )
