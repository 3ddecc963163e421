"""What the application is made of, and a call under way through it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from metier.gateway.calls import CallRecord
from metier.gateway.protocols import Gatekeeper, Header, Recorder, Router, Telemetry, Upstreams


@dataclass(frozen=True)
class Parts:
    """One of each part that the protocols describe."""

    gatekeeper: Gatekeeper
    router: Router
    upstreams: Upstreams
    recorder: Recorder
    telemetry: Telemetry


@dataclass(slots=True)
class Call:
    """One call under way: what telemetry gave for it, when it came (monotonic seconds), the client's headers and body.
    `pending` is the unseen answer in shadow mode, which may come after the client has its own."""

    record: CallRecord
    token: object
    began: float
    headers: Sequence[Header]
    body: bytes = b""
    pending: asyncio.Task[None] | None = None
