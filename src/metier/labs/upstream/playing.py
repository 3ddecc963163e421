"""Playing an answer on a connection: whole or as a stream, sound or with a fault."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Sequence

from metier.labs.upstream import others
from metier.labs.upstream.behaviour import Behaviour, Fault
from metier.labs.upstream.http import Connection

# Longer than any test waits; a connection that is lost ends the wait at once.
_HANG_S = 86_400.0
_REASONS = {200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 404: b"Not Found", 429: b"Too Many Requests"}
_HTML = b"<html><head><title>502 Bad Gateway</title></head><body>upstream's proxy</body></html>"
_GARBAGE = b'{"id": "chatcmpl-1", "choices": [{"message": {"content": \xff\xfe'
_EVENTS_TYPE = b"text/event-stream; charset=utf-8"
_JSON = b"application/json"

_ERRORS: dict[Fault, tuple[int, bytes]] = {
    Fault.RATE_LIMIT: (429, others.error("Rate limit reached.", "requests", "rate_limit_exceeded")),
    Fault.ERROR: (500, others.error("The server had an error.", "server_error", None)),
    Fault.UNAUTHORIZED: (401, others.error("Incorrect API key.", "invalid_request_error", "invalid_api_key")),
    Fault.NOT_FOUND: (404, others.error("The model does not exist.", "invalid_request_error", "model_not_found")),
    Fault.BAD_REQUEST: (400, others.error("Invalid value.", "invalid_request_error", "invalid_value")),
}


def head(status: int, content_type: bytes, request_id: bytes, length: int | None, extra: bytes = b"") -> bytes:
    """Status line and headers such as OpenAI sends, the cookie of its proxy included; chunked without `length`."""
    framing = b"transfer-encoding: chunked\r\n" if length is None else b"content-length: %d\r\n" % length
    return (
        b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\n%bx-request-id: %b\r\nopenai-version: 2020-10-01\r\n"
        b"openai-processing-ms: 1\r\nx-ratelimit-remaining-requests: 9999\r\n"
        b"set-cookie: __cf_bm=fake; path=/; HttpOnly\r\n%b\r\n"
    ) % (status, _REASONS.get(status, b"Error"), content_type, framing, request_id, extra)


def whole(body: bytes, behaviour: Behaviour, request_id: bytes) -> bytes:
    """An answer that can be written at once."""
    fault = behaviour.fault
    if fault in (Fault.NONE, Fault.HUGE):
        return head(200, _JSON, request_id, len(body)) + body
    if fault in _ERRORS:
        status, content = _ERRORS[fault]
        is_limit = fault is Fault.RATE_LIMIT and behaviour.retry_after
        extra = b"retry-after: %b\r\n" % behaviour.retry_after.encode() if is_limit else b""
        return head(status, _JSON, request_id, len(content), extra) + content
    if fault is Fault.GARBAGE:
        return head(200, _JSON, request_id, len(_GARBAGE)) + _GARBAGE
    if fault is Fault.WRONG_TYPE:
        return head(200, b"text/html", request_id, len(_HTML)) + _HTML
    packed = gzip.compress(body, mtime=0)
    return head(200, _JSON, request_id, len(packed), b"content-encoding: gzip\r\n") + packed


async def play(body: bytes, behaviour: Behaviour, request_id: bytes, connection: Connection) -> None:
    """An answer that is no stream, after its latency and with any fault."""
    if not await _open(behaviour, connection):
        return
    fault = behaviour.fault
    if fault is Fault.ENDLESS:
        await _play_endless(b" ", _JSON, behaviour, request_id, connection)
    elif fault is Fault.SLOW:
        pieces = [body[index : index + 16] for index in range(0, len(body), 16)]
        await connection.send(head(200, _JSON, request_id, len(body)))
        await _paced(pieces, behaviour.pause_s, connection)
    elif fault in (Fault.HANG_BODY, Fault.RESET_BODY, Fault.TRUNCATED):
        await connection.send(head(200, _JSON, request_id, len(body)) + body[: len(body) // 2])
        await _break_off(fault, connection)
    else:
        await connection.send(whole(body, behaviour, request_id))


async def stream(events: Sequence[bytes], behaviour: Behaviour, request_id: bytes, connection: Connection) -> None:
    """A stream of server-sent events in chunked encoding, at the behaviour's rate and with any fault."""
    if not await _open(behaviour, connection):
        return
    fault = behaviour.fault
    start = head(200, _EVENTS_TYPE, request_id, None)
    pause_s = 1.0 / behaviour.tokens_per_s if behaviour.tokens_per_s else 0.0
    if fault is Fault.ENDLESS:
        await _play_endless(events[min(1, len(events) - 1)], _EVENTS_TYPE, behaviour, request_id, connection)
    elif fault in (Fault.HANG_BODY, Fault.RESET_BODY, Fault.TRUNCATED):
        await connection.send(start)
        await _paced([chunk(part) for part in events[: behaviour.fault_after]], pause_s, connection)
        await _break_off(fault, connection)
    elif fault is Fault.GZIP:
        packed = gzip.compress(b"".join(events), mtime=0)
        begun = head(200, _EVENTS_TYPE, request_id, None, b"content-encoding: gzip\r\n")
        await connection.send(begun + chunk(packed) + b"0\r\n\r\n")
    elif fault is Fault.SLOW or pause_s:
        await connection.send(start)
        await _paced([chunk(part) for part in events], pause_s or behaviour.pause_s, connection)
        await connection.send(b"0\r\n\r\n")
    elif fault in (Fault.NONE, Fault.HUGE):
        await connection.send(start + b"".join(map(chunk, events)) + b"0\r\n\r\n")
    else:
        await connection.send(whole(b"", behaviour, request_id))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def _open(behaviour: Behaviour, connection: Connection) -> bool:
    """The latency, and the faults that leave nothing to answer."""
    if behaviour.latency_s:
        await asyncio.sleep(behaviour.latency_s)
    if behaviour.fault is Fault.HANG:
        await asyncio.sleep(_HANG_S)
    elif behaviour.fault is Fault.RESET:
        connection.reset()
    elif behaviour.fault is Fault.NOT_HTTP:
        await connection.send(b"SSH-2.0-OpenSSH_9.9\r\n")
        connection.close()
    else:
        return True
    return False


async def _break_off(fault: Fault, connection: Connection) -> None:
    if fault is Fault.HANG_BODY:
        await asyncio.sleep(_HANG_S)
    elif fault is Fault.RESET_BODY:
        # a reset would overtake what the client has not read yet
        await asyncio.sleep(0.02)
        connection.reset()
    else:
        connection.close()


async def _paced(pieces: Sequence[bytes], pause_s: float, connection: Connection) -> None:
    """Each piece at its time after the start, so that delays do not add up."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for index, piece in enumerate(pieces):
        if pause_s:
            wait_s = start + index * pause_s - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
        await connection.send(piece)


async def _play_endless(
    piece: bytes, content_type: bytes, behaviour: Behaviour, request_id: bytes, connection: Connection
) -> None:
    await connection.send(head(200, content_type, request_id, None))
    pause_s = 1.0 / behaviour.tokens_per_s if behaviour.tokens_per_s else behaviour.pause_s
    while not connection.is_closing:
        await connection.send(chunk(piece))
        await asyncio.sleep(pause_s)
