"""Wordings of one job merged into one task: the same kind of answers, given to the same kind of inputs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metier.artefacts.tasks import Template
from metier.mining.answers import Answer, Form, seen_share
from metier.mining.features import hashed_words
from metier.mining.prompts import input_key

# Cosine of mean word counts: two samples of one kind of text come above 0.9, texts of unlike kinds below 0.5.
MIN_INPUT_SIMILARITY = 0.6
MIN_OUTPUT_SIMILARITY = 0.5
# So few labels ("yes", "no") say little about the job: the instructions must be alike too.
FEW_LABELS = 4
MIN_INSTRUCTION_SIMILARITY = 0.4
# On inputs that both were asked about, wordings of one job mostly give the same answer.
MIN_AGREEMENT = 0.5
_MIN_SHARED = 10
_MIN_COMMON = 3
_MAX_INPUTS = 400


@dataclass(frozen=True)
class Profile:
    """What a sample tells about one part of one template. `labels` and `keys` count answers by label and by JSON key."""

    instructions: Counter[str]
    is_open: bool
    forms: Counter[Form]
    labels: Counter[str]
    keys: Counter[str]
    centroid: np.ndarray
    answer_of: dict[int, str]

    @property
    def form(self) -> Form:
        """The form that most answers have."""
        return self.forms.most_common(1)[0][0] if self.forms else Form.NONE


def profile(template: Template, is_open: bool, inputs: Sequence[str], answers: Sequence[Answer]) -> Profile:
    """The profile of calls made with a template; the centroid is that of at most 400 inputs."""
    counts = hashed_words(inputs[:_MAX_INPUTS], n_bits=14)
    rows = counts.multiply(1.0 / np.maximum(counts.sum(axis=1), 1.0).reshape(-1, 1)) if len(inputs) else counts
    centroid = np.asarray(rows.sum(axis=0), dtype=np.float64).ravel()
    length = float(np.linalg.norm(centroid))
    return Profile(
        instructions=Counter(_instruction_words(template)),
        is_open=is_open,
        forms=Counter(answer.form for answer in answers if answer.form is not Form.NONE),
        labels=Counter(answer.key for answer in answers if answer.form is Form.SHORT),
        keys=Counter(key for answer in answers for key in answer.keys if answer.form is Form.OBJECT),
        centroid=centroid / length if length else centroid,
        answer_of={input_key(text): _answer_text(answer) for text, answer in zip(inputs, answers, strict=True)},
    )


def merge_wordings(profiles: Sequence[Profile]) -> list[int]:
    """The group of each profile, numbered from 0 in order of first appearance."""
    owner = list(range(len(profiles)))
    for second in range(len(profiles)):
        for first in range(second):
            if owner[first] != owner[second] and same_job(profiles[first], profiles[second]):
                old, new = owner[second], owner[first]
                owner = [new if group == old else group for group in owner]
    order = {group: number for number, group in enumerate(dict.fromkeys(owner))}
    return [order[group] for group in owner]


def same_job(first: Profile, second: Profile) -> bool:
    """Whether two profiles are wordings of one job."""
    if first.form is not second.form or _agreement(first, second) < MIN_AGREEMENT:
        return False
    alike = _cosine(first.instructions, second.instructions) >= MIN_INSTRUCTION_SIMILARITY
    close = float(first.centroid @ second.centroid) >= MIN_INPUT_SIMILARITY
    if first.form is Form.SHORT:
        few = min(len(first.labels), len(second.labels)) <= FEW_LABELS
        return close and (alike or not few) and _label_overlap(first, second) >= MIN_OUTPUT_SIMILARITY
    if first.form is Form.OBJECT:
        return close and _cosine(first.keys, second.keys) >= MIN_OUTPUT_SIMILARITY
    return first.is_open == second.is_open and close and alike


def _agreement(first: Profile, second: Profile) -> float:
    """Share of equal answers among inputs that both were asked about; 1 where those are too few to tell, or objects."""
    shared = first.answer_of.keys() & second.answer_of.keys()
    if len(shared) < _MIN_SHARED or first.form is not Form.SHORT:
        return 1.0
    return sum(first.answer_of[key] == second.answer_of[key] for key in shared) / len(shared)


def _label_overlap(first: Profile, second: Profile) -> float:
    """How fully one side's answers lie among the labels that the other side has shown, the better of both directions.

    Answers drawn from the same labels would fall on those already seen with probability `seen_share`, so the share that
    does is measured against it: with few calls and many labels neither side has seen them all.
    """
    return max(_relative_share(first.labels, second.labels), _relative_share(second.labels, first.labels))


def _relative_share(counts: Counter[str], known: Counter[str]) -> float:
    n_common = sum(n for label, n in counts.items() if label in known)
    if n_common < _MIN_COMMON:
        return 0.0
    return min(1.0, n_common / counts.total() / max(seen_share(known.values()), 1e-9))


def _cosine(first: Counter[str], second: Counter[str]) -> float:
    dot = sum(n * second[key] for key, n in first.items())
    lengths = sum(n * n for n in first.values()) * sum(n * n for n in second.values())
    return float(dot / lengths**0.5) if lengths else 0.0


def _instruction_words(template: Template) -> list[str]:
    text = " ".join(literal for message in template.messages for literal in message.literals)
    return [word.casefold() for word in re.findall(r"\w{3,}", text)]


def _answer_text(answer: Answer) -> str:
    return answer.key if answer.form is Form.SHORT else answer.form.value
