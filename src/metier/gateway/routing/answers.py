"""Whether the frontier model's answer to an audited call says what the specialist's says."""

from __future__ import annotations

import re
from typing import Any

import orjson

from metier.artefacts.tasks import OutputKind
from metier.curation.labels import read_answer, spelling_key, tool_call
from metier.curation.records import read_object
from metier.curation.texts import clean
from metier.gateway.calls import Written
from metier.metrics.correctness import is_correct
from metier.metrics.records import canonical

_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)
# Far longer than any label; a text beyond it is no label.
_MAX_CHARS = 2_000


def same_answer(label: str, written: Written | None, reference: str, kind: OutputKind = OutputKind.LABEL) -> bool:
    """Whether `reference`, an answer's text as sources.messages.answer_text gives it, is right where `label`, the answer of
    a specialist, is: by `metrics.correctness.is_correct`, as in evaluation and certificate.

    It is read as curation reads the answers in a log. A record may be fenced, or the arguments of a tool call (of the tool
    that `written`, the answer that was kept, calls). A label may be plain, quoted, led by "Label:", fenced, or in JSON;
    spellings of one label (case, white space, `_`, `-`) are one. In JSON, or in a tool call, the label may stand under the
    key under which `written` has it. An answer that holds no label, or no record, is another answer.
    """
    key = spelling_key(label)
    bare = _THINKING.sub("", reference).strip()
    if kind is OutputKind.TEXT:
        return is_correct(kind, label, clean(bare))
    if kind is OutputKind.FIELDS:
        return is_correct(kind, label, _record(bare, written))
    return any(spelling_key(found) == key for found in _readings(bare, label, written))


def _record(text: str, written: Written | None) -> str | None:
    called = tool_call(text)
    expected = written.tool_name if written is not None else None
    if called is not None and expected is not None and called[0] != expected:
        return None
    record, _ = read_object(text)
    return None if record is None else canonical(record)


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
