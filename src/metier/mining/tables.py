"""Pipe tables in prompts. They are data: no template may cut one, however alike the headers and rows of all calls are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from metier.mining.prompts import text_key

# Stands for a table where templates are mined; no prompt holds it as text.
TABLE_MARK = "\x04"
# Two cell borders at least, as texts hold a lone "|" for other ends.
_ROW = r"[^\n|]*(?:\|[^\n|]*){2,}"
_TABLE = re.compile(rf"^{_ROW}(?:\n{_ROW})+$", re.MULTILINE)

Keys = frozenset[int]
NO_KEYS: Keys = frozenset()


def fixed_tables(texts: Iterable[str], min_support: int) -> Keys:
    """The tables (their hashes) that at least `min_support` texts hold as they are: those are a part of instructions."""
    counts = Counter(key for text in texts for key in {text_key(table) for table in _tables(text)})
    return frozenset(key for key, n in counts.items() if n >= min_support)


def without_tables(text: str, fixed: Keys = NO_KEYS) -> str:
    """The text with a mark in place of each table that is not fixed."""
    if "|" not in text:
        return text
    if not fixed:
        return _TABLE.sub(TABLE_MARK, text)
    return _TABLE.sub(lambda found: found[0] if text_key(found[0]) in fixed else TABLE_MARK, text)


def head_outside(text: str) -> int:
    """Characters of a text before its first table; the same of the tail for a text that is read backwards."""
    found = _TABLE.search(text) if "|" in text else None
    return len(text) if found is None else found.start()


def _tables(text: str) -> list[str]:
    return _TABLE.findall(text) if "|" in text else []
