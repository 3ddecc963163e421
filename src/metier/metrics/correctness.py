"""When an answer is right: one definition for evaluation, certificate and audit."""

from __future__ import annotations

from metier.artefacts.tasks import OutputKind
from metier.metrics.records import same_record
from metier.metrics.texts import rouge_l

# A summary that shares this much of its longest common subsequence with a person's is taken as acceptable.
ACCEPTABLE_ROUGE_L = 0.5


def is_correct(
    kind: OutputKind, given: str | None, wanted: str | None, *, acceptable_from: float = ACCEPTABLE_ROUGE_L
) -> bool:
    """Whether `given` answers as `wanted` does: a label equal to it, a record the same in every field after normalisation,
    a text with ROUGE-L F1 of `acceptable_from` or more. None is never right, nor is any answer where none is wanted."""
    if given is None or wanted is None:
        return False
    if kind is OutputKind.FIELDS:
        return same_record(given, wanted)
    if kind is OutputKind.TEXT:
        return rouge_l(given, wanted) >= acceptable_from
    return given == wanted
