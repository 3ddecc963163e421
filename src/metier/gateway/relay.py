"""Passes an upstream's answer on, byte for byte and as it comes, and reads off what it says."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from metier.gateway.exchange import Exchange, checked
from metier.gateway.gathering import MAX_GATHERED_BYTES, Gathered, StreamGatherer, gather
from metier.gateway.protocols import Header, UpstreamReply

_GZIP_OR_ZLIB_WINDOW = 32 + zlib.MAX_WBITS


class Relay:
    """Relays one reply. `found` and `ttft_s` (seconds from `began`, on time.monotonic()) are right whenever it ends,
    also by an error or because the client hung up; `found` is None where no answer came."""

    def __init__(self, path: str, reply: UpstreamReply, began: float, *, is_stream: bool) -> None:
        self._path = path
        self._reply = reply
        self._is_stream = is_stream
        self._began = began
        self._gatherer: StreamGatherer | None = None
        self._whole: Gathered | None = None
        self.ttft_s: float | None = None

    @property
    def found(self) -> Gathered | None:
        return self._gatherer.finish() if self._gatherer is not None else self._whole

    async def run(self, exchange: Exchange, evidence: Sequence[Header]) -> None:
        """Raises ApiError where the upstream breaks off."""
        reply = self._reply
        headers = checked(reply.headers)
        kind, encoding, has_length = _described(headers)
        headers += evidence
        is_events = kind.startswith(b"text/event-stream")
        if is_events or (self._is_stream and not has_length):
            # Without a length there is room for an error as the last event.
            headers = [header for header in headers if header[0].lower() != b"content-length"]
            await self._stream(exchange, headers, encoding, is_events)
            return
        body = await reply.read()
        if not has_length:
            headers.append((b"content-length", b"%d" % len(body)))
        await exchange.begin(reply.status, headers)
        await exchange.end(body)
        self._whole = gather(self._path, _decoded(encoding)(body), reply.document)

    async def _stream(self, exchange: Exchange, headers: list[Header], encoding: bytes, is_events: bool) -> None:
        reply = self._reply
        gatherer = self._gatherer = StreamGatherer(self._path)
        decode = _decoded(encoding)
        await exchange.begin(reply.status, headers, is_stream=is_events)
        async for chunk in reply.chunks():
            await exchange.chunk(chunk)
            gatherer.feed(decode(chunk))
            if self.ttft_s is None and gatherer.has_begun:
                self.ttft_s = monotonic() - self._began
        await exchange.end()


async def read_whole(path: str, reply: UpstreamReply) -> Gathered:
    """What an answer says that is passed on to nobody. Raises ApiError where the upstream breaks off."""
    _, encoding, _ = _described(reply.headers)
    body = _decoded(encoding)(await reply.read())
    return gather(path, body, reply.document)


def _described(headers: Sequence[Header]) -> tuple[bytes, bytes, bool]:
    """Content type, content encoding, and whether there is a length."""
    kind = encoding = b""
    has_length = False
    for name, value in headers:
        name = name.lower()
        if name == b"content-type":
            kind = value.lower()
        elif name == b"content-encoding":
            encoding = value.strip().lower()
        elif name == b"content-length":
            has_length = True
    return kind, encoding, has_length


def _decoded(encoding: bytes) -> Callable[[bytes], bytes]:
    """How the record sees the bytes of an answer; one in an encoding that is not known here is not looked into."""
    if encoding in (b"", b"identity"):
        return bytes
    if encoding not in (b"gzip", b"x-gzip", b"deflate"):
        return lambda _: b""
    unpacker: Any = zlib.decompressobj(_GZIP_OR_ZLIB_WINDOW)

    def unpack(chunk: bytes) -> bytes:
        try:
            return bytes(unpacker.decompress(chunk, MAX_GATHERED_BYTES))
        except zlib.error:
            return b""

    return unpack
