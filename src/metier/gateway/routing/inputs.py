"""A live call as the specialist must see it: just as recording, and then curation, leave the calls it was made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from metier.artefacts.tasks import Template
from metier.curation.pii import ENTITIES
from metier.curation.texts import clean
from metier.gateway.redaction import Redactor, redactor
from metier.sources.decoding import without_nul

Reader = Callable[[str], str]
# How redaction marks what it took out (gateway.redaction.secrets.mark, curation.pii.Scrubber).
_SECRET_MARK = "[REDACTED:"
_PERSONAL_MARKS = tuple(f"<{entity}>" for entity in ENTITIES)


def input_reader(*, redacts_pii: bool, is_scrubbed: bool) -> Reader:
    """What turns the input of a live call into that of an example.

    Secrets are taken out of every trace before it is written, personal data where `redacts_pii` ([serve] redact_pii);
    curation then cleans the text, and scrubs it where its `scrub_pii` was on (`is_scrubbed`). A specialist was trained and
    certified on what this leaves. Raises MissingExtra where personal data cannot be taken out here.
    """
    redact = redactor(pii=redacts_pii)
    if not is_scrubbed:
        return lambda text: clean(redact(without_nul(text)))
    from metier.curation.pii import Scrubber

    scrub = Scrubber()
    return lambda text: scrub(clean(redact(without_nul(text))))


def holds_marks(answer: str, read: str, text: str) -> bool:
    """Whether an answer holds a mark of something that was taken out of the input: `read` is what was left of `text`. The
    client would get the mark in place of what stands in its own input."""
    marks = (_SECRET_MARK, *_PERSONAL_MARKS)
    return any(mark in answer and read.count(mark) > text.count(mark) for mark in marks)


def prompt_redactor(templates: Iterable[Template], *, redacts_pii: bool) -> Redactor | None:
    """What must be taken out of a prompt before it is compared with templates that were mined from redacted traces; None
    where nothing was taken out of their constant text, so that prompts can be compared as they come."""
    literals = [literal for template in templates for message in template.messages for literal in message.literals]
    if redacts_pii and any(mark in literal for literal in literals for mark in _PERSONAL_MARKS):
        return redactor(pii=True)
    return redactor() if any(_SECRET_MARK in literal for literal in literals) else None


def was_scrubbed(settings: Mapping[str, Any]) -> bool:
    """Whether a dataset's manifest says that personal data was taken out of its inputs."""
    return settings.get("scrub_pii") is True
