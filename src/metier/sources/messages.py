"""The normal form of what was said: message lists as JSON text, answers as text, whatever API they came from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any

import orjson

from metier.sources.outcomes import Rejected

# What of a request shapes the answer; the rest (user, metadata, stream …) does not belong to the prompt.
PARAMETERS = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "stop",
        "seed",
        "n",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "response_format",
        "text",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "reasoning",
        "reasoning_effort",
        "verbosity",
        "modalities",
        "prediction",
        "guided_json",
        "grammar",
    }
)
_TEXT_KEYS = ("text", "content", "thinking", "refusal")
_MEDIA_KEYS = (
    "image_url",
    "input_audio",
    "audio",
    "file",
    "source",
    "data",
    "uri",
    "url",
    "file_id",
    "image",
    "video_url",
)
_SORTED = orjson.OPT_SORT_KEYS
_MARKER_DIGITS = 16


def to_json(value: object, sort: bool = False) -> str:
    """Compact JSON text. Raises TypeError (orjson.JSONEncodeError) for what JSON cannot hold."""
    return orjson.dumps(value, option=_SORTED if sort else None).decode()


def parameters(request: Mapping[str, Any]) -> str | None:
    """The parts of a request that shape the answer, as JSON text with sorted keys; None where there are none."""
    found = {name: value for name, value in request.items() if name in PARAMETERS and value is not None}
    return to_json(found, sort=True) if found else None


def content_text(content: object) -> str:
    """The text of a message: its text parts joined by line ends, every other part as a marker with a hash of it."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join([_part_text(part) for part in content])
    if isinstance(content, dict):
        return _part_text(content)
    return to_json(content)


def _part_text(part: object) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return to_json(part)
    for key in _TEXT_KEYS:
        if isinstance(part.get(key), str):
            return str(part[key])
    kind = part.get("type")
    if kind == "tool_result" or (kind == "tool_call_response" and "response" not in part):
        return content_text(part.get("content", part.get("result")))
    if kind == "tool_call_response":
        return content_text(part["response"])
    for key in _MEDIA_KEYS:
        if part.get(key) is not None:
            return _marker(kind if isinstance(kind, str) else key, part[key])
    return to_json(part, sort=True)


def _marker(kind: str, value: object) -> str:
    if isinstance(value, dict):
        value = value.get("url") or value.get("data") or value.get("file_id") or value
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else orjson.dumps(value, option=_SORTED)
    name = "image" if "image" in kind else kind
    return f"[{name} sha256:{sha256(data).hexdigest()[:_MARKER_DIGITS]}]"


def tool_calls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tool calls of an assistant message as [{"name", "arguments"}], in the shapes of the APIs in use."""
    calls: list[Any] = []
    if isinstance(message.get("tool_calls"), list):
        calls += message["tool_calls"]
    if isinstance(message.get("function_call"), dict):
        calls.append(message["function_call"])
    for part in _parts(message):
        if isinstance(part, dict) and part.get("type") in ("tool_use", "tool_call", "function_call"):
            calls.append(part)
    return [_tool_call(call) for call in calls if isinstance(call, dict)]


def _parts(message: Mapping[str, Any]) -> list[Any]:
    for key in "parts", "content":
        if isinstance(message.get(key), list):
            return list(message[key])
    return []


def _tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    inner: Mapping[str, Any] = function if isinstance(function, dict) else call
    arguments = inner.get("arguments", inner.get("input", inner.get("args")))
    if isinstance(arguments, str):
        # Arguments that are no JSON are the model's mistake, and part of its answer.
        with suppress(orjson.JSONDecodeError):
            arguments = orjson.loads(arguments)
    return {"name": inner.get("name"), "arguments": arguments}


def _is_tool_part(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") in ("tool_use", "tool_call", "function_call")


def _message_text(message: Mapping[str, Any]) -> str:
    if isinstance(message.get("parts"), list):
        return content_text([part for part in message["parts"] if not _is_tool_part(part)])
    content = message.get("content")
    if isinstance(content, list):
        return content_text([part for part in content if not _is_tool_part(part)])
    return content_text(content)


def normal_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """{"role", "content"} and, where there are any, "tool_calls"."""
    role = message.get("role")
    normal: dict[str, Any] = {
        "role": role if isinstance(role, str) and role else "user",
        "content": _message_text(message),
    }
    calls = tool_calls(message)
    if calls:
        normal["tool_calls"] = calls
    return normal


def normal_messages(messages: object) -> str | Rejected:
    """A request's messages as JSON text; a bare string is one user message."""
    if isinstance(messages, str) and messages:
        return to_json([{"role": "user", "content": messages}])
    if not isinstance(messages, list) or not messages:
        return Rejected("no messages", f"expected a list of messages, received {_seen(messages)}")
    normal = []
    for message in messages:
        # Almost every message is plain already, and a log holds millions.
        if _is_plain(message):
            normal.append(message)
        elif isinstance(message, dict):
            normal.append(normal_message(message))
        elif isinstance(message, str):
            normal.append({"role": "user", "content": message})
        else:
            return Rejected("bad message", f"a message must be an object, received {_seen(message)}")
    return to_json(normal)


def _is_plain(message: object) -> bool:
    if type(message) is not dict or len(message) != 2:
        return False
    return type(message.get("content")) is str and type(message.get("role")) is str


def answer_text(message: object) -> str | None:
    """The answer in an assistant message: its text, or where it only calls tools, the calls as compact JSON (one call's
    object, several calls' list); None where there is neither."""
    if isinstance(message, str):
        return message or None
    if not isinstance(message, dict):
        return None
    found = _message_text(message)
    if found:
        return found
    calls = tool_calls(message)
    if calls:
        return to_json(calls[0] if len(calls) == 1 else calls)
    refusal = message.get("refusal")
    return refusal if isinstance(refusal, str) and refusal else None


def _seen(value: object) -> str:
    if value is None:
        return "nothing"
    return f"{type(value).__name__} {str(value)[:80]!r}"
