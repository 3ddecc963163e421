r"""From what a generalist wrote to a label of the task, without judging its manners: case, quotes, JSON, "Label: x", and
\boxed{x} at the end of its reasoning."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from metier.metrics.boxed import last_box

_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^```[\w-]*\s*\n?(.*?)\n?\s*```$", re.DOTALL)
_LEAD = re.compile(
    r"^\W*(?:the\s+)?(?:label|class|category|intent|answer|output|topic)\W*?\s*(?:is\s*:?|[:=])\s*", re.IGNORECASE
)
_EDGES = " \t\r\n\"'`*“”‘’«».,;:!?()[]<>"
_SEPARATORS = re.compile(r"[\s_\-]+")


@dataclass(frozen=True)
class LabelReader:
    """Reads answers as one of `labels`. Two labels that differ only in form ("Yes", "yes") are told apart exactly."""

    labels: frozenset[str]
    folded: dict[str, str]

    @classmethod
    def of(cls, labels: Sequence[str]) -> LabelReader:
        folded: dict[str, str] = {}
        clashing = set()
        for label in dict.fromkeys(labels):
            key = _fold(label)
            if key in folded:
                clashing.add(key)
            folded[key] = label
        return cls(frozenset(labels), {key: label for key, label in folded.items() if key not in clashing})

    def read(self, text: str) -> str | None:
        """The label meant by `text`, None where it is none of them. Only form is forgiven; wording is not guessed at."""
        return next((label for form in _forms(text) if (label := self._match(form)) is not None), None)

    def _match(self, form: str) -> str | None:
        for written in (form, form.strip(), form.strip(_EDGES)):
            if written in self.labels:
                return written
        return self.folded.get(_fold(form))


def _forms(text: str) -> list[str]:
    """The answer as it stands, then without its wrappings, most faithful first."""
    bare = _THINKING.sub("", text).strip()
    fenced = _FENCE.match(bare)
    bare = fenced[1].strip() if fenced else bare
    box = last_box(bare)
    forms = [text, bare, *_json_strings(bare), *([box.content] if box is not None else [])]
    return forms + [shorter for form in forms if (shorter := _LEAD.sub("", form.strip(), count=1)) != form.strip()]


def _json_strings(text: str) -> list[str]:
    """The one string a JSON answer holds: a string, a list of one, an object's `label`, or an object's only value."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if isinstance(value, dict):
        lowered = {key.lower(): item for key, item in value.items()}
        value = lowered.get("label", next(iter(lowered.values())) if len(lowered) == 1 else None)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool | int | float):
        return [json.dumps(value)]
    return [value] if isinstance(value, str) else []


def _fold(text: str) -> str:
    stripped = text.strip(_EDGES)
    return _SEPARATORS.sub(" ", stripped or text.strip()).strip().casefold()
