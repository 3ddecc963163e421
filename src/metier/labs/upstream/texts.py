"""What the fake upstream says: the text for a request, its tokens, and tool calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from metier.labs.upstream.behaviour import Answer, Behaviour

ECHO = "{echo}"
_TOKEN = re.compile(r"\s*\S+|\s+$")


def tokens(text: str) -> list[str]:
    """Words, each with the space before it: joined they are the text."""
    return _TOKEN.findall(text)


def text_for(answer: Answer, request: Mapping[str, Any]) -> str:
    if not isinstance(answer, str):
        return answer(request)
    return last_user_text(request) if answer == ECHO else answer


def last_user_text(request: Mapping[str, Any]) -> str:
    """The last user message of a chat or responses request; "" where there is none."""
    messages = request.get("messages", request.get("input", ""))
    if isinstance(messages, str):
        return messages
    if not isinstance(messages, list):
        return ""
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role", "user") == "user":
            return _content(message.get("content"))
    return ""


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def from_table(table: Mapping[str, str]) -> Callable[[Mapping[str, Any]], str]:
    """Answers looked up by the last user message: as it stands, else the longest key within it, else "*", else the echo."""
    keys = sorted((key for key in table if key != "*"), key=len, reverse=True)

    def answer(request: Mapping[str, Any]) -> str:
        text = last_user_text(request)
        if text in table:
            return table[text]
        within = next((key for key in keys if key in text), None)
        return table[within] if within is not None else table.get("*", text)

    return answer


def tool_for(request: Mapping[str, Any], behaviour: Behaviour) -> Mapping[str, Any] | None:
    """The function to call: the one that tool_choice names, the first where it is required, else none."""
    tools = [tool["function"] for tool in request.get("tools") or () if tool.get("type") == "function"]
    if not tools:
        return None
    choice = request.get("tool_choice")
    if isinstance(choice, dict):
        name = choice.get("function", {}).get("name")
        return next((tool for tool in tools if tool["name"] == name), None)
    return tools[0] if choice == "required" or (behaviour.tool_call and choice != "none") else None


def arguments_for(tool: Mapping[str, Any], text: str) -> str:
    """The text where it is a JSON object, else {first parameter: text}."""
    try:
        if isinstance(orjson.loads(text), dict):
            return text
    except orjson.JSONDecodeError:
        pass
    properties = tool.get("parameters", {}).get("properties") or {"answer": {}}
    return orjson.dumps({next(iter(properties)): text}).decode()


def prompt_tokens(request: Mapping[str, Any]) -> int:
    """Words of all messages: the fake's idea of input tokens."""
    messages = request.get("messages", request.get("input", ""))
    if isinstance(messages, str):
        return len(messages.split())
    if not isinstance(messages, list):
        return 0
    return sum(
        len(_content(message.get("content")).split()) if isinstance(message, dict) else len(str(message).split())
        for message in messages
    )
