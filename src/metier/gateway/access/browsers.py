"""Web pages: which may call (CORS), and which must not even where nobody needs a key."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from metier.gateway.access import refusals

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_EXPOSED = (
    "x-metier-trace", "x-metier-route", "x-metier-task", "x-metier-reason", "x-metier-score", "x-metier-threshold",
    "x-metier-certificate", "x-metier-specialist", "x-request-id", "retry-after", "retry-after-ms",
    "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
)  # fmt: skip
_ORIGIN, _HOST = b"origin", b"host"


def guard_browsers(app: App, origins: Sequence[str], needs_key: Callable[[], bool]) -> App:
    """`app`, so that pages of `origins` may call it and read its answers, as the CORS headers tell their browsers.

    Without keys, a call that a page of another origin makes is refused as well. A browser sends it even where it may not
    read the answer, and it comes from the gateway's own machine: any page a developer looks at could spend their money.
    So is a call under another name than localhost or an address. With keys there is no such danger, for a page has none.
    `*` in `origins` counts only where a key is needed.
    """
    guarded = _refuse_foreign_pages(app, frozenset(origin.encode() for origin in origins), needs_key)
    if not origins:
        return guarded
    from starlette.middleware.cors import CORSMiddleware

    return CORSMiddleware(
        guarded,
        allow_origins=list(origins),
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        allow_credentials=False,
        expose_headers=list(_EXPOSED),
        max_age=600,
    )


def _refuse_foreign_pages(app: App, origins: frozenset[bytes], needs_key: Callable[[], bool]) -> App:
    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not needs_key():
            for name, value in scope["headers"]:
                if (name == _ORIGIN and value not in origins) or (name == _HOST and not _is_own_name(value)):
                    await _send_refusal(send)
                    return
        await app(scope, receive, send)

    return guarded


@functools.lru_cache(maxsize=256)
def _is_own_name(host: bytes) -> bool:
    """Whether a Host header gives an address or localhost. A page whose own name was made to point here (DNS rebinding)
    sends no Origin with what it reads, but its name stands in Host."""
    name = host.decode("latin-1").strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _send_refusal(send: Send) -> None:
    error = refusals.foreign_page()
    body = error.body()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
