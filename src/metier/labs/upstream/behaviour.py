"""How the fake upstream answers: settings for the server, a model, or a single request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

Answer = str | Callable[[Mapping[str, Any]], str]


class Fault(StrEnum):
    """What goes wrong. A closed port is no fault of an answer: see FakeUpstream.refuse."""

    NONE = ""
    HANG = "hang"  # before the headers
    HANG_BODY = "hang_body"  # within the body
    RESET = "reset"  # TCP reset before the headers
    RESET_BODY = "reset_body"  # TCP reset within the body
    RATE_LIMIT = "rate_limit"  # 429 with Retry-After
    ERROR = "error"  # 500
    UNAUTHORIZED = "unauthorized"  # 401
    NOT_FOUND = "not_found"  # 404
    BAD_REQUEST = "bad_request"  # 400
    GARBAGE = "garbage"  # 200, application/json, but no JSON
    WRONG_TYPE = "wrong_type"  # 200, an HTML page
    NOT_HTTP = "not_http"  # bytes that are no HTTP answer
    TRUNCATED = "truncated"  # closes before content-length (or the last chunk) is reached
    ENDLESS = "endless"  # a stream that never ends
    SLOW = "slow"  # the body in small pieces, `pause_s` apart
    HUGE = "huge"  # an answer of `huge_bytes`
    GZIP = "gzip"  # content-encoding: gzip, asked for or not


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`answer`: the text, "{echo}" for the last user message, or a function of the parsed request. Times are seconds;
    tokens are words. `tokens_per_s` 0 sends a stream's chunks at once, in a single write. `n_chunks` None makes a
    chunk of every token. A fault strikes the first `fault_first` calls (None: all) and of these a `fault_share`, drawn
    from the server's seed; `fault_after` chunks of a stream, or half of a plain body, have gone out before one within the
    body. `retry_after` is sent as it stands; empty sends none.
    """

    answer: Answer = "{echo}"
    latency_s: float = 0.0
    tokens_per_s: float = 0.0
    n_chunks: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tool_call: bool = False
    dimensions: int = 8
    fault: Fault = Fault.NONE
    fault_first: int | None = None
    fault_share: float = 1.0
    fault_after: int = 2
    retry_after: str = "0"
    pause_s: float = 0.02
    huge_bytes: int = 64 * 2**20

    @property
    def is_instant(self) -> bool:
        """Whether an answer that is no stream can be written at once."""
        return self.fault in _AT_ONCE and not self.latency_s


_AT_ONCE = frozenset(
    {
        Fault.NONE,
        Fault.RATE_LIMIT,
        Fault.ERROR,
        Fault.UNAUTHORIZED,
        Fault.NOT_FOUND,
        Fault.BAD_REQUEST,
        Fault.GARBAGE,
        Fault.WRONG_TYPE,
        Fault.GZIP,
    }
)

_NAMES = frozenset(field.name for field in fields(Behaviour))


def changed(behaviour: Behaviour, changes: Mapping[str, Any]) -> Behaviour:
    """`behaviour` with the values of a JSON object. Raises ValueError for names and faults that do not exist."""
    if unknown := set(changes) - _NAMES:
        raise ValueError(f"unknown behaviour {sorted(unknown)}; known are {sorted(_NAMES)}")
    values = dict(changes)
    if "fault" in values:
        values["fault"] = Fault(values["fault"])
    return replace(behaviour, **values)
