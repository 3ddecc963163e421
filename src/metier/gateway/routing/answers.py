"""Whether the frontier model's answer to an audited call gives the label that the specialist gave."""

from __future__ import annotations

import re
from typing import Any

import orjson

from metier.curation.labels import read_answer, spelling_key
from metier.gateway.calls import Written

_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)
# Far longer than any label; a text beyond it is no label.
_MAX_CHARS = 2_000


def same_answer(label: str, written: Written | None, reference: str) -> bool:
    """Whether `reference`, an answer's text as sources.messages.answer_text gives it, means `label`.

    It is read as curation reads the answers in a log: plain, quoted, led by "Label:", fenced, or in JSON; spellings of one
    label (case, white space, `_`, `-`) are one. In JSON, or in a tool call, the label may stand under the key under which
    `written`, the answer that was kept, has it. An answer that holds no label is another answer.
    """
    key = spelling_key(label)
    bare = _THINKING.sub("", reference).strip()
    return any(spelling_key(found) == key for found in _readings(bare, label, written))


def _readings(text: str, label: str, written: Written | None) -> list[str]:
    value = _json(text)
    if isinstance(value, dict) and set(value) == {"name", "arguments"}:
        if written is not None and written.tool_name is not None and written.tool_name != value["name"]:
            return []
        value = value["arguments"]
        text = orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)
    field = _field_of(label, written)
    if field is not None and isinstance(value, dict) and field in value:
        return [str(value[field])]
    read = read_answer(text, _MAX_CHARS).label
    return [] if read is None else [read]


def _field_of(label: str, written: Written | None) -> str | None:
    """The key under which the kept answer has the label, where it is a JSON object with just one such key."""
    given = _json((written.arguments or written.content or "") if written is not None else "")
    if not isinstance(given, dict):
        return None
    key = spelling_key(label)
    fields = [name for name, value in given.items() if isinstance(value, str) and spelling_key(value) == key]
    return fields[0] if len(fields) == 1 else None


def _json(text: str) -> Any:
    if text[:1] != "{":
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
