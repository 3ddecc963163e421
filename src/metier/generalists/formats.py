"""How a server is asked for a record: by its schema where it can be held to it, else for any JSON, else in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Mode = Literal["strict", "schema", "object", "plain"]
MODES: tuple[Mode, ...] = ("strict", "schema", "object", "plain")

_NAME = "record"
# What servers that hold an answer to its schema ("strict") take besides types; others make them refuse the request.
_STRICT_KEYWORDS = frozenset(
    {
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "const",
        "anyOf",
        "description",
        "title",
    }
)
_ANNOTATIONS = frozenset({"$schema", "$id", "$comment", "examples", "default"})


def response_format(mode: Mode, schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The request's `response_format`; None where it states none, or the schema cannot be asked for in this mode."""
    if mode == "plain":
        return None
    if mode == "object":
        return {"type": "json_object"}
    stated = strict_schema(schema) if mode == "strict" else dict(schema)
    if stated is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": _NAME, "schema": stated, "strict": mode == "strict"}}


def modes_for(schema: Mapping[str, Any]) -> tuple[Mode, ...]:
    """The modes to try, most binding first."""
    return MODES if strict_schema(schema) is not None else MODES[1:]


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema as structured outputs demand it: every key required, those that may be absent nullable, no further keys
    (OpenAI, "Structured outputs: supported schemas"). None where it says what cannot be said so."""
    if schema.get("type") != "object" or "anyOf" in schema:
        return None
    return _strict(schema)


def shown(messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any], mode: Mode) -> list[dict[str, str]]:
    """The messages; where the server is not given the schema and they do not hold it either, with it in front."""
    written = json.dumps(schema, ensure_ascii=False)
    given = [dict(message) for message in messages]
    if mode in ("strict", "schema") or any(written in message["content"] for message in given):
        return given
    told = f"Answer with one JSON object that fits this JSON Schema, and nothing else:\n{written}"
    return [{"role": "system", "content": told}, *given]


def _strict(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    kept = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
    if not _STRICT_KEYWORDS.issuperset(kept):
        return None
    if isinstance(kept.get("additionalProperties"), Mapping) or ("properties" in kept and kept.get("type") != "object"):
        return None
    parts = [_part(kept["items"])] if "items" in kept else []
    parts += [_part(one) for one in kept.get("anyOf", ())]
    if None in parts:
        return None
    if "items" in kept:
        kept["items"] = parts.pop(0)
    if "anyOf" in kept:
        kept["anyOf"] = parts
    return _strict_object(kept) if kept.get("type") == "object" else kept


def _strict_object(schema: dict[str, Any]) -> dict[str, Any] | None:
    needed = set(schema.get("required", ()))
    properties = {}
    for name, field in schema.get("properties", {}).items():
        part = _part(field)
        if part is None:
            return None
        properties[name] = part if name in needed else _nullable(part)
    # An object of which no key is known cannot be held to anything.
    if not properties or not needed <= set(properties):
        return None
    return {**schema, "properties": properties, "required": list(properties), "additionalProperties": False}


def _part(schema: object) -> dict[str, Any] | None:
    return _strict(schema) if isinstance(schema, Mapping) else None


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if isinstance(kind, str) and "enum" not in schema and "const" not in schema:
        return schema if kind == "null" else {**schema, "type": [kind, "null"]}
    if isinstance(kind, list) and "enum" not in schema and "const" not in schema:
        return schema if "null" in kind else {**schema, "type": [*kind, "null"]}
    return {"anyOf": [schema, {"type": "null"}]}
