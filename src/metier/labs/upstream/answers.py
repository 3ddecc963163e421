"""Chat completions, plain and as events, as OpenAI's API writes them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import orjson

from metier.labs.upstream.behaviour import Behaviour
from metier.labs.upstream.texts import arguments_for, prompt_tokens, text_for, tokens, tool_for

# Seconds since 1970 in `created`: a constant, so that answers can be compared.
CREATED = 1_767_225_600
_LOGPROB = -0.25
DONE = b"data: [DONE]\n\n"


MAX_CHOICES = 128


def event(content: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


def usage(request: Mapping[str, Any], text: str, behaviour: Behaviour, n: int = 1) -> dict[str, Any]:
    n_in = prompt_tokens(request) if behaviour.input_tokens is None else behaviour.input_tokens
    n_out = n * len(text.split()) if behaviour.output_tokens is None else behaviour.output_tokens
    return {"prompt_tokens": n_in, "completion_tokens": n_out, "total_tokens": n_in + n_out}


def chat(request: Mapping[str, Any], behaviour: Behaviour, identifier: str) -> dict[str, Any]:
    """A chat.completion with `n` equal choices; a tool call where the request asks for one."""
    text = text_for(behaviour.answer, request)
    tool = tool_for(request, behaviour)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if tool is not None:
        message = {"role": "assistant", "content": None, "tool_calls": [_call(tool, text, identifier)]}
    n = n_choices(request)
    logprobs = {"content": [_logprob(token) for token in tokens(text)]} if request.get("logprobs") else None
    reason = "stop" if tool is None else "tool_calls"
    return {
        "id": identifier,
        "object": "chat.completion",
        "created": CREATED,
        "model": request.get("model"),
        "choices": [
            {"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason} for index in range(n)
        ],
        "usage": usage(request, text, behaviour, n),
        "system_fingerprint": "fp_fake",
    }


def _call(tool: Mapping[str, Any], text: str, identifier: str) -> dict[str, Any]:
    function = {"name": tool["name"], "arguments": arguments_for(tool, text)}
    return {"id": "call_" + identifier.rpartition("-")[2], "type": "function", "function": function}


def _logprob(token: str) -> dict[str, Any]:
    alternative = {"token": token, "logprob": _LOGPROB, "bytes": list(token.encode())}
    return {**alternative, "top_logprobs": [alternative]}


def chat_events(request: Mapping[str, Any], behaviour: Behaviour, identifier: str) -> list[bytes]:
    """The server-sent events of a streamed chat completion, [DONE] included."""
    text = text_for(behaviour.answer, request)
    n = n_choices(request)
    deltas = _deltas(request, behaviour, identifier, text)
    head = {
        "id": identifier,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": request.get("model"),
        "system_fingerprint": "fp_fake",
    }
    has_usage = bool((request.get("stream_options") or {}).get("include_usage"))
    if has_usage:
        head["usage"] = None
    found = []
    for delta, finish_reason in deltas:
        logprobs = None
        if request.get("logprobs") and delta.get("content"):
            logprobs = {"content": [_logprob(token) for token in tokens(delta["content"])]}
        rest = {"delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        found += [event({**head, "choices": [{"index": index, **rest}]}) for index in range(n)]
    if has_usage:
        found.append(event({**head, "choices": [], "usage": usage(request, text, behaviour, n)}))
    return [*found, DONE]


def _deltas(
    request: Mapping[str, Any], behaviour: Behaviour, identifier: str, text: str
) -> list[tuple[dict[str, Any], str | None]]:
    tool = tool_for(request, behaviour)
    if tool is None:
        first: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
        pieces = [{"content": piece} for piece in split(tokens(text), behaviour.n_chunks)]
        return [(first, None), *((piece, None) for piece in pieces), ({}, "stop")]
    call = _call(tool, text, identifier)
    arguments = call["function"]["arguments"]
    begun = {"index": 0, **call, "function": {"name": tool["name"], "arguments": ""}}
    first = {"role": "assistant", "content": None, "tool_calls": [begun]}
    parts: list[dict[str, Any]] = [
        {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
        for piece in split(tokens(arguments), behaviour.n_chunks)
    ]
    return [(first, None), *((part, None) for part in parts), ({}, "tool_calls")]


def split(words: list[str], n_chunks: int | None) -> list[str]:
    """The words in `n_chunks` pieces of about equal size; with fewer words than that, some pieces are empty."""
    if n_chunks is None:
        return words
    edges = [len(words) * index // n_chunks for index in range(n_chunks + 1)]
    return ["".join(words[low:high]) for low, high in pairwise(edges)]


def n_choices(request: Mapping[str, Any]) -> int:
    """How many answers a request asks for. Raises ValueError beyond what OpenAI allows: they would be made in memory."""
    n = request.get("n")
    if n is None:
        return 1
    if not 1 <= n <= MAX_CHOICES:
        raise ValueError(f"n = {n}; expected 1 to {MAX_CHOICES}")
    return int(n)
