"""How a specialist writes the JSON of a record: without spaces between, since each sign it writes costs time.

Whoever reads the answer gets it in the task's own form.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise

from metier.metrics.records import parse_record
from metier.students.base import LabelledTexts

# A text in JSON, and whether it is an object's key.
_TEXT = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"(?P<key>\s*:)?')
# Between two items, and between a key and its value: as specialists write, and as those from before 0.5 do.
COMPACT, SPACED = (",", ":"), (", ", ": ")


def separators(is_compact: bool) -> tuple[str, str]:
    """What stands between two items, and between a key and its value."""
    return COMPACT if is_compact else SPACED


def compacted(texts: LabelledTexts) -> LabelledTexts:
    """The texts with their records as the specialist is to write them; a label that is no record stays as it is."""
    return replace(texts, labels=tuple(map(_compact, texts.labels)))


def answer_parts(answer: str) -> list[str]:
    """A record's JSON cut around the texts in it; any other answer as it is.

    A tokenizer makes one token of a full stop and the quotation mark after it. The model would have to decide before the
    full stop whether the value ends there, and again, otherwise, behind every other sign. Apart, every value ends with one
    and the same token, and begins as the text does that it was copied from.
    """
    if parse_record(answer) is None:
        return [answer]
    inner = [found.span("text") for found in _TEXT.finditer(answer) if found["key"] is None]
    edges = sorted({0, len(answer), *(edge for span in inner for edge in span)})
    return [answer[begin:end] for begin, end in pairwise(edges)]


def _compact(label: str) -> str:
    record = parse_record(label)
    return label if record is None else json.dumps(record, ensure_ascii=False, separators=COMPACT)
