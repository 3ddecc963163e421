"""The evidence on every answer: which task, which route, why, with what score, under which certificate."""

from __future__ import annotations

import re

from metier.gateway.calls import Decision
from metier.gateway.protocols import Header

PREFIX = b"x-metier-"
TRACE = b"x-metier-trace"
# What a header's value may hold (RFC 9110, field-vchar): no line ends, no control characters.
_FORBIDDEN = re.compile(r"[^\x20-\x7e\x80-\xff]")


def headers(trace_id: str, decision: Decision | None) -> list[Header]:
    """The x-metier-* headers of one answer; what is not known is left out."""
    found: list[Header] = [(TRACE, trace_id.encode())]
    if decision is None:
        return found
    found.append((b"x-metier-route", decision.route.encode()))
    if decision.reason is not None:
        found.append((b"x-metier-reason", decision.reason.encode()))
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


def safe(text: str) -> bytes:
    """A header's value: whatever a header cannot hold becomes a question mark."""
    return (text if text.isascii() and text.isprintable() else _FORBIDDEN.sub("?", text)).encode("latin-1").strip()
