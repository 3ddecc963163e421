"""The evidence on every answer: which task, which route, why, with what score, under which certificate."""

from __future__ import annotations

import re
from functools import cache

from metier.gateway.calls import Decision, Reason, Route
from metier.gateway.protocols import Header

PREFIX = b"x-metier-"
TRACE = b"x-metier-trace"
# What a header's value may hold (RFC 9110, field-vchar): no line ends, no control characters.
_FORBIDDEN = re.compile(r"[^\x20-\x7e\x80-\xff]")


def headers(trace_id: str, decision: Decision | None) -> list[Header]:
    """The x-metier-* headers of one answer; what is not known is left out."""
    trace = (TRACE, trace_id.encode())
    if decision is None:
        return [trace]
    found: list[Header] = [trace, *_what_and_why(decision.route, decision.reason)]
    if decision.task is not None:
        found.append((b"x-metier-task", safe(decision.task)))
    if decision.score is not None:
        found.append((b"x-metier-score", b"%.6g" % decision.score))
    if decision.threshold is not None:
        found.append((b"x-metier-threshold", b"%.6g" % decision.threshold))
    if decision.policy_id is not None:
        found.append((b"x-metier-certificate", safe(decision.policy_id)))
    if decision.specialist_id is not None:
        found.append((b"x-metier-specialist", safe(decision.specialist_id)))
    return found


@cache
def _what_and_why(route: Route, reason: Reason | None) -> tuple[Header, ...]:
    what = (b"x-metier-route", route.encode())
    return (what,) if reason is None else (what, (b"x-metier-reason", reason.encode()))


def safe(text: str) -> bytes:
    """A header's value: whatever a header cannot hold becomes a question mark."""
    return (text if text.isascii() and text.isprintable() else _FORBIDDEN.sub("?", text)).encode("latin-1").strip()
