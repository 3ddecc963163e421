"""Values that are copied: a grammar under which the fields of a record can only hold spans of the input.

A small model that copies a name letter by letter slips ("KEKBUDAYAAN" for "KEBUDAYAAN"). Where a field's values stand in
the input, its answer may be a run of the input's words and signs that lies as such values do (see `spans`) and nothing
else, so that nothing is made up. The grammar is in the notation of llguidance, llama.cpp's constraint engine, whose
substring expressions accept such runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metier.students.lm.engine.schemas import closed
from metier.students.lm.engine.spans import Lines, json_text, literal, span_grammar
from metier.students.lm.notation import separators
from metier.students.lm.parts import Span

# What a schema may say of a copied field, and of the record around it: all else is left to the schema's own grammar.
_OF_TEXT = frozenset({"type", "description", "title"})
_OF_LIST = _OF_TEXT | {"items"}
_OF_RECORD = _OF_TEXT | {"properties", "required", "additionalProperties", "$schema"}
_TEXT, _LIST = "text", "list"


def copyable(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields of a record that a grammar can hold to the input: plain texts and lists of them, of a flat record."""
    if schema.get("type") != "object" or not schema.keys() <= _OF_RECORD:
        return ()
    properties = schema.get("properties", {})
    if not set(schema.get("required", ())) <= properties.keys():
        return ()
    return tuple(name for name, field in properties.items() if _form(field) is not None)


def copying_grammar(
    schema: Mapping[str, Any], copied: Sequence[Span], source: str, is_compact: bool = False
) -> str | None:
    """The grammar of records whose `copied` fields (all of them `copyable`) hold spans of `source`; None where the source
    has no word, so that there is nothing to copy.

    Fields stand in the schema's order, those not required may be absent; with a space after each comma and colon unless
    `is_compact`. White space of the source, line breaks too, is one space.
    """
    lines = Lines.of(source)
    if not lines.pieces:
        return None
    spans = {span.field: span for span in copied}
    properties, required = dict(schema["properties"]), set(schema.get("required", ()))
    item, key = separators(is_compact)
    pieces = [json_text(piece) for piece in lines.flat]
    rules = ["%llguidance {}", f"SPAN: %regex {literal({'substring_chunks': pieces})}"]
    for place, (name, field) in enumerate(properties.items()):
        if name in spans:
            more, span = span_grammar(spans[name], lines, str(place))
            rules += [*more, f"span_{place}: {span}"]
        value = _copied(field, place, item) if name in spans else _free(field, is_compact)
        rules.append(f"value_{place}: {value}")
        rules.append(f"field_{place}: {literal(literal(name) + key)} value_{place}")
        rest = f" | first_{place + 1}" if name not in required else ""
        rules.append(f"first_{place}: field_{place} more_{place + 1}{rest}")
        rest = f" | more_{place + 1}" if name not in required else ""
        rules.append(f"more_{place}: {literal(item)} field_{place} more_{place + 1}{rest}")
    end = len(properties)
    return "\n".join([*rules, f'first_{end}: ""', f'more_{end}: ""', 'start: "{" first_0 "}"'])


def _form(field: object) -> str | None:
    if not isinstance(field, Mapping):
        return None
    if field.get("type") == "string" and field.keys() <= _OF_TEXT:
        return _TEXT
    if field.get("type") == "array" and field.keys() <= _OF_LIST and _form(field.get("items")) == _TEXT:
        return _LIST
    return None


def _free(field: object, is_compact: bool) -> str:
    """A field that the schema alone holds, in the same notation as the whole record would be."""
    return f"%json {literal(closed(field, is_compact) if isinstance(field, Mapping) else field)}"


def _copied(field: Mapping[str, Any], place: int, item: str) -> str:
    span = f"span_{place}"
    return span if _form(field) == _TEXT else f'"[" ({span} ({literal(item)} {span})*)? "]"'
