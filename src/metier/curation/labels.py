"""From what a model or a person answered to one spelling per class."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from metier.curation import reasons
from metier.metrics.boxed import last_box

# In the order in which they are looked for when an answer is a JSON object with several keys.
LABEL_KEYS = ("label", "class", "category", "intent", "classification", "prediction", "answer", "output", "result")

# A code fence around all of an answer.
FENCE = re.compile(r"^```[a-zA-Z]*\s*(.*?)\s*```$", re.DOTALL)
# How a trace holds a call of a tool.
_CALL_KEYS = {"name", "arguments"}
_LEAD = re.compile(rf"^(?:the\s+)?(?:{'|'.join(LABEL_KEYS)})\s*(?:is\s*)?[:=]\s*", re.IGNORECASE)
_QUOTES = "\"'`“”‘’«»*"
_SEPARATOR = re.compile(r"(?<=[^\W_])[\s_\-]+(?=[^\W_])")
# First-person openings with which assistants decline; no class is named like this.
_REFUSAL = re.compile(
    r"^(?:(?:i['’]?m|i am) (?:really |very |so )?(?:sorry|unable|not able|not sure|afraid)\b"
    r"|sorry\s*[,.!]|(?:my )?apologies\b"
    r"|i (?:can\s?not|can['’]?t|could not|couldn['’]?t|do not|don['’]?t|would|will|need|apologi[sz]e)\b"
    r"|as an? (?:ai|language model|assistant)\b|unfortunately\b|without (?:more|further) (?:context|information)\b)",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[.!?]\s+\S|\n")
# A label seen this rarely is not yet established: at most twice, or one answer in a thousand.
_RARE_COUNT = 2
_RARE_SHARE = 0.001
_LONG_LABEL_WORDS = 8


@dataclass(frozen=True)
class Answer:
    """One answer read: its `label`, or the `reason` why it has none; `key` is the JSON key it stood under, if any;
    `rationale` what stood before the box that held it."""

    label: str | None
    key: str | None = None
    reason: str | None = None
    rationale: str | None = None


def read_answer(text: str | None, max_chars: int) -> Answer:
    """The label in an answer: plain, quoted, led by "Label:", fenced, in the last box of a reasoned answer (`\\boxed{}`),
    as a JSON object with one label in it, or as a tool call with such arguments.

    Args:
        text: the answer as it was recorded.
        max_chars: longer labels are refused; a label is a name, not a text.
    """
    bare = unicodedata.normalize("NFC", (text or "").replace("\x00", "")).strip()
    fenced = FENCE.match(bare)
    bare = fenced[1] if fenced else bare
    if bare[:1] in ("{", "["):
        return _read_json(bare, max_chars)
    return _checked(_LEAD.sub("", bare), None, max_chars)


def _read_json(text: str, max_chars: int) -> Answer:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        # "[urgent]" and "{spam}" are labels in brackets, not JSON.
        return _checked(text, None, max_chars)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    called = _as_call(value)
    if called is not None:
        value = called[1]
    if not isinstance(value, dict):
        return (
            _checked(value, None, max_chars)
            if isinstance(value, str)
            else Answer(None, reason=reasons.UNREADABLE_OUTPUT)
        )
    folded = {str(name).casefold(): name for name in value}
    named = [folded[name] for name in LABEL_KEYS if name in folded]
    key = named[0] if named else next(iter(value)) if len(value) == 1 else None
    if key is None or isinstance(value[key], (dict, list)):
        return Answer(None, reason=reasons.UNREADABLE_OUTPUT)
    found = value[key]
    if isinstance(found, bool):
        found = "true" if found else "false"
    return _checked("" if found is None else str(found), str(key), max_chars)


def tool_call(text: str) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of the one tool call that an answer is, as a trace holds it; None where it is none."""
    try:
        return _as_call(orjson.loads(text))
    except orjson.JSONDecodeError:
        return None


def is_refusal(text: str) -> bool:
    """Whether a text opens as assistants decline."""
    return _REFUSAL.match(text) is not None


def _as_call(value: object) -> tuple[str, dict[str, Any]] | None:
    if not isinstance(value, dict) or value.keys() != _CALL_KEYS:
        return None
    name, arguments = value["name"], value["arguments"]
    return (name, arguments) if isinstance(name, str) and isinstance(arguments, dict) else None


def _checked(text: str, key: str | None, max_chars: int) -> Answer:
    box = last_box(text)
    label = (text if box is None else box.content).strip()
    while len(label) >= 2 and label[0] in _QUOTES and label[-1] in _QUOTES:
        label = label[1:-1].strip()
    if not label:
        return Answer(None, key, reasons.EMPTY_OUTPUT)
    if len(label) > max_chars:
        return Answer(None, key, reasons.LONG_OUTPUT)
    return Answer(label, key, rationale=(text[: box.start].strip() or None) if box is not None else None)


def spelling_key(label: str) -> str:
    """What spellings of one class share: case, white space, `_` and `-` between words, a closing full stop."""
    folded = unicodedata.normalize("NFKC", label).casefold().strip()
    return _SEPARATOR.sub(" ", folded).rstrip(" .,;:!") or folded


def merge_spellings(counts: Mapping[str, int]) -> dict[str, str]:
    """Every label seen -> the most frequent spelling of its class (ties: the first in alphabetical order)."""
    families: dict[str, list[str]] = defaultdict(list)
    for label in sorted(counts):
        families[spelling_key(label)].append(label)
    return {
        label: max(family, key=lambda spelling: counts[spelling]) for family in families.values() for label in family
    }


def stray_labels(teacher: Mapping[str, int], vouched: Iterable[str]) -> set[str]:
    """Outputs that only a model gave and that are free text rather than a class.

    The rule: an output that no person gave or confirmed is stray if it opens as assistants decline ("I'm sorry",
    "As an AI", "Unfortunately" ...), or if it is rare (seen at most twice, or in at most 1 of 1,000 answers) and reads
    as a text: several sentences or lines, or more words than any established label (eight where none is established).

    Args:
        teacher: how often each output was given by a model.
        vouched: the labels that a person gave or confirmed at least once; never stray.
    """
    known = set(vouched)
    total = sum(teacher.values())
    limit = max(_RARE_COUNT, int(_RARE_SHARE * total))
    doubted = {label: n for label, n in teacher.items() if label not in known}
    refusals = {label for label in doubted if is_refusal(label)}
    rare = {label for label, n in doubted.items() if n <= limit} - refusals
    established = (known | set(teacher)) - rare - refusals
    most_words = max((len(label.split()) for label in established), default=_LONG_LABEL_WORDS)
    return refusals | {label for label in rare if _SENTENCE.search(label) or len(label.split()) > most_words}


def usual_key(keys: Iterable[str | None]) -> str | None:
    """The JSON key under which most answers give their label; None where most are plain."""
    counts = Counter(keys)
    return counts.most_common(1)[0][0] if counts else None
