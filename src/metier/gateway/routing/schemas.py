"""Whether a JSON value satisfies a JSON Schema that a client sent; compiled schemas and outcomes are remembered."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

# Schemas come from clients: what takes long to check must not stop a gateway.
_MAX_SCHEMA_BYTES = 64 * 1024
_REMEMBERED_SCHEMAS = 256
_REMEMBERED_ANSWERS = 1024
# Labels come again and again; records and texts do not, and would fill the memory.
_REMEMBERED_CHARS = 256
# A regular expression can be written so that one short text keeps it busy for years.
_REFUSED_KEYWORDS: dict[str, type] = {"pattern": str, "patternProperties": dict}
_MAX_DEPTH = 64


def accepts(schema: object, text: str) -> bool:
    """Whether `text` is JSON that satisfies `schema`. False, too, where the schema is no schema, is larger than 64 KiB,
    nested deeper than 64 levels, refers to another document, or holds a regular expression."""
    try:
        key = orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError):
        return False
    if len(key) > _MAX_SCHEMA_BYTES:
        return False
    checker = _compiled(key)
    return checker is not None and checker.accepts(text)


@dataclass(frozen=True)
class _Checker:
    """A compiled schema and what it said to the answers it has seen; a specialist has few."""

    validator: Any
    known: dict[str, bool] = field(default_factory=dict)

    def accepts(self, text: str) -> bool:
        found = self.known.get(text)
        if found is None:
            found = self._check(text)
            if len(text) > _REMEMBERED_CHARS:
                return found
            if len(self.known) >= _REMEMBERED_ANSWERS:
                self.known.clear()
            self.known[text] = found
        return found

    def _check(self, text: str) -> bool:
        try:
            return bool(self.validator.is_valid(orjson.loads(text)))
        except Exception:  # a reference to nowhere or to itself, text that is no JSON: no answer is accepted
            return False


@lru_cache(maxsize=_REMEMBERED_SCHEMAS)
def _compiled(schema: bytes) -> _Checker | None:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry

    parsed = orjson.loads(schema)
    if not isinstance(parsed, dict) or not _is_tame(parsed, _MAX_DEPTH):
        return None
    kind = validator_for(parsed, default=Draft202012Validator)
    try:
        kind.check_schema(parsed)
    except SchemaError:
        return None
    # A registry of its own: the default one would fetch whatever address a client's schema refers to.
    return _Checker(kind(parsed, registry=Registry()))


def _is_tame(node: object, depth: int) -> bool:
    if depth == 0:
        return False
    if isinstance(node, dict):
        return all(
            not (name in _REFUSED_KEYWORDS and isinstance(value, _REFUSED_KEYWORDS[name]))
            and _is_tame(value, depth - 1)
            for name, value in node.items()
        )
    return all(_is_tame(item, depth - 1) for item in node) if isinstance(node, list) else True
