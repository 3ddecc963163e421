"""What was said, as gen_ai.input.messages and gen_ai.output.messages hold it: roles and typed parts, redacted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from metier.gateway.calls import CallRecord
from metier.gateway.redaction.redactor import Redactor
from metier.sources.messages import content_text, normal_message, to_json


def content_attributes(record: CallRecord, redactor: Redactor) -> dict[str, str]:
    """Messages, answer and tool definitions as JSON text; empty where the request held no messages."""
    asked = record.request.get("messages", record.request.get("input"))
    if isinstance(asked, str):
        asked = [{"role": "user", "content": asked}]
    if not isinstance(asked, list):
        return {}
    found: dict[str, Any] = {"gen_ai.input.messages": [_message(item) for item in asked if isinstance(item, dict)]}
    if isinstance(instructions := record.request.get("instructions"), str):
        found["gen_ai.system_instructions"] = [_text(instructions)]
    if record.response:
        found["gen_ai.output.messages"] = [_answer(record.response, record.finish_reason)]
    if isinstance(tools := record.request.get("tools"), list) and tools:
        found["gen_ai.tool.definitions"] = tools
    return {name: to_json(redactor.value(value)) for name, value in found.items()}


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    if message.get("role") == "tool":
        reply = {"type": "tool_call_response", "response": content_text(message.get("content"))}
        if isinstance(call_id := message.get("tool_call_id"), str):
            reply["id"] = call_id
        return {"role": "tool", "parts": [reply]}
    normal = normal_message(message)
    parts = [_text(normal["content"])] if normal["content"] else []
    parts += [_tool_call(call) for call in normal.get("tool_calls", ())]
    return {"role": normal["role"], "parts": parts}


def _answer(response: str, finish_reason: str | None) -> dict[str, Any]:
    calls = _called(response) if finish_reason in ("tool_calls", "function_call") else []
    parts = [_tool_call(call) for call in calls] or [_text(response)]
    return {"role": "assistant", "parts": parts, "finish_reason": finish_reason or "stop"}


def _called(response: str) -> list[dict[str, Any]]:
    """The tool calls in a trace's response, which are written as JSON (sources.messages.answer_text)."""
    try:
        calls = orjson.loads(response)
    except orjson.JSONDecodeError:
        return []
    listed = calls if isinstance(calls, list) else [calls]
    return listed if all(isinstance(call, dict) and call.keys() == {"name", "arguments"} for call in listed) else []


def _tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "tool_call", "name": call.get("name"), "arguments": call.get("arguments")}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "content": text}
