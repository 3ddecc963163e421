"""A made-up call in the form in which OpenAI's calls are logged (source `openai-log`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def logged_call(
    id_: str,
    time_s: float,
    request: Mapping[str, Any],
    message: Mapping[str, Any],
    *,
    fields: Mapping[str, Any],
    n_tokens: tuple[int, int],
    usd_per_million: tuple[float, float],
    latency_s: float,
) -> dict[str, Any]:
    """The record of one call: what was asked, and the assistant's `message`.

    `fields` are what the application logs beside it, such as the customer; `n_tokens` and
    `usd_per_million` are those of input and output; `time_s` is in Unix seconds.
    """
    read, written = n_tokens
    reason = "tool_calls" if message.get("tool_calls") else "stop"
    cost_usd = (read * usd_per_million[0] + written * usd_per_million[1]) / 1e6
    return {
        "id": id_,
        "time": round(time_s, 3),
        **fields,
        "request": dict(request),
        "response": {
            "id": f"chatcmpl-{id_}",
            "object": "chat.completion",
            "created": int(time_s),
            "model": request["model"],
            "choices": [{"index": 0, "message": dict(message), "finish_reason": reason}],
            "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
        },
        "latency_s": round(latency_s, 4),
        "cost_usd": round(cost_usd, 8),
    }
