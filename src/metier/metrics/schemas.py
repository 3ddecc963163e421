"""JSON Schemas of records: what a request states, what answers show, and whether a record fits.

`infer_schema` is meant for constrained decoding and for checking: it names the keys in the order in which they are written,
closes objects, and takes for given only what answers show again and again.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# A key that this share of the answers has is required: the rest are slips.
REQUIRED_SHARE = 0.95
# A key or a type that fewer answers show is a slip, unless a person gave it.
KNOWN_COUNT = 2
KNOWN_SHARE = 0.002
KNOWN_TYPE_SHARE = 0.01
# A set of strings is closed where all of few short ones recur often.
ENUM_MOST = 12
ENUM_CHARS = 40
ENUM_EACH = 5
ENUM_VALUES = 100
ENUM_PER_STRING = 20
# Objects whose keys are mostly unlike are tables (a name -> a value), not records.
TABLE_SHARE = 0.5
_MOST_DEPTH = 32
_ORDERS = 2_000

Schema = dict[str, Any]


@dataclass(frozen=True)
class _Seen:
    """A value that an answer holds, and whether a person vouches for it."""

    value: Any
    vouched: bool


def stated_schema(parameters: Mapping[str, Any] | str | None) -> Schema | None:
    """The JSON Schema of an object that a request demands of its answer; None where it states none.

    Read are structured outputs (`response_format`, and `text.format` of the responses API), the parameters of the one tool
    that must be called, and `guided_json`; given as the request, or as a trace's `parameters`.
    """
    if isinstance(parameters, str):
        try:
            parameters = json.loads(parameters)
        except ValueError:
            return None
    if not isinstance(parameters, Mapping):
        return None
    found = _of_format(parameters) or _of_tool(parameters) or parameters.get("guided_json")
    if not isinstance(found, Mapping) or not isinstance(found.get("properties"), Mapping):
        return None
    return dict(found)


def _of_format(request: Mapping[str, Any]) -> Any:
    asked = request.get("response_format")
    if asked is None and isinstance(text := request.get("text"), Mapping):
        asked = text.get("format")
    if not isinstance(asked, Mapping) or asked.get("type") != "json_schema":
        return None
    inner = asked.get("json_schema", asked)
    return inner.get("schema") if isinstance(inner, Mapping) else None


def _of_tool(request: Mapping[str, Any]) -> Any:
    tools = request.get("tools")
    named = (
        [tool.get("function", tool) for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []
    )
    choice = request.get("tool_choice")
    if isinstance(choice, Mapping):
        stated = choice.get("function", choice)
        wanted = stated.get("name") if isinstance(stated, Mapping) else None
        named = [tool for tool in named if isinstance(tool, Mapping) and tool.get("name") == wanted]
    return named[0].get("parameters") if len(named) == 1 and isinstance(named[0], Mapping) else None


def schema_fault(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a schema: it is none, describes no object, refers to another document; None where nothing is."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for

    try:
        validator_for(schema, default=Draft202012Validator).check_schema(dict(schema))
    except SchemaError as error:
        return str(error.message)
    except RecursionError:
        return "nested too deeply"
    if "$ref" in json.dumps(schema) and any(not ref.startswith("#") for ref in _references(schema)):
        return "it refers to another document"
    kind = schema.get("type", "object")
    return (
        None if kind == "object" or (isinstance(kind, list) and "object" in kind) else f"it describes {kind}, no object"
    )


def _references(schema: Any) -> list[str]:
    if isinstance(schema, Mapping):
        own = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
        return own + [ref for value in schema.values() for ref in _references(value)]
    return [ref for value in schema for ref in _references(value)] if isinstance(schema, list) else []


def record_checker(schema: Mapping[str, Any]) -> Callable[[Any], str | None]:
    """A function from a JSON value to what keeps it from fitting the schema ("lacks 'date'"), None where it fits."""
    from jsonschema.validators import Draft202012Validator, validator_for

    validator = validator_for(schema, default=Draft202012Validator)(schema)

    def check(value: Any) -> str | None:
        try:
            error = next(validator.iter_errors(value), None)
        except Exception as problem:  # a reference to nowhere or to itself
            return f"the schema cannot be applied ({type(problem).__name__})"
        return None if error is None else _told(error)

    return check


def _told(error: Any) -> str:
    """An error without the values in it, so that equal errors can be counted."""
    place = ".".join("[]" if isinstance(step, int) else str(step) for step in error.absolute_path)
    at = f"{place}: " if place else ""
    if error.validator == "required":
        lacking = [key for key in error.validator_value if key not in error.instance]
        return f"{at}lacks {', '.join(map(repr, lacking))}"
    if error.validator == "additionalProperties":
        return f"{at}has a key that the schema does not name"
    if error.validator == "type":
        return f"{at}is {_type_name(error.instance)}, not {error.validator_value}"
    if error.validator == "enum":
        return f"{at}is none of the allowed values"
    return f"{at}breaks {error.validator!r}"


def infer_schema(values: Sequence[Any], vouched: Sequence[bool] | None = None) -> Schema:
    """The JSON Schema that answers follow, slips aside.

    Types, and keys of objects, are those that recur (twice, and 0.2% of the keys' objects or 1% of the types' values) or
    that a person gave. A key is required where 95% of the objects have it and no object that a person gave lacks it.
    Objects are closed; those with mostly unlike keys are tables. A set of at most 12 short strings is closed where each
    occurs five times and they come to a hundred values, twenty a string. Properties are in the order in which they are
    written.

    Args:
        values: the answers' JSON values.
        vouched: for each, whether a person gave or confirmed it; by default none is.
    """
    marks = vouched if vouched is not None else [False] * len(values)
    return _infer([_Seen(value, mark) for value, mark in zip(values, marks, strict=True)], 0)


def _infer(seen: Sequence[_Seen], depth: int) -> Schema:
    names = _known_types(seen)
    if not names or depth > _MOST_DEPTH:
        return {}
    schema: Schema = {"type": names[0] if len(names) == 1 else names}
    if "object" in names:
        schema |= _object_part([one for one in seen if isinstance(one.value, dict)], depth)
    if "array" in names:
        items = [_Seen(item, one.vouched) for one in seen if isinstance(one.value, list) for item in one.value]
        if items:
            schema["items"] = _infer(items, depth + 1)
    if names == ["string"] and (closed := _closed_set([one.value for one in seen if isinstance(one.value, str)])):
        schema["enum"] = closed
    return schema


def _known_types(seen: Sequence[_Seen]) -> list[str]:
    counts = Counter(_type_name(one.value) for one in seen)
    given = {_type_name(one.value) for one in seen if one.vouched}
    least = min(max(KNOWN_COUNT, KNOWN_TYPE_SHARE * len(seen)), max(counts.values(), default=0))
    known = sorted(name for name, n in counts.items() if n >= least or name in given)
    # Every integer is a number.
    return [name for name in known if name != "integer" or "number" not in known]


def _object_part(objects: Sequence[_Seen], depth: int) -> Schema:
    present = Counter(key for one in objects for key in one.value)
    given = {key for one in objects if one.vouched for key in one.value}
    least = min(max(KNOWN_COUNT, KNOWN_SHARE * len(objects)), len(objects))
    known = [key for key, n in present.items() if n >= least or key in given]
    frequent = sum(n for key, n in present.items() if n >= 0.01 * len(objects) and n >= KNOWN_COUNT)
    if len(objects) >= 10 and frequent < TABLE_SHARE * present.total():
        values = [_Seen(value, one.vouched) for one in objects for value in one.value.values()]
        return {"additionalProperties": _infer(values, depth + 1)}
    ordered = writing_order([one.value for one in objects], known)
    lacked = {key for key in known for one in objects if one.vouched and key not in one.value}
    return {
        "properties": {
            key: _infer([_Seen(one.value[key], one.vouched) for one in objects if key in one.value], depth + 1)
            for key in ordered
        },
        "required": [key for key in ordered if present[key] >= REQUIRED_SHARE * len(objects) and key not in lacked],
        "additionalProperties": False,
    }


def writing_order(written: Sequence[Iterable[str]], keys: Sequence[str]) -> list[str]:
    """Keys in the order in which answers write them: by how many other keys each mostly stands before (Copeland, 1951);
    equal ones stay as they are in `keys`. Answers beyond the first 2,000 are not looked at."""
    place = {key: number for number, key in enumerate(keys)}
    before = np.zeros((len(keys), len(keys)), dtype=np.int64)
    for one in itertools.islice(written, _ORDERS):
        numbers = [place[key] for key in one if key in place]
        for nth, number in enumerate(numbers):
            before[number, numbers[nth + 1 :]] += 1
    wins = (before > before.T).sum(axis=1)
    return sorted(keys, key=lambda key: -int(wins[place[key]]))


def _closed_set(strings: Sequence[str]) -> list[str] | None:
    counts = Counter(strings)
    few = 2 <= len(counts) <= ENUM_MOST and all(0 < len(text) <= ENUM_CHARS for text in counts)
    often = (
        len(strings) >= max(ENUM_VALUES, ENUM_PER_STRING * len(counts)) and min(counts.values(), default=0) >= ENUM_EACH
    )
    return sorted(counts) if few and often else None


def _type_name(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")
