"""simulated: a made-up generalist for tests and demos. It reads the truth and errs on purpose; it proves nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metier.artefacts.tasks import OutputKind
from metier.generalists.protocol import GeneralistAnswer, Question, item_of
from metier.generalists.reading import read_answer
from metier.metrics.records import canonical, parse_record
from metier.progress import Progress, silent

# Close to what frontier models score on intent classification without examples: wrong often enough to be worth comparing.
SIMULATED_ACCURACY = 0.95
# How much of a text an answer that goes wrong still says.
_KEPT_OF_A_TEXT = 0.4
# What a careless reader of a document takes for a value: a line, or a part of one.
_PIECES = re.compile(r"\s{2,}|[\n:,;|]")


@dataclass(frozen=True)
class Simulated:
    """Answers `truth[id]` with probability `accuracy`, else something near it: the label whose name resembles it most, the
    record with one field missing or read from the wrong place, the beginning of the text.

    An item's fate depends on the seed, its id and its sample alone, never on order. Tokens, latency and cost are those of
    the recorded call, None where there is none: nothing is measured here.
    """

    truth: Mapping[str, str]
    seed: int = 0
    accuracy: float = SIMULATED_ACCURACY
    model: str = ""
    condition: str = "simulated, not measured"
    caveat: str = (
        "The generalist is simulated from the true labels: its side shows how a report looks and proves nothing."
    )

    @property
    def name(self) -> str:
        return f"simulated {self.model}".strip()

    def answer(self, questions: Sequence[Question], *, progress: Progress = silent) -> list[GeneralistAnswer]:
        labels = sorted({label for question in questions for label in question.labels})
        confusable: dict[str, str] = {}
        answers = []
        for question in questions:
            right = self.truth.get(item_of(question))
            if right is None:
                answers.append(GeneralistAnswer(question.id, None, "empty"))
                continue
            errs = _uniform(self.seed, question) >= self.accuracy
            if errs and question.kind is OutputKind.LABEL and right not in confusable:
                confusable[right] = most_similar(right, labels)
            given = confusable.get(right) or self._mistake(question, right) if errs else right
            answers.append(read_answer(question, _simulated(question, given)))
        progress("Simulating answers", len(answers), len(answers))
        return answers

    def _mistake(self, question: Question, right: str) -> str:
        if question.kind is OutputKind.FIELDS:
            return misread(right, question, _draw(self.seed, question, "misread"))
        words = right.split()
        return " ".join(words[: max(1, int(_KEPT_OF_A_TEXT * len(words)))])


def most_similar(label: str, labels: Sequence[str]) -> str:
    """The other label whose name is nearest by edit similarity (the label itself where it stands alone)."""
    from rapidfuzz import fuzz, process

    others = [other for other in labels if other != label]
    found = process.extractOne(label, others, scorer=fuzz.token_sort_ratio)
    return str(found[0]) if found else label


def misread(right: str, question: Question, draw: int) -> str:
    """The record `right` with one field wrong as readers get them wrong: left out, or another piece of the input in its
    place. `draw` decides which. A field that may not be left out, or whose value is no text, is misread in another way."""
    schema = question.output_schema or {}
    record = parse_record(right)
    if not record:
        return right
    names = sorted(record)
    name = names[draw % len(names)]
    value, is_needed = record[name], name in schema.get("required", ())
    pieces = [piece.strip() for piece in _PIECES.split(question.input) if piece.strip() and piece.strip() != value]
    if not isinstance(value, str) or "enum" in schema.get("properties", {}).get(name, {}):
        changed = {name: _other_value(value, schema, name)} if is_needed else {}
    elif pieces and (is_needed or (draw // len(names)) % 2):
        changed = {name: pieces[(draw // 7) % len(pieces)]}
    else:
        changed = {name: value[: max(1, len(value) // 2)]} if is_needed else {}
    rest: dict[str, Any] = {key: item for key, item in record.items() if key != name}
    return canonical({**rest, **changed}, schema)


def _other_value(value: object, schema: Mapping[str, Any], name: str) -> object:
    """A value of the same kind that is not `value`, where the schema has one."""
    chosen = schema.get("properties", {}).get(name, {}).get("enum", ())
    others = [other for other in chosen if other != value]
    if others:
        return others[0]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 10
    return value[:-1] if isinstance(value, list) else value


def _simulated(question: Question, text: str) -> GeneralistAnswer:
    recorded = question.recorded
    if recorded is None:
        return GeneralistAnswer(question.id, text, None)
    return GeneralistAnswer(
        question.id, text, None, recorded.input_tokens, recorded.output_tokens, recorded.latency_s, recorded.cost_usd
    )


def _uniform(seed: int, question: Question) -> float:
    return _draw(seed, question, "") / 2**64


def _draw(seed: int, question: Question, purpose: str) -> int:
    """A number in [0, 2^64) from the seed, the question and what it is for."""
    parts = [
        str(seed),
        question.id,
        *([str(question.sample)] if question.sample else []),
        *([purpose] if purpose else []),
    ]
    return int.from_bytes(hashlib.sha256("\x00".join(parts).encode()).digest()[:8], "big")
