"""What a request demands of the form of its answer, as a short key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

PLAIN = "plain"
_HASH_CHARS = 12
# Requests of the API before tools; its answers stand in another place of the message.
LEGACY_FUNCTIONS = "functions"
_GRAMMARS = ("guided_json", "guided_choice", "guided_regex", "guided_grammar", "grammar")


def asked_form(request: Mapping[str, Any] | str | None) -> str:
    """The key of what a request demands of its answer's form: "plain" where nothing is, else the parts joined by "|".

    The parts: json_object; json_schema:HASH of the schema; tools:NAME#HASH of its parameters,... with the choice of tools;
    functions:... likewise; the hash of a grammar. The same for a trace's `parameters` (JSON text) and for the live
    request, for equal demands in another order or spelling of JSON, and for demands that are left out or null. Never
    raises: what is not understood is a demand of its own.
    """
    if request is None:
        return PLAIN
    if isinstance(request, str):
        try:
            request = orjson.loads(request)
        except orjson.JSONDecodeError:
            return f"unreadable:{_hash(request)}"
    if not isinstance(request, Mapping):
        return f"unreadable:{_hash(request)}"
    parts = [_format_part(request), _tools_part(request), _functions_part(request)]
    parts += [f"{name}:{_hash(request[name])}" for name in _GRAMMARS if request.get(name)]
    return "|".join(part for part in parts if part) or PLAIN


def _format_part(request: Mapping[str, Any]) -> str:
    asked = request.get("response_format")
    if asked is None and isinstance(text := request.get("text"), Mapping):
        # The responses API states the format here, and the schema beside its type.
        asked = text.get("format")
    kind = asked.get("type") if isinstance(asked, Mapping) else None
    if asked is None or kind == "text":
        return ""
    if kind == "json_object":
        return "json_object"
    if kind == "json_schema":
        stated = asked.get("json_schema", asked)
        return f"json_schema:{_hash(stated.get('schema') if isinstance(stated, Mapping) else stated)}"
    return f"response_format:{_hash(asked)}"


def _tools_part(request: Mapping[str, Any]) -> str:
    tools = request.get("tools")
    if not tools:
        return ""
    if not isinstance(tools, Sequence) or isinstance(tools, str):
        return f"tools:{_hash(tools)}"
    named = sorted(_tool_part(tool) for tool in tools)
    return f"tools:{','.join(named)};choice={_choice(request.get('tool_choice'))}"


def _tool_part(tool: object) -> str:
    if not isinstance(tool, Mapping):
        return f"#{_hash(tool)}"
    stated = tool.get("function")
    stated = stated if isinstance(stated, Mapping) else tool
    return _named(stated) if tool.get("type", "function") == "function" else f"#{_hash(tool)}"


def _named(stated: Mapping[str, Any]) -> str:
    return f"{stated.get('name')}#{_hash(stated.get('parameters'))}"


def _choice(choice: object) -> str:
    if choice is None:
        return "auto"
    if isinstance(choice, str):
        return choice
    if isinstance(choice, Mapping) and choice.get("type", "function") == "function":
        stated = choice.get("function")
        name = stated.get("name") if isinstance(stated, Mapping) else choice.get("name")
        if isinstance(name, str):
            return f"={name}"
    return f"#{_hash(choice)}"


def _functions_part(request: Mapping[str, Any]) -> str:
    functions = request.get("functions")
    if not functions:
        return ""
    if not isinstance(functions, Sequence) or not all(isinstance(one, Mapping) for one in functions):
        return f"{LEGACY_FUNCTIONS}:{_hash(functions)}"
    named = sorted(_named(one) for one in functions)
    return f"{LEGACY_FUNCTIONS}:{','.join(named)};choice={_choice(request.get('function_call'))}"


def _hash(value: object) -> str:
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        text = repr(value).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:_HASH_CHARS]
