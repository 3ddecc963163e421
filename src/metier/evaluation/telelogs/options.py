"""The options that a question offers: which cause each label means, and whether the question has the published form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from metier.errors import Unreadable
from metier.views.telelogs.choices import CLASSES, find_choices

Form = Literal["standard", "randomised", "other"]
FORMS: tuple[Form, ...] = ("standard", "randomised", "other")

_FEWEST = 2


@dataclass(frozen=True)
class Options:
    """`causes` maps each label to the cause that its text states (C1 to C8); `form` is "standard" for the eight published
    options in their order with the drive test first, "randomised" for other selections, orders or names, "other" for what
    offers no such options."""

    causes: Mapping[str, str]
    form: Form

    def cause(self, label: str | None) -> str | None:
        """The cause that a label means here, None where the question has no such option."""
        return None if label is None else self.causes.get(label.casefold())


def read_options(question: str) -> Options:
    """The options of a question, in any order and under any names, as the view reads them that specialists look through."""
    try:
        choices = find_choices([line for line in question.splitlines() if "|" not in line]) or {}
    except Unreadable:
        choices = {}
    causes = {label.casefold(): cause for cause, label in choices.items()}
    if len(causes) < _FEWEST:
        return Options({}, "other")
    published = list(causes.items()) == [(cause.casefold(), cause) for cause in CLASSES]
    return Options(causes, "standard" if published and not _cells_first(question) else "randomised")


def _cells_first(question: str) -> bool:
    """Whether the engineering table stands before the drive test, as it does in no published question."""
    heads = [line.casefold() for line in question.splitlines() if "|" in line]
    drive = next((place for place, line in enumerate(heads) if "timestamp" in line), None)
    cells = next((place for place, line in enumerate(heads) if "downtilt" in line), None)
    return drive is not None and cells is not None and cells < drive
