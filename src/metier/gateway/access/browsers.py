"""Web pages: which may call (CORS), and which must not even where nobody needs a key."""

from __future__ import annotations

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
_ORIGIN = b"origin"


def guard_browsers(app: App, origins: Sequence[str], needs_key: Callable[[], bool]) -> App:
    """`app`, so that pages of `origins` may call it and read its answers, as the CORS headers tell their browsers.

    Without keys, a call that a page of another origin makes is refused as well. A browser sends it even where it may not
    read the answer, and it comes from the gateway's own machine: any page a developer looks at could spend their money.
    With keys there is no such danger, a page has none. `*` in `origins` counts only where a key is needed.
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
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name == _ORIGIN and value not in origins and not needs_key():
                    await _send_refusal(send)
                    return
        await app(scope, receive, send)

    return guarded


async def _send_refusal(send: Send) -> None:
    error = refusals.foreign_page()
    body = error.body()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
