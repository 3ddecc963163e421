"""What "right" is called, by the kind of output: labels are accurate, records right in every field, texts acceptable."""

from __future__ import annotations

from metier.artefacts.evaluations import Basis
from metier.artefacts.tasks import OutputKind

_RIGHT = {OutputKind.FIELDS: "whole records right", OutputKind.TEXT: "acceptable texts"}
_OF = {OutputKind.FIELDS: " of records right in every field", OutputKind.TEXT: " of texts acceptable"}
_F1 = {OutputKind.FIELDS: "macro-F1 over fields", OutputKind.TEXT: "token F1"}
_NO_ANSWER = {
    OutputKind.LABEL: "no answer, or one outside the label set",
    OutputKind.FIELDS: "no answer, or no record that fits the schema",
}
_EXPECTED = {OutputKind.FIELDS: "records", OutputKind.TEXT: "texts"}


def right(kind: OutputKind, basis: Basis = "truth") -> str:
    """The name of the share of items answered right."""
    return "agreement" if basis == "teacher" else _RIGHT.get(kind, "accuracy")


def of_right(kind: OutputKind) -> str:
    """What follows a share of right answers in a sentence; empty for labels."""
    return _OF.get(kind, "")


def f1(kind: OutputKind) -> str:
    """The name of the score beside it."""
    return _F1.get(kind, "macro-F1")


def no_answer(kind: OutputKind) -> str:
    """What a failure is."""
    return _NO_ANSWER.get(kind, "no answer, or one that broke off")


def expected(kind: OutputKind) -> str:
    """What a truth consists of."""
    return _EXPECTED.get(kind, "labels")
