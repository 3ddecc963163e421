"""What is wrong with an answer that the model wrote, the gravest fault first."""

from __future__ import annotations

from dataclasses import dataclass

from metier.artefacts.tasks import OutputKind
from metier.metrics.correctness import is_correct
from metier.metrics.generation import CUT_OFF, DEGENERATE, INVALID, TOO_LONG
from metier.students.base import TaskSpec
from metier.students.lm.answers import AnswerReader, reader_of
from metier.students.lm.parts import Generated

UNGROUNDED = "ungrounded"
WRONG = "wrong"
# Gravest first: of an item's rejected answers these are learnt from before those that are merely wrong.
FAULTS = (DEGENERATE, CUT_OFF, INVALID, UNGROUNDED, WRONG)


@dataclass(frozen=True)
class Judge:
    """Says what is wrong with answers of one task."""

    kind: OutputKind
    reader: AnswerReader

    def fault(self, answer: Generated, source: str, truth: str) -> str | None:
        """One of FAULTS, or "too long" where the prompt was not read; None for an answer that is right.

        A right answer is right even where the truth itself does not stand in the source.
        """
        read = self.reader.read(answer, source)
        if read.failure is not None:
            return read.failure
        if is_correct(self.kind, read.text, truth):
            return None
        return UNGROUNDED if read.grounded < 1 else WRONG


def judge_of(task: TaskSpec) -> Judge:
    """The judge of a task's answers."""
    return Judge(task.kind, reader_of(task))


def never_stops(fault: str | None) -> bool:
    """Whether the fault is that the answer had no end of its own."""
    return fault in (DEGENERATE, CUT_OFF)


def can_be_learnt_from(fault: str | None) -> bool:
    return fault is not None and fault != TOO_LONG
