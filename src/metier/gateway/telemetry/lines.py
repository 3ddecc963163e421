"""The form of a log line: one object of JSON or one line of text, safe to show on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from metier.gateway.calls import AuditOutcome, CallRecord

Form = Literal["json", "text"]
Level = Literal["info", "warning", "error"]
MAX_VALUE_CHARACTERS = 500
_BAD_STATUS = 500


def call_fields(record: CallRecord) -> dict[str, Any]:
    """What is logged of a finished call: never what was said, and no header. Fields without a value are left out."""
    decision = record.decision
    fields: dict[str, Any] = {
        "trace_id": record.trace_id,
        "endpoint": record.endpoint,
        "status": record.status,
        "model": record.model,
        "stream": record.is_stream or None,
        "key_id": record.caller.key_id,
    }
    if decision is not None:
        fields |= {
            "route": decision.route._value_,
            "reason": decision.reason._value_ if decision.reason is not None else None,
            "task": decision.task,
            "score": _rounded(decision.score),
            "threshold": _rounded(decision.threshold),
            "policy_id": decision.policy_id,
            "audited": decision.is_audited or None,
            "wrong": record.is_wrong,
        }
    fields |= {
        "upstream": record.upstream,
        "upstream_model": record.upstream_model,
        "attempts": record.attempts or None,
        "latency_s": _rounded(record.latency_s),
        "ttft_s": _rounded(record.ttft_s),
        "input_tokens": record.input_tokens,
        "output_tokens": record.output_tokens,
        "cost_usd": record.cost_usd,
        "saved_usd": record.saved_usd,
        "error": record.error,
        "cancelled": record.is_cancelled or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def audit_fields(outcome: AuditOutcome) -> dict[str, Any]:
    """What is logged of an audit; fields without a value are left out."""
    fields: dict[str, Any] = {
        "trace_id": outcome.trace_id,
        "task": outcome.decision.task,
        "policy_id": outcome.decision.policy_id,
        "wrong": outcome.is_wrong,
        "model": outcome.model,
        "upstream": outcome.upstream,
        "upstream_model": outcome.upstream_model,
        "attempts": outcome.attempts or None,
        "latency_s": _rounded(outcome.latency_s),
        "cost_usd": outcome.cost_usd,
        "error": outcome.error,
    }
    return {name: value for name, value in fields.items() if value is not None}


def call_level(record: CallRecord) -> Level:
    """error for a 5xx or a broken answer, else info."""
    return "error" if record.status >= _BAD_STATUS or (record.error and record.status < 400) else "info"


def line(form: Form, time: float, level: Level, event: str, fields: Mapping[str, Any]) -> bytes:
    """One line, line end included. `time` is seconds since 1970. Control characters, terminal sequences and line ends in
    values are written as escapes, long values are cut."""
    safe = {name: clean(value) if isinstance(value, str) else value for name, value in fields.items()}
    stamp = datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if form == "json":
        return orjson.dumps(
            {"time": stamp, "level": level, "event": event, **safe},
            default=lambda value: clean(str(value)),
            option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS,
        )
    parts = [stamp, level.upper(), event, *(f"{name}={_worded(value)}" for name, value in safe.items())]
    return (" ".join(parts) + "\n").encode()


def clean(text: str) -> str:
    """The text with everything that is not printable (line ends, escape sequences, bidirectional marks, lone surrogates)
    as backslash escapes, cut to MAX_VALUE_CHARACTERS."""
    if len(text) > MAX_VALUE_CHARACTERS:
        text = text[:MAX_VALUE_CHARACTERS] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


def _worded(value: object) -> str:
    text = value if isinstance(value, str) else clean(str(value))
    is_plain = bool(text) and not any(c in text for c in ' ="\\')
    return text if is_plain else orjson.dumps(text).decode()


def _rounded(value: float | None) -> float | None:
    # Microseconds: finer figures only make lines long.
    return None if value is None else round(value, 6)
