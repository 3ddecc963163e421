"""report.json: its JSON Schema, derived from the dataclasses, and the conversion to plain JSON values."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import Enum
from importlib.resources import files
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from metier.pages.content import SCHEMA_NAME, SCHEMA_VERSION, ReportData

_URI = f"urn:metier:report:{SCHEMA_VERSION}"


class _Generator(GenerateJsonSchema):
    """JSON has no NaN and no infinity: null is "not scored", "Infinity" is "never" or "without bound"."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:  # noqa: ARG002
        return {"anyOf": [{"type": "number"}, {"type": "null"}, {"enum": ["Infinity", "-Infinity"]}]}


def report_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of report.json. Every field is always present and no other is allowed."""
    schema = TypeAdapter(ReportData).json_schema(mode="serialization", schema_generator=_Generator)
    _close(schema)
    schema["properties"]["schema"]["const"] = SCHEMA_NAME
    schema["properties"]["schema_version"]["const"] = SCHEMA_VERSION
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": _URI, **schema}


def stored_schema() -> dict[str, Any]:
    """The schema file that the package carries."""
    content: dict[str, Any] = json.loads((files("metier.pages") / "report.schema.json").read_text(encoding="utf-8"))
    return content


def to_json_values(value: Any) -> Any:
    """Dataclasses, tuples, enums and floats as what json.dumps writes: NaN as null, infinity as "Infinity"."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return _number(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json_values(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json_values(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json_values(item) for item in value]
    return value if value is None or isinstance(value, str | int) else str(value)


def _number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _close(node: Any) -> None:
    if isinstance(node, dict):
        # Every field is always written, so defaults say nothing; one of them is NaN, which JSON lacks.
        node.pop("default", None)
        if isinstance(node.get("properties"), dict) and node.get("type") == "object":
            node["required"] = list(node["properties"])
            node["additionalProperties"] = False
        for child in node.values():
            _close(child)
    elif isinstance(node, list):
        for child in node:
            _close(child)


if __name__ == "__main__":
    print(json.dumps(report_schema(), indent=1, allow_nan=False))
