"""Reads single values out of records: numbers, times, feedback. Nonsense becomes None and a warning, never an exception."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

Warnings = list[str]

# Beyond any context window; keeps nonsense out of sums and inside a 64-bit column.
MAX_TOKENS = 2**40
# 2200-01-01: later times are a wrong unit.
_MAX_TIME_S = 7_258_118_400.0
# Epoch seconds stay under 1e11 until the year 5138, so what is larger counts milli-, micro- or nanoseconds.
_MAX_EPOCH = 1e20
_TIME_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (0.0, 1.0))
_CORRECT_WORDS = "correct right up thumbs_up thumbs-up thumbsup good positive like true yes +1 1 1.0 👍"
_WRONG_WORDS = "wrong incorrect down thumbs_down thumbs-down thumbsdown bad negative dislike false no -1 0 0.0 -1.0 👎"
_CORRECT = frozenset(_CORRECT_WORDS.split())
_WRONG = frozenset(_WRONG_WORDS.split())


class Names(tuple[str, ...]):
    """Names of one field in the order of preference, and as a set: most records hold none of a long list."""

    known: frozenset[str]

    def __new__(cls, *names: str) -> Names:
        made = super().__new__(cls, names)
        made.known = frozenset(names)
        return made


def any_of(record: Mapping[str, Any], names: Names) -> Any:
    """`first`, for long lists of names: one look at the record's keys tells that none is there."""
    return None if names.known.isdisjoint(record) else first(record, *names)


def first(record: Mapping[str, Any], *names: str) -> Any:
    """The first of these keys' values that is neither absent, null nor an empty string."""
    for name in names:
        value = record.get(name)
        if value is not None and value != "":
            return value
    return None


def mapping(value: object) -> Mapping[str, Any]:
    """The value where it is an object, an empty one otherwise."""
    return value if isinstance(value, dict) else {}


def number(value: object, name: str, warnings: Warnings) -> float | None:
    """A finite number ≥ 0; strings such as "0.0012" and "$0.0012" are read."""
    kind = type(value)
    if kind is float or kind is int:
        try:
            found = float(value)  # type: ignore[arg-type]
        except OverflowError:
            found = math.inf
    elif value is None or value == "":
        return None
    elif isinstance(value, str):
        try:
            found = float(value.strip().lstrip("$").replace("_", "x"))
        except ValueError:
            found = math.nan
    else:
        found = math.nan
    if 0.0 <= found < math.inf:
        return found
    warnings.append(f"{name} is not a number ≥ 0")
    return None


def tokens(value: object, name: str, warnings: Warnings) -> int | None:
    """A whole number in [0, MAX_TOKENS]."""
    if type(value) is int and 0 <= value <= MAX_TOKENS:
        return value
    if value is None or value == "":
        return None
    found = number(value, name, [])
    if found is None or found > MAX_TOKENS or found != int(found):
        warnings.append(f"{name} is not a whole number ≥ 0")
        return None
    return int(found)


def time_s(value: object, warnings: Warnings) -> float | None:
    """Seconds since 1970-01-01 UTC from ISO 8601 (UTC where no zone is given) or epoch s, ms, µs or ns."""
    kind = type(value)
    if kind is int or kind is float:
        found = _epoch_time(value)  # type: ignore[arg-type]
    elif isinstance(value, str) and value:
        found = _iso_time(value)
        if found is None:
            number_s = number(value, "time", [])
            found = None if number_s is None else _epoch_time(number_s)
    elif value is None or value == "":
        return None
    else:
        found = None
    if found is None:
        warnings.append("time is neither ISO 8601 nor seconds since 1970")
    return found


def _iso_time(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text.strip())
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    # "20240501" is both a date and a number; a time before 1970 is no call's.
    return seconds if 0.0 < seconds <= _MAX_TIME_S else None


def _epoch_time(value: float) -> float | None:
    if not 0 < value < _MAX_EPOCH:
        return None
    for least, unit in _TIME_UNITS:
        if value >= least:
            seconds = value / unit
            return seconds if 0.0 < seconds <= _MAX_TIME_S else None
    return None


def elapsed_s(start: float | None, end: float | None) -> float | None:
    """Seconds from start to end, to the microsecond (a double holds today's epoch times no finer); None where it is
    unknown or negative."""
    return round(end - start, 6) if start is not None and end is not None and end >= start else None


def text(value: object) -> str | None:
    """A short name or id as text; None for nothing and for lists and objects."""
    if isinstance(value, str):
        return value if value else None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        # A number of thousands of digits cannot be written out (and is no id).
        return str(value) if abs(value) < 10**40 else None
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    return None


def feedback(value: object, warnings: Warnings) -> Literal["correct", "wrong"] | None:
    """Whether the answer was judged right: words, thumbs, booleans, and 1 against 0 or -1."""
    if isinstance(value, dict):
        value = first(value, "rating", "score", "value", "label", "thumb", "thumbs")
    if value is None or value == "":
        return None
    word = value.strip().lower() if isinstance(value, str) else ""
    if value is True or word in _CORRECT or (type(value) in (int, float) and value == 1):
        return "correct"
    if value is False or word in _WRONG or (type(value) in (int, float) and value in (0, -1)):
        return "wrong"
    warnings.append("feedback is neither correct nor wrong")
    return None
