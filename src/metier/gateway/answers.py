"""A specialist's kept answer in the form of OpenAI's API: a chat.completion, or the events of its stream."""

from __future__ import annotations

import re
from typing import Any

import orjson

from metier.gateway.calls import Written

DONE = b"data: [DONE]\n\n"
# An answer is whole before its first event is sent; it is cut up so that clients show it as they show others.
_PIECE = re.compile(r".{1,32}", re.DOTALL)


def completion(written: Written, response_id: str, model: str, created: int, tokens: tuple[int, int]) -> bytes:
    """A whole answer. `created` is in seconds since 1970, `tokens` are (input, output)."""
    message: dict[str, Any] = {"role": "assistant", "content": written.content, "refusal": None}
    if written.tool_name is not None:
        message["tool_calls"] = [_call(written, response_id)]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(written)}
    return orjson.dumps(
        {
            "id": response_id,
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [choice],
            "usage": _usage(tokens),
        }
    )


def events(
    written: Written, response_id: str, model: str, created: int, tokens: tuple[int, int], *, with_usage: bool
) -> bytes:
    """The same as server-sent events: role, answer in pieces, finish, usage where it was asked for, [DONE]."""
    head = {"id": response_id, "object": "chat.completion.chunk", "created": created, "model": model}
    deltas: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "assistant", "content": "" if written.tool_name is None else None}, None),
        *((delta, None) for delta in _deltas(written, response_id)),
        ({}, finish_reason(written)),
    ]
    # With include_usage every event has the field, null but in the last (OpenAI's API reference, stream_options).
    rest: dict[str, Any] = {"usage": None} if with_usage else {}
    lines = [
        _event({**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], **rest})
        for delta, reason in deltas
    ]
    if with_usage:
        lines.append(_event({**head, "choices": [], "usage": _usage(tokens)}))
    return b"".join([*lines, DONE])


def _deltas(written: Written, response_id: str) -> list[dict[str, Any]]:
    """The answer in pieces. The first of a tool call has its name and id, the others more of its arguments."""
    pieces = _PIECE.findall(written.text if written.tool_name is None else written.arguments or "") or [""]
    if written.tool_name is None:
        return [{"content": piece} for piece in pieces]
    whole = _call(written, response_id)
    first = {**whole, "function": {**whole["function"], "arguments": pieces[0]}}
    calls = [first, *({"function": {"arguments": piece}} for piece in pieces[1:])]
    return [{"tool_calls": [{"index": 0, **call}]} for call in calls]


def finish_reason(written: Written) -> str:
    return "stop" if written.tool_name is None else "tool_calls"


def error_event(body: bytes) -> bytes:
    """An error object as the last event of a stream that broke off."""
    return b"data: " + body + b"\n\n"


def _call(written: Written, response_id: str) -> dict[str, Any]:
    function = {"name": written.tool_name, "arguments": written.arguments}
    return {"id": f"call_{response_id.rpartition('-')[2][:24]}", "type": "function", "function": function}


def _usage(tokens: tuple[int, int]) -> dict[str, int]:
    return {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"
