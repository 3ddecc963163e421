"""From bytes to outcomes: decodes one record and hands it to its source. Never raises, whatever the bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson

from metier.artefacts.traffic import Trace
from metier.sources.outcomes import Flawed, Outcome, Rejected
from metier.sources.registry import Source
from metier.sources.traces import Context

NUL_WARNING = "NUL characters replaced by U+FFFD"
_ESCAPED_NUL = b"\\u0000"


def outcomes(source: Source, data: bytes, context: Context) -> Iterable[Outcome]:
    """What becomes of one JSON record given as bytes."""
    record = decode(data)
    if isinstance(record, Rejected):
        return (record,)
    if _ESCAPED_NUL in data:
        # PostgreSQL cannot hold U+0000 in a text, and no prompt needs it.
        return [_warned(outcome) for outcome in parsed(source, without_nul(record), context)]
    return parsed(source, record, context)


def parsed(source: Source, record: object, context: Context) -> Iterable[Outcome]:
    """What becomes of one decoded record."""
    try:
        return source.parse(record, context)
    except (orjson.JSONEncodeError, RecursionError) as problem:
        # Deeper than orjson writes, or integers of more than 64 bits.
        return (Rejected("values too deep or too large", str(problem)[:200]),)


def decode(data: bytes) -> Any:
    """The JSON value, or Rejected with the reason. NaN and Infinity, which Python's json module writes, are let in."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as problem:
        return _decode_leniently(data, problem)


def _decode_leniently(data: bytes, problem: orjson.JSONDecodeError) -> Any:
    if b"\x00" in data:
        return Rejected("NUL bytes", f"first at byte {data.index(0) + 1} of the line")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as wrong:
        return Rejected("invalid UTF-8", f"byte 0x{data[wrong.start]:02x} at byte {wrong.start + 1} of the line")
    try:
        record = json.loads(text)
        # Half a surrogate pair is valid JSON and no text.
        json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return Rejected("half a surrogate pair", "an escape \\ud800–\\udfff stands alone")
    except json.JSONDecodeError as wrong:
        cut = wrong.pos >= len(text.rstrip()) or "Unterminated string" in wrong.msg
        return Rejected(
            "truncated JSON" if cut else "not JSON", f"{wrong.msg.removesuffix(' at')} at column {wrong.colno}"
        )
    except (ValueError, RecursionError) as wrong:
        return Rejected("values too deep or too large", str(wrong)[:200])
    if text.lstrip("\ufeff \t\r") != text.lstrip(" \t\r"):
        return Rejected("not JSON", str(problem)[:200])
    return record


def without_nul(value: Any) -> Any:
    """A decoded JSON value, every NUL character in it replaced by U+FFFD."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, list):
        return [without_nul(item) for item in value]
    if isinstance(value, dict):
        return {without_nul(name): without_nul(item) for name, item in value.items()}
    return value


def _warned(outcome: Outcome) -> Outcome:
    if isinstance(outcome, Trace):
        return Flawed(outcome, (NUL_WARNING,))
    if isinstance(outcome, Flawed):
        return Flawed(outcome.trace, (*outcome.warnings, NUL_WARNING))
    return outcome
