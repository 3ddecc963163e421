"""Generalists: the frontier models a specialist is compared with, how they are asked, and what they charge."""

from metier.generalists.backends import GENERALISTS, make_generalist
from metier.generalists.protocol import NOT_ASKED, FailureKind, Generalist, GeneralistAnswer, Question, Recorded
from metier.generalists.settings import GeneralistSettings
from metier.generalists.shots import shots_from

__all__ = [
    "GENERALISTS",
    "NOT_ASKED",
    "FailureKind",
    "Generalist",
    "GeneralistAnswer",
    "GeneralistSettings",
    "Question",
    "Recorded",
    "make_generalist",
    "shots_from",
]
