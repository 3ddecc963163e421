"""Whether an upstream's answer is worth another attempt, and after how long."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from random import Random

from metier.generalists.retries import retry_after_s

# The same statuses that OpenAI's own client asks again for; 5xx besides.
_PASSING_STATUSES = frozenset({408, 409, 429})
# What an upstream says of the gateway's key, not of the request: another upstream may do better, another attempt won't.
_REFUSED_STATUSES = frozenset({401, 403, 404})
_FIRST_WAIT_S = 0.5
_LONGEST_BACKOFF_S = 8.0
# Longer than this no client waits for a Retry-After; where another upstream is left, it is asked after less.
_LONGEST_WAIT_S = 60.0
_LONGEST_WAIT_WITH_FALLBACK_S = 2.0


class Verdict(Enum):
    PASS_ON = "pass_on"
    RETRY = "retry"
    NEXT = "next"  # the next upstream, without another attempt at this one


def verdict(status: int, headers: Mapping[str, str], has_own_key: bool) -> Verdict:
    """`has_own_key`: the upstream was asked with the gateway's key, not with the client's."""
    if status < 400:
        return Verdict.PASS_ON
    if status in _REFUSED_STATUSES and has_own_key:
        return Verdict.NEXT
    advice = headers.get("x-should-retry")
    if advice in ("true", "false"):
        return Verdict.RETRY if advice == "true" else Verdict.NEXT if is_passing(status) else Verdict.PASS_ON
    return Verdict.RETRY if is_passing(status) else Verdict.PASS_ON


def is_passing(status: int) -> bool:
    """Whether the status speaks of a moment rather than of the request."""
    return status >= 500 or status in _PASSING_STATUSES


def backoff_s(attempt: int, rng: Random) -> float:
    """Seconds before attempt `attempt` + 1 (attempt >= 1), with full jitter: uniform between 0 and a limit that doubles
    (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015)."""
    return rng.random() * min(_LONGEST_BACKOFF_S, _FIRST_WAIT_S * 2.0 ** (attempt - 1))


def wait_s(attempt: int, headers: Mapping[str, str], rng: Random, has_fallback: bool) -> float | None:
    """Seconds before the next attempt: the backoff, or longer where the answer's headers ask for it; None where that is
    longer than is worth waiting for."""
    asked = retry_after_s(headers)
    if asked is None:
        return backoff_s(attempt, rng)
    if asked > (_LONGEST_WAIT_WITH_FALLBACK_S if has_fallback else _LONGEST_WAIT_S):
        return None
    return max(asked, backoff_s(attempt, rng))
