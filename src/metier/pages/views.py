"""What the report says of views: which specialist reads through which, what each computes, and the classical baselines."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from metier.artefacts.specialists import Card, ViewUse
from metier.pages import figures
from metier.pages.content import Quality, ReportData
from metier.pages.tables import Table
from metier.pages.text import clip

# The students that a task with a view is always held against: the same inputs without it and with it, without a network.
BASELINES = {
    "linear": "n-grams of the raw input, without the view",
    "trees": "gradient boosting on the view's numbers",
}
_DIGITS = 12
_NAME_CHARS, _DESCRIPTION_CHARS = 60, 200


@dataclass(frozen=True)
class ViewSection:
    """One view with the specialists that read through it."""

    title: str
    sentence: str
    features: Table


def view_sections(cards: Sequence[Card]) -> tuple[ViewSection, ...]:
    """A section a view, in the order in which they occur."""
    used: dict[ViewUse, list[str]] = {}
    for card in cards:
        if card.view is not None:
            used.setdefault(card.view, []).append(card.student)
    return tuple(_section(view, students) for view, students in used.items())


def view_line(view: ViewUse) -> str:
    """A view in a few words: name, version, the beginning of its hash."""
    return f"{clip(view.name, _NAME_CHARS)}, version {view.version} (sha256 {view.sha256[:_DIGITS]}…)"


def baseline_table(content: ReportData) -> Table:
    """What the classical baselines reach on the test items of a task with a view, or the command that measures it; no rows
    for a task without one."""
    reads = any(item.card.view is not None for item in content.specialists)
    rows = tuple(_baseline(name, what, content) for name, what in BASELINES.items()) if reads else ()
    return Table("The classical baselines", ("student", "what it is", "right on the test items", "interval", "n"), rows)


def _baseline(name: str, what: str, content: ReportData) -> tuple[str, ...]:
    found = _scored(name, content.quality)
    if found is not None:
        return (name, what, *found)
    trained = any(item.card.student == name for item in content.specialists)
    command = f"metier {'evaluate' if trained else f'train --students {name}'} {shlex.quote(content.task_name)}"
    return name, what, f"not measured: {command}", "–", "–"


def _scored(name: str, quality: Quality | None) -> tuple[str, str, str] | None:
    candidates = quality.candidates if quality is not None else ()
    for one in candidates:
        if one.name == name and one.role == "specialist" and one.accuracy.scored:
            right = one.accuracy
            return figures.percent(right.value), figures.span(right, figures.percent), figures.count(one.n)
    return None


def _section(view: ViewUse, students: Sequence[str]) -> ViewSection:
    rows = tuple(
        (clip(one.name, _NAME_CHARS), one.unit or "–", clip(one.description, _DESCRIPTION_CHARS))
        for one in view.features
    )
    who = " and ".join(students)
    sentence = (
        f"{who} {'reads' if len(students) == 1 else 'read'} each input through the view {view_line(view)}: a function of "
        "the input alone, the same in training, here and at the gateway. It computes the "
        f"{len(view.features)} numbers below; an input that it cannot read is never answered but sent on"
    )
    return ViewSection(view.name, sentence, Table("What the view computes", ("number", "unit", "what it is"), rows))
