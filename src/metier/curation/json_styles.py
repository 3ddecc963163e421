"""Records laid out as JSON in the style of somebody else's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from metier.artefacts.datasets import JsonStyle
from metier.metrics.records import is_absent, parse_record

_SEPARATORS = ((", ", ": "), (",", ":"), (", ", ":"), (",", ": "))
_INDENTS = ("  ", "    ", "\t", " ", "   ")
_LAYOUTS = tuple(
    JsonStyle(indent, item, key, ascii_only)
    for ascii_only in (False, True)
    for indent, item, key in (
        *((None, item, key) for item, key in _SEPARATORS),
        *((indent, ",", ": ") for indent in _INDENTS),
    )
)
# Layout of answers that no layout of ours gives back.
_USUAL = _LAYOUTS[0]


def write_record(style: JsonStyle, record: Mapping[str, Any]) -> str:
    """A record as JSON in this style."""
    absent = {key: json.loads(text) for key, text in style.absent}
    known = [key for key in style.keys if key in record or key in absent]
    keys = [*known, *(key for key in record if key not in style.keys)]
    laid_out = {}
    for key in keys:
        value = record.get(key)
        if not is_absent(value):
            laid_out[key] = value
        elif key in absent:
            laid_out[key] = absent[key]
        elif key in record:
            # The schema requires the key, or it would not be there.
            laid_out[key] = value
    return _dumps(style, laid_out)


def _dumps(style: JsonStyle, value: Any) -> str:
    separators = (style.item_separator, style.key_separator)
    return json.dumps(value, ensure_ascii=style.ascii_only, indent=style.indent, separators=separators)


def layout_of(core: str) -> JsonStyle:
    """The layout in which a JSON object is written (no keys, nothing absent); the usual one, on one line, where it is none
    that is known here."""
    record = parse_record(core)
    return next((layout for layout in _LAYOUTS if record is not None and _dumps(layout, record) == core), _USUAL)
