"""Names and descriptions of tasks, for people."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

from metier.artefacts.tasks import OutputKind, Template

_MAX_WORDS = 4
_DESCRIPTION_CHARS = 240
_STOPWORDS = frozenset(
    re.findall(
        r"\w+",
        "the and for with from this that these those which what who whom whose does did are was were will would can could "
        "should shall may might must you your yours our their them they his her its into onto over under above below here "
        "there please only just nothing else following give answer reply respond return output write read name tell one "
        "each any all not but about after before between helpful assistant user text input object valid have has had been "
        "being than then when where while also more most very such too out off own same how why json",
    )
)


def slug(text: str) -> str:
    """Lower-case words joined by hyphens, of any script."""
    return "-".join(re.findall(r"[^\W_]+", text.casefold()))[:60].strip("-")


def name_task(kind: OutputKind, templates: Sequence[Template], wrappers: Counter[str], keys: Counter[str]) -> str:
    """A name out of what the answer holds (JSON keys) or, for bare answers, the first telling words of the instructions."""
    if kind is OutputKind.FIELDS and keys:
        named = slug(" ".join(key for key, _ in keys.most_common(_MAX_WORDS)))
    elif kind is OutputKind.LABEL and wrappers:
        named = slug(wrappers.most_common(1)[0][0])
    else:
        named = slug(" ".join(_telling_words(templates)))
    return named or kind.value


def task_id(identity: str) -> str:
    """The id of a task: a hash of what identifies it (its templates and their parts, or the name of its file)."""
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def make_unique(names: Sequence[str]) -> list[str]:
    """The names, repeated ones numbered from the second on."""
    seen: set[str] = set()
    unique = []
    for name in names:
        candidate, number = name, 1
        while candidate in seen:
            number += 1
            candidate = f"{name}-{number}"
        seen.add(candidate)
        unique.append(candidate)
    return unique


def describe(templates: Sequence[Template]) -> str:
    """The most used template in one line, with … where its slots are."""
    if not templates:
        return ""
    messages = [f"{message.role}: " + "…".join(message.literals) for message in templates[0].messages]
    text = " ".join(" | ".join(messages).split())
    return text if len(text) <= _DESCRIPTION_CHARS else text[: _DESCRIPTION_CHARS - 1] + "…"


def _telling_words(templates: Sequence[Template]) -> list[str]:
    for role in ("user", "system"):
        literals = [
            literal
            for template in templates[:1]
            for message in template.messages
            # A user message without a slot is an example of the job, not its instructions.
            if message.role == role and (role != "user" or len(message.literals) > 1)
            for literal in message.literals
        ]
        words = [word for word in re.findall(r"[^\W\d_]{3,}", " ".join(literals)) if word.casefold() not in _STOPWORDS]
        if words:
            return list(dict.fromkeys(word.casefold() for word in words))[:_MAX_WORDS]
    return []
