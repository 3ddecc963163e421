"""An empty handler that proxies: reads the body, posts it to the upstream, passes status, headers and body on, no more.

What an ASGI server and client can do at most, to measure a gateway against: uvicorn runs it with metier's settings, and it
keeps a pool of connections with the client that metier uses.
"""

from __future__ import annotations

import os
from typing import Any

import aiohttp

_UPSTREAM = os.environ["UPSTREAM"].removesuffix("/v1")
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"transfer-encoding"})
_sessions: list[aiohttp.ClientSession] = []


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["path"] == "/healthz":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
        return
    body = await _body(receive)
    async with _session().post(_UPSTREAM + scope["path"], data=body, headers=_JSON) as answer:
        headers = [(key.lower(), value) for key, value in answer.raw_headers if key.lower() not in _HOP_BY_HOP]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": await answer.read()})


_JSON = {"content-type": "application/json"}


def _session() -> aiohttp.ClientSession:
    if not _sessions:
        connector = aiohttp.TCPConnector(limit=0)
        _sessions.append(
            aiohttp.ClientSession(connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
        )
    return _sessions[0]


async def _body(receive: Any) -> bytes:
    pieces, has_more = [], True
    while has_more:
        message = await receive()
        pieces.append(message.get("body", b""))
        has_more = message.get("more_body", False)
    return b"".join(pieces)
