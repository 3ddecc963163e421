"""What a client says of an answer it got, as POST /v1/feedback takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metier.gateway.errors import ApiError
from metier.gateway.requests import parse_object, wrong_type

_FEEDBACK = ("correct", "wrong")
_FIELDS = frozenset({"id", "feedback", "correction"})


@dataclass(frozen=True, slots=True)
class Judgement:
    """`id` is a response id or trace id; `correction` the right answer, which says by itself that the given one is wrong
    unless `feedback` says otherwise."""

    id: str
    feedback: str | None
    correction: str | None


def parse_judgement(body: bytes) -> Judgement:
    """Raises ApiError 400 naming the field and what was received."""
    content = parse_object(body)
    if unknown := sorted(content.keys() - _FIELDS):
        raise ApiError(
            400,
            f"Unknown field {unknown[0][:60]!r}; known are id, feedback and correction.",
            code="unknown_parameter",
            param=unknown[0][:60],
        )
    id_ = _text(content, "id", "the id of an answer, or the trace id of its x-metier-trace header")
    if not id_:
        raise wrong_type("id", "the id of an answer (a non-empty string)", id_, "id" in content)
    feedback = _text(content, "feedback", '"correct" or "wrong"')
    if feedback is not None and feedback not in _FEEDBACK:
        raise wrong_type("feedback", '"correct" or "wrong"', feedback)
    correction = _text(content, "correction", "the right answer (a string)")
    if feedback is None and correction is None:
        raise ApiError(400, "Give 'feedback', 'correction', or both.", code="missing_parameter", param="feedback")
    return Judgement(id_, feedback, correction)


def _text(content: dict[str, Any], name: str, expected: str) -> str | None:
    value = content.get(name)
    if value is not None and not isinstance(value, str):
        raise wrong_type(name, expected, value)
    return value
