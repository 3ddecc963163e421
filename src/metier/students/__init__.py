"""Small models that can be trained, behind one contract."""

from __future__ import annotations

from metier.students.base import (
    LABEL_TASK,
    Answers,
    EpochPoint,
    FitSummary,
    LabelledTexts,
    Option,
    Predictor,
    Student,
    TaskSpec,
)
from metier.students.encoder.student import EncoderStudent
from metier.students.linear.student import LinearStudent
from metier.students.lm.student import LmStudent
from metier.students.trees.student import TreesStudent

# Cheapest first: the ladder is climbed in this order.
STUDENTS: dict[str, Student] = {
    "linear": LinearStudent(),
    "trees": TreesStudent(),
    "encoder": EncoderStudent(),
    "lm": LmStudent(),
}

__all__ = [
    "LABEL_TASK",
    "STUDENTS",
    "Answers",
    "EncoderStudent",
    "EpochPoint",
    "FitSummary",
    "LabelledTexts",
    "LinearStudent",
    "LmStudent",
    "Option",
    "Predictor",
    "Student",
    "TaskSpec",
    "TreesStudent",
]
