"""What the model answered, read for its form: a JSON object, a label, or text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from metier.metrics.boxed import last_box

LABEL_CHARS = 80
LABEL_WORDS = 8
_FENCE = re.compile(r"\A```\w*\s*(.*?)\s*```\Z", re.DOTALL)
_CALL_KEYS = {"name", "arguments"}
_WORDS = re.compile(r"\w{3,}")
_WRAPPING = " \t\r\n\"'`*"


class Form(StrEnum):
    NONE = "none"
    OBJECT = "object"
    SHORT = "short"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Answer:
    """`value` is the label of a short answer, or of an object {`wrapper`: label}; `keys` are an object's keys, sorted."""

    form: Form
    value: str = ""
    wrapper: str = ""
    keys: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The label without regard to case and white space."""
        return " ".join(self.value.casefold().split())


_NO_ANSWER = Answer(Form.NONE)


def read_answer(response: str | None) -> Answer:
    """The answer in a response, out of a code fence, quotes, a tool call, a JSON object with one short value, or a box
    (`\\boxed{}`) at the end of some reasoning."""
    text = (response or "").strip()
    if not text:
        return _NO_ANSWER
    if (box := last_box(text)) is not None and _is_short(box.content):
        return Answer(Form.SHORT, clean_label(box.content))
    if text.startswith("```") and (fenced := _FENCE.match(text)):
        text = fenced.group(1)
    if text[:1] in "{[":
        parsed = parse_json(text)
        if isinstance(parsed, dict):
            return _read_object(arguments_of(parsed))
        if isinstance(parsed, list):
            return Answer(Form.OBJECT, keys=("[]",))
    return Answer(Form.SHORT, clean_label(text)) if _is_short(text) else Answer(Form.LONG)


def _is_short(text: str) -> bool:
    return len(text) <= LABEL_CHARS and "\n" not in text and text.count(" ") < LABEL_WORDS


def arguments_of(parsed: Any) -> Any:
    """The arguments of a tool call, as traces hold it ({"name", "arguments"}); any other JSON value as it is."""
    if isinstance(parsed, dict) and parsed.keys() == _CALL_KEYS:
        name, arguments = parsed["name"], parsed["arguments"]
        return arguments if isinstance(name, str) and isinstance(arguments, dict) else parsed
    return parsed


def parse_json(text: str) -> Any:
    """The JSON value in a response, with or without a code fence; None where there is none."""
    stripped = text.strip()
    if fenced := _FENCE.match(stripped):
        stripped = fenced.group(1)
    try:
        return orjson.loads(stripped)
    except orjson.JSONDecodeError:
        return None


def clean_label(text: str) -> str:
    """A label without the quotes, marks and full stop that answers wrap it in."""
    bare = text.strip(_WRAPPING)
    return bare[:-1].rstrip(_WRAPPING) if bare.endswith(".") and bare.count(".") == 1 else bare


def _read_object(parsed: dict[str, Any]) -> Answer:
    if len(parsed) == 1:
        [(key, value)] = parsed.items()
        if isinstance(value, bool):
            return Answer(Form.SHORT, str(value).lower(), key, (key,))
        if isinstance(value, (str, int)) and len(str(value)) <= LABEL_CHARS and str(value).strip():
            return Answer(Form.SHORT, clean_label(str(value)), key, (key,))
    return Answer(Form.OBJECT, keys=tuple(sorted(map(str, parsed))))


def drawn_share(text: str, source: str) -> float:
    """Share of the words of three letters or more that stand in the source as well; 1 for a text without any."""
    said, known = _WORDS.findall(text.casefold()), set(_WORDS.findall(source.casefold()))
    return sum(word in known for word in said) / len(said) if said else 1.0


def seen_share(counts: Iterable[int]) -> float:
    """The probability that the next answer is one already seen: 1 - (answers seen once) / n (Good, 1953, eq. 9)."""
    listed = list(counts)
    total = sum(listed)
    return 1.0 - sum(count == 1 for count in listed) / total if total else 0.0
