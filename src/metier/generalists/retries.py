"""How long to wait before asking again: exponential backoff with jitter, or longer where the server says so."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_BACKOFF_MAX_S = 30.0
# A server that asks for more than this means a quota by the hour or day: waiting for it would look like hanging.
LONGEST_WAIT_S = 300.0


def backoff_s(attempt: int, first_s: float, rng: random.Random) -> float:
    """Seconds before attempt `attempt` + 1 (attempt >= 1): first_s, doubled each time, between half and all of it."""
    return min(_BACKOFF_MAX_S, first_s * 2.0 ** (attempt - 1)) * (0.5 + 0.5 * rng.random())


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that the server asks for (retry-after-ms, or Retry-After in seconds or as a date, RFC 9110 10.2.3)."""
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / scale
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        date = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
