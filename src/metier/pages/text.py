"""Text that came from outside (labels, inputs, model names), made harmless to show: it is hostile until cleaned."""

from __future__ import annotations

import dataclasses
import re
from enum import Enum
from typing import Any

# C0 and C1 controls (terminal escapes, NUL) but tab and newline; lone surrogates, which no encoding can write; and the
# bidirectional overrides, which reorder the text around them.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
MAX_CHARS = 2_000


def clean(text: str, max_chars: int = MAX_CHARS) -> str:
    """`text` with unsafe characters replaced by U+FFFD, cut at `max_chars`."""
    short = text if len(text) <= max_chars else f"{text[:max_chars]}… ({len(text):,} characters)"
    return _UNSAFE.sub("\ufffd", short)


def clip(text: str, max_chars: int) -> str:
    """`text` on one line in at most `max_chars` characters; the middle gives way, as both ends of a label matter."""
    line = " ".join(text.split())
    if len(line) <= max_chars:
        return line
    tail = (max_chars - 1) // 3
    return f"{line[: max_chars - 1 - tail].rstrip()}…{line[-tail:].lstrip() if tail else ''}"


def as_sentence(text: str) -> str:
    """`text` with a capital at its beginning and a full stop at its end."""
    words = text.strip()
    return f"{words[:1].upper()}{words[1:]}{'' if words.endswith(('.', '!', '?')) else '.'}" if words else ""


def longest_word(text: str) -> int:
    """The length of the longest run without a space: how wide `text` must be set if no word is broken."""
    return max(map(len, text.split()), default=0)


def clean_tree(value: Any) -> Any:
    """A tree of dataclasses, tuples and dicts with every string cleaned."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return clean(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        return dataclasses.replace(value, **{name: clean_tree(getattr(value, name)) for name in names})
    if isinstance(value, tuple | list):
        return type(value)(clean_tree(item) for item in value)
    if isinstance(value, dict):
        return {clean_tree(key): clean_tree(item) for key, item in value.items()}
    return value
