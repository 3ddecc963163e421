"""One exchange with a client over ASGI: what was sent so far, and how an answer or an error goes out."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any

from metier.gateway.answers import error_event
from metier.gateway.errors import ApiError
from metier.gateway.evidence import safe
from metier.gateway.protocols import Header

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON: Header = (b"content-type", b"application/json")
EVENTS: tuple[Header, ...] = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))
# What would end a header, or what the server refuses to write, should an upstream ever send it.
_BAD_NAME = re.compile(rb'[\x00-\x20\x7f()<>@,;:\\\[\]={}"]')
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Exchange:
    """The answer's side of one call. `status` is 0 until the answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.is_stream = False
        self.is_complete = False
        self._ends_line = True

    async def begin(self, status: int, headers: list[Header], *, is_stream: bool = False) -> None:
        self.status, self.is_stream = status, is_stream
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def chunk(self, data: bytes) -> None:
        """One piece of the body, on its way at once; waits while the client does not read."""
        self._ends_line = data.endswith(b"\n")
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
        self.is_complete = True

    async def whole(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """A whole answer with its length."""
        await self.begin(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.end(body)

    async def fail(self, error: ApiError, evidence: Iterable[Header]) -> None:
        """The error as the answer; or, where a stream has begun, as its last event. A whole answer that has begun is cut
        off: its length tells the client that it is not complete."""
        body = error.body()
        if not self.status:
            extra = [(name.lower().encode("latin-1"), safe(value)) for name, value in error.headers]
            await self.whole(error.status, [JSON, *extra, *evidence], body)
        elif self.is_stream and not self.is_complete:
            await self.end((b"" if self._ends_line else b"\n\n") + error_event(body))


def checked(headers: Sequence[Header]) -> list[Header]:
    """An upstream's headers without those that cannot be written, and without evidence of another gateway."""
    # All at once first: hardly ever is anything wrong.
    names = b"/".join([name for name, _ in headers])
    if _BAD_NAME.search(names) is None and _BAD_VALUE.search(b"".join([value for _, value in headers])) is None:
        return (
            list(headers)
            if b"x-metier-" not in names.lower()
            else [header for header in headers if _is_foreign(header)]
        )
    return [
        header
        for header in headers
        if _is_foreign(header) and not _BAD_VALUE.search(header[1]) and not _BAD_NAME.search(header[0])
    ]


def _is_foreign(header: Header) -> bool:
    return header[0][:9].lower() != b"x-metier-"
