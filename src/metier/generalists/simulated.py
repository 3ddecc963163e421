"""simulated: a made-up generalist for tests and demos. It reads the truth and errs on purpose; it proves nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metier.generalists.protocol import GeneralistAnswer, Question
from metier.progress import Progress, silent

# Close to what frontier models score on intent classification without examples: wrong often enough to be worth comparing.
SIMULATED_ACCURACY = 0.95


@dataclass(frozen=True)
class Simulated:
    """Answers `truth[id]` with probability `accuracy`, else the label whose name resembles it most.

    An item's fate depends on the seed and its id alone, never on order. Tokens, latency and cost are those of the recorded
    call, None where there is none: nothing is measured here.
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
            right = self.truth.get(question.id)
            if right is None:
                answers.append(GeneralistAnswer(question.id, None, "empty"))
                continue
            if right not in confusable:
                confusable[right] = most_similar(right, labels)
            errs = _uniform(self.seed, question.id) >= self.accuracy
            answers.append(_simulated(question, confusable[right] if errs else right))
        progress("Simulating answers", len(answers), len(answers))
        return answers


def most_similar(label: str, labels: Sequence[str]) -> str:
    """The other label whose name is nearest by edit similarity (the label itself where it stands alone)."""
    from rapidfuzz import fuzz, process

    others = [other for other in labels if other != label]
    found = process.extractOne(label, others, scorer=fuzz.token_sort_ratio)
    return str(found[0]) if found else label


def _simulated(question: Question, text: str) -> GeneralistAnswer:
    recorded = question.recorded
    if recorded is None:
        return GeneralistAnswer(question.id, text, None)
    return GeneralistAnswer(
        question.id, text, None, recorded.input_tokens, recorded.output_tokens, recorded.latency_s, recorded.cost_usd
    )


def _uniform(seed: int, id_: str) -> float:
    digest = hashlib.sha256(f"{seed}\x00{id_}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
