"""JSON Schemas as the engine's constraint: one way to write a record, and a clear word on what cannot be held to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from metier.errors import BadInput
from metier.students.lm.notation import separators

# Formats the constraint engine (llguidance) knows; any other is a note to readers, as JSON Schema has it.
_FORMATS = frozenset(
    ["date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid", "unknown"]
)
_SUBSCHEMAS = ("items", "additionalProperties")
_LISTS = ("anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "$defs", "definitions", "patternProperties")
_COMBINING = frozenset(["allOf", "anyOf", "oneOf", "$ref", "if", "not", "unevaluatedProperties"])


def closed(schema: Mapping[str, Any], is_compact: bool = False) -> dict[str, Any]:
    """The schema as the engine gets it: no fields but those it names, unless it says otherwise; one way to write a record,
    which leaves the model nothing to dither about."""
    item, key = separators(is_compact)
    notation = {"whitespace_flexible": False, "item_separator": item, "key_separator": key}
    return {**_strict(schema), "x-guidance": notation}


def check_schema(schema: Mapping[str, Any], is_possible: Callable[[dict[str, Any]], bool]) -> None:
    """Raise BadInput, naming the part, unless answers can be held to the schema.

    `is_possible` says of a closed schema whether the engine takes it: it refuses what it cannot express (look-ahead in
    patterns, uniqueItems, if/then) and what nothing satisfies.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = "/".join(str(step) for step in error.absolute_path) or "the top"
        raise BadInput(f"the output schema is no JSON Schema (at {where}): {error.message}") from None
    if not is_possible(closed(schema)):
        part = _failing_part(schema, is_possible)
        raise BadInput(
            f"answers cannot be held to the output schema: nothing satisfies {part}, or it asks for something a grammar "
            "cannot express (look-ahead in a pattern, uniqueItems, contains, if/then, dependentRequired, a $ref that "
            "points nowhere); change that part"
        )


def _failing_part(schema: Mapping[str, Any], is_possible: Callable[[dict[str, Any]], bool]) -> str:
    definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    for name, part in schema.get("properties", {}).items():
        alone = {"type": "object", "properties": {name: part}, "required": [name], **definitions}
        if not is_possible(closed(alone)):
            return f"the field {name!r} ({_shortened(part)})"
    return f"the schema as a whole ({_shortened({k: v for k, v in schema.items() if k != 'properties'})})"


def _shortened(part: object) -> str:
    text = json.dumps(part, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _strict(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    out = {key: value for key, value in schema.items() if key != "format" or value in _FORMATS}
    for key in _SUBSCHEMAS:
        if key in out:
            out[key] = _strict(out[key])
    for key in _MAPS:
        if key in out:
            out[key] = {name: _strict(part) for name, part in out[key].items()}
    # Combined schemas see one another's fields as additional ones: closing the parts would leave nothing that fits all.
    if not ("properties" in out and _COMBINING & out.keys()):
        for key in _LISTS:
            if key in out:
                out[key] = [_strict(part) for part in out[key]]
    if "properties" in out and not _COMBINING & out.keys() and set(out.get("required", ())) <= out["properties"].keys():
        out.setdefault("additionalProperties", False)
    return out
