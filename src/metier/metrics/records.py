"""Records: what a `fields` task answers. One canonical form, and when two values, two records are the same."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from metier.metrics.notation import as_date, as_number, folded

# A value that is not there, however it is written.
_ABSENT: tuple[object, ...] = (None, "", [], {})
_WORD = re.compile(r"[^\W_]+")
_MOST_DEPTH = 64
_FENCE = re.compile(r"^```[\w-]*\s*\n?(.*?)\n?\s*```$", re.DOTALL)


def parse_record(text: str) -> dict[str, Any] | None:
    """The JSON object that an answer holds, with or without a code fence around it; None where there is none, or one nested
    beyond 64 levels."""
    bare = text.strip()
    fenced = _FENCE.match(bare)
    try:
        value = json.loads(fenced[1] if fenced else bare)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and not _is_deep(value) else None


def canonical(record: Mapping[str, Any], schema: Mapping[str, Any] | None = None) -> str:
    """JSON in one form: the keys in the schema's order, then the others sorted; absent values left out unless the schema
    requires the key."""
    known = list((schema or {}).get("properties", {}))
    required = set((schema or {}).get("required", ()))
    keys = [key for key in known if key in record] + sorted(key for key in record if key not in known)
    kept = {key: record[key] for key in keys if not is_absent(record[key]) or key in required}
    return json.dumps(kept, ensure_ascii=False)


def is_absent(value: object) -> bool:
    """Whether a value says that there is none: null, "", white space, [] or {}."""
    if isinstance(value, str):
        return not value.strip()
    return any(value == none and type(value) is type(none) for none in _ABSENT)


def normalised(value: object) -> str:
    """A value without what people do not mean by it: Unicode form (NFKC), case, punctuation and white space.

    Dates and amounts are compared by what they mean, where that is certain (see `metrics.notation`). In other texts two
    digits that stood apart stay apart: "No 1-2" is "NO. 1 2" and not "No 12". Lists are compared without regard to order,
    a list of one value is that value, and what is absent within lists and objects is left out.
    """
    if isinstance(value, list):
        return _joined([form for item in value if (form := normalised(item))])
    if isinstance(value, Mapping):
        return _joined([f"{_sized(str(key))}{form}" for key, item in value.items() if (form := normalised(item))])
    if is_absent(value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = folded(str(value))
    return as_date(text) or as_number(text) or squeezed(text) or text


def squeezed(text: str) -> str:
    """The words of a folded text without anything between them, but for a space between two digits."""
    return "".join(piece for piece, _ in squeezed_words(text))


def squeezed_words(text: str) -> list[tuple[str, str]]:
    """The words of a folded text: each as it stands in `squeezed` (a space before it where needed), and bare."""
    pieces, before = [], ""
    for word in _words(text):
        pieces.append((f" {word}" if before[-1:].isdigit() and word[0].isdigit() else word, word))
        before = word
    return pieces


def _words(text: str) -> list[str]:
    """Runs of letters and digits. Marks belong to their letter: vowels of many scripts are written as marks."""
    if text.isascii():
        return _WORD.findall(text)
    return "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in text).split()


def same_value(given: object, wanted: object) -> bool:
    """Whether two values are the same after normalisation; absent equals absent."""
    return normalised(given) == normalised(wanted)


def identical(given: object, wanted: object) -> bool:
    """Whether two values are written alike, character for character; absent equals absent."""
    if is_absent(given) or is_absent(wanted):
        return is_absent(given) and is_absent(wanted)
    return json.dumps(given, sort_keys=True) == json.dumps(wanted, sort_keys=True)


def same_record(given: str | None, wanted: str) -> bool:
    """Whether two answers, as JSON, agree in every field after normalisation; an answer that is no record is wrong."""
    left, right = parse_record(given) if given is not None else None, parse_record(wanted)
    if left is None or right is None:
        return False
    return all(same_value(left.get(key), right.get(key)) for key in {*left, *right})


def _joined(forms: list[str]) -> str:
    """One form as it is, several in sorted order, each after its length: no two lists of forms are joined alike."""
    return forms[0] if len(forms) == 1 else "".join(_sized(form) for form in sorted(forms))


def _sized(form: str) -> str:
    return f"{len(form)}:{form}"


def _is_deep(value: object) -> bool:
    """Whether a value is nested beyond what any record is: functions that walk it would run out of stack."""
    level = [value]
    for _ in range(_MOST_DEPTH):
        inner = [item for one in level if isinstance(one, dict | list) for item in _items(one)]
        if not inner:
            return False
        level = inner
    return any(isinstance(one, dict | list) for one in level)


def _items(one: dict[str, Any] | list[Any]) -> list[Any]:
    return one if isinstance(one, list) else list(one.values())
