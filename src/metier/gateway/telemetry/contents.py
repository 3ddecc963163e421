"""What was said, as gen_ai.input.messages and gen_ai.output.messages hold it: roles and typed parts, redacted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from metier.gateway.calls import CallRecord
from metier.sources.messages import content_text, normal_message, to_json

Redact = Callable[[str], str]


def content_attributes(record: CallRecord, redact: Redact) -> dict[str, str]:
    """Messages, answer and tool definitions as JSON text; empty where the request held no messages."""
    asked = record.request.get("messages", record.request.get("input"))
    if isinstance(asked, str):
        asked = [{"role": "user", "content": asked}]
    if not isinstance(asked, list):
        return {}
    found = {"gen_ai.input.messages": _json([_message(item, redact) for item in asked if isinstance(item, dict)])}
    if isinstance(instructions := record.request.get("instructions"), str):
        found["gen_ai.system_instructions"] = _json([_text(instructions, redact)])
    if record.response:
        found["gen_ai.output.messages"] = _json([_answer(record.response, record.finish_reason, redact)])
    if isinstance(tools := record.request.get("tools"), list) and tools:
        found["gen_ai.tool.definitions"] = _json(_redacted(tools, redact))
    return found


def _json(value: object) -> str:
    return to_json(value)


def _message(message: Mapping[str, Any], redact: Redact) -> dict[str, Any]:
    role = message.get("role")
    if role == "tool":
        parts = [
            {
                "type": "tool_call_response",
                "id": _id(message.get("tool_call_id")),
                "response": redact(content_text(message.get("content"))),
            }
        ]
        return {"role": "tool", "parts": parts}
    normal = normal_message(message)
    parts = [_text(normal["content"], redact)] if normal["content"] else []
    parts += [_tool_call(call, redact) for call in normal.get("tool_calls", ())]
    return {"role": normal["role"], "parts": parts}


def _answer(response: str, finish_reason: str | None, redact: Redact) -> dict[str, Any]:
    calls = _called(response) if finish_reason in ("tool_calls", "function_call") else []
    parts = [_tool_call(call, redact) for call in calls] or [_text(response, redact)]
    return {"role": "assistant", "parts": parts, "finish_reason": finish_reason or "stop"}


def _called(response: str) -> list[dict[str, Any]]:
    """The tool calls in a trace's response, which are written as JSON (sources.messages.answer_text)."""
    try:
        calls = orjson.loads(response)
    except orjson.JSONDecodeError:
        return []
    listed = calls if isinstance(calls, list) else [calls]
    return listed if all(isinstance(call, dict) and call.keys() == {"name", "arguments"} for call in listed) else []


def _tool_call(call: Mapping[str, Any], redact: Redact) -> dict[str, Any]:
    return {"type": "tool_call", "name": call.get("name"), "arguments": _redacted(call.get("arguments"), redact)}


def _text(text: str, redact: Redact) -> dict[str, Any]:
    return {"type": "text", "content": redact(text)}


def _id(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _redacted(value: Any, redact: Redact) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_redacted(item, redact) for item in value]
    if isinstance(value, dict):
        return {name: _redacted(item, redact) for name, item in value.items()}
    return value
