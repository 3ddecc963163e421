"""Records: what a `fields` task answers. One canonical form, and when two values, two records are the same."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

# A value that is not there, however it is written.
_ABSENT: tuple[object, ...] = (None, "", [], {})
_NOT_WORD = re.compile(r"[^\w]+")
_NUMBER = re.compile(r"[^\d.,\-]")
_FENCE = re.compile(r"^```[\w-]*\s*\n?(.*?)\n?\s*```$", re.DOTALL)


def parse_record(text: str) -> dict[str, Any] | None:
    """The JSON object that an answer holds, with or without a code fence around it; None where there is none."""
    bare = text.strip()
    fenced = _FENCE.match(bare)
    try:
        value = json.loads(fenced[1] if fenced else bare)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def canonical(record: Mapping[str, Any], schema: Mapping[str, Any] | None = None) -> str:
    """JSON in one form: the keys in the schema's order, then the others sorted; absent values left out unless the schema
    requires the key."""
    known = list((schema or {}).get("properties", {}))
    required = set((schema or {}).get("required", ()))
    keys = [key for key in known if key in record] + sorted(key for key in record if key not in known)
    kept = {key: record[key] for key in keys if not is_absent(record[key]) or key in required}
    return json.dumps(kept, ensure_ascii=False)


def is_absent(value: object) -> bool:
    """Whether a value says that there is none: null, "", [] or {}."""
    return any(value == none and type(value) is type(none) for none in _ABSENT)


def normalised(value: object) -> str:
    """A value without what people do not mean by it: Unicode form (NFKC), case, punctuation and white space.

    Numbers, and strings that are numbers but for currency signs and the like, keep their decimal point: "RM 9.00" is
    "9.00".
    Lists are joined in sorted order, since an answer's order is not its meaning.
    """
    if is_absent(value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "\n".join(sorted(normalised(item) for item in value))
    if isinstance(value, Mapping):
        return "\n".join(f"{key}\t{normalised(item)}" for key, item in sorted(value.items()))
    text = unicodedata.normalize("NFKC", str(value)).casefold().strip()
    number = as_number(text)
    return number if number is not None else _NOT_WORD.sub("", text.replace("_", ""))


def as_number(text: str) -> str | None:
    """The plain decimal in an amount such as "RM 1,234.50" ("1234.50"); None where the text is no amount."""
    letters = sum(character.isalpha() for character in text)
    if letters > 3 or not any(character.isdigit() for character in text):
        return None
    bare = _NUMBER.sub("", text)
    match = re.fullmatch(r"(-?)(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?", bare)
    return f"{match[1]}{match[2].replace(',', '')}{match[3] or ''}" if match and not text.count("/") else None


def same_value(given: object, wanted: object) -> bool:
    """Whether two values are the same after normalisation; absent equals absent."""
    return normalised(given) == normalised(wanted)


def same_record(given: str | None, wanted: str) -> bool:
    """Whether two answers, as JSON, agree in every field after normalisation; an answer that is no record is wrong."""
    left, right = parse_record(given) if given is not None else None, parse_record(wanted)
    if left is None or right is None:
        return False
    return all(same_value(left.get(key), right.get(key)) for key in {*left, *right})
