"""Reads a request's body, and no more of it, nor for longer, than is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from metier.gateway.errors import ApiError

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

# A client that keeps sending, but a byte at a time, must not hold its place for ever: beyond the first `pause_s` it has to
# keep up this rate, a fiftieth of what a poor mobile connection gives.
MIN_BYTES_PER_S = 2_000
_MIB = 1 << 20


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


async def read_body(
    receive: Receive, length: str | None, max_bytes: int, pause_s: float, *, is_here: bool = False
) -> bytes:
    """The whole body. `length` is the content-length header, if any; `is_here` says that the server has all of it, so that
    no timer is needed.

    Raises ApiError 413 as soon as the body is known to be over `max_bytes`, 408 where the client pauses for over `pause_s`
    seconds or is slower than MIN_BYTES_PER_S, 400 for a length that is no number; ClientGone where it hangs up.
    """
    if length is not None:
        _check_length(length, max_bytes)
    message = await (receive() if is_here else _within(receive, pause_s))
    body: bytes = _part(message)
    if not message.get("more_body"):
        return _limited(body, len(body), max_bytes)
    return await _rest(receive, body, max_bytes, pause_s)


async def _rest(receive: Receive, body: bytes, max_bytes: int, pause_s: float) -> bytes:
    loop = asyncio.get_running_loop()
    began = loop.time()
    parts, n_bytes, more = [body], len(body), True
    while more:
        _limited(b"", n_bytes, max_bytes)
        allowed_s = began + pause_s + n_bytes / MIN_BYTES_PER_S - loop.time()
        message = await _within(receive, min(pause_s, allowed_s))
        parts.append(_part(message))
        n_bytes += len(parts[-1])
        more = bool(message.get("more_body"))
    return _limited(b"".join(parts), n_bytes, max_bytes)


async def _within(receive: Receive, seconds: float) -> Mapping[str, Any]:
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            return await receive()
    except TimeoutError:
        raise ApiError(
            408,
            "The request's body did not arrive in time; send it faster.",
            "timeout_error",
            "request_timeout",
            headers=(("connection", "close"),),
        ) from None


def _part(message: Mapping[str, Any]) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientGone
    part: bytes = message.get("body", b"")
    return part


def _check_length(length: str, max_bytes: int) -> None:
    if not (length.isascii() and length.isdigit()):
        raise ApiError(400, f"Content-Length must be a number; received {length[:40]!r}.", code="bad_content_length")
    # Compared by digits first: a length of thousands of digits is no number worth making.
    if len(length) > len(str(max_bytes)) + 1 or int(length) > max_bytes:
        raise _too_large(f"{length[:24]} bytes", max_bytes)


def _limited(body: bytes, n_bytes: int, max_bytes: int) -> bytes:
    if n_bytes > max_bytes:
        raise _too_large(f"over {max_bytes} bytes", max_bytes)
    return body


def _too_large(received: str, max_bytes: int) -> ApiError:
    return ApiError(
        413,
        f"The request's body is too large: received {received}, allowed are {max_bytes / _MIB:g} MiB.",
        code="request_too_large",
    )
