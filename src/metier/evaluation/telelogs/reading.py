"""What a specialist reads of a benchmark's question: what the gateway would hand it of the same text."""

from __future__ import annotations

from collections.abc import Callable

from metier.artefacts.tasks import Audit
from metier.curation.texts import clean
from metier.errors import Unreadable
from metier.mining.recognition import build_recogniser
from metier.views import VIEWS

Reader = Callable[[str], str]


def input_reader(audit: Audit | None, task_id: str, view: str | None, seed: int) -> Reader:
    """A view reads whole questions. Without one a specialist knows what fills the slots of its task's prompts (by the
    audit), where the question is such a prompt; else it gets the whole question."""
    if view is not None or audit is None:
        return clean
    recogniser = build_recogniser(audit, seed=seed)

    def read(question: str) -> str:
        found = recogniser.recognise([{"role": "user", "content": question}], task_hint=task_id)
        return clean(question if found is None else found.input)

    return read


def why_unreadable(view: str | None) -> Callable[[str], str | None] | None:
    """What the view of this name says of an input that it cannot read; None where there is no such view."""
    if view is None or view not in VIEWS:
        return None

    def explain(text: str) -> str | None:
        try:
            VIEWS[view].read(text)
        except Unreadable as problem:
            return str(problem)
        return None

    return explain
