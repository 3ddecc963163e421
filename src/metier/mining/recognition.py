"""Which task a call under way belongs to: by the audit's templates, letter by letter, or by instructions worded anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from metier.artefacts.tasks import Audit, Task, Template
from metier.mining.judging import InputJudge, fit_input_judge
from metier.mining.matching import Matcher, build_matcher, literal_chars
from metier.mining.prompts import Prompt, prompt_of
from metier.mining.rewording import Rewordings, index_rewordings
from metier.mining.templates import OPEN_TEMPLATE
from metier.mining.units import OPEN_ENDED_ID

_INSTRUCTING = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Recognised:
    """A call's task, the wording it was made with, and the input in it as the audit extracts it.

    `exact` is true where the prompt is one of the audit's templates, letter by letter but for white space between words:
    what a certificate was given for is the inputs of such prompts. `has_image` tells that the messages hold more than
    text, which the input does not show.
    """

    task_name: str
    task_id: str
    template_id: str
    input: str
    exact: bool
    has_image: bool = False


@dataclass(frozen=True)
class _Wordings:
    """Templates with the tasks that share each, a matcher for them, and their index by meaning."""

    templates: tuple[Template, ...]
    owners: tuple[tuple[Task, ...], ...]
    owner_ids: tuple[frozenset[str], ...]
    match: Matcher
    reworded: Rewordings


@dataclass(frozen=True)
class Recogniser:
    """Recognises the tasks of one audit. Holds no state, so threads may share it."""

    wordings: _Wordings
    by_hint: Mapping[str, _Wordings]
    bare: Mapping[str, Task]
    judges: Mapping[str, InputJudge]

    def recognise(self, messages: object, task_hint: str | None = None) -> Recognised | None:
        """The task of a request's `messages`, or None where no task of the audit is like it; never raises on bad input.

        Some 10 us where the prompt is a template or is like none, some milliseconds where it is a rewording, or where
        several tasks share the template and the input decides.

        Args:
            messages: the request's list of messages, contents as strings or as typed parts.
            task_hint: name or id of the task that the caller says it is; then no other is considered, and a task that
                has no instructions (labelled records, or calls with nothing but the input) takes the only user message.
        """
        prompt = prompt_of(messages)
        if prompt is None or not prompt.n_chars:
            return None
        if task_hint is None:
            return self._known(self.wordings, prompt)
        found = self._known(self.by_hint[task_hint], prompt) if task_hint in self.by_hint else None
        if found is None and task_hint in self.bare:
            return _bare_input(self.bare[task_hint], prompt)
        return found

    def _known(self, wordings: _Wordings, prompt: Prompt) -> Recognised | None:
        place, text, exact = -1, "", True
        if matched := wordings.match(prompt):
            place, text = matched
        elif reworded := wordings.reworded.find(prompt, wordings.owner_ids):
            place, text = reworded.place, reworded.alignment.input
            exact = reworded.alignment.is_verbatim and prompt.roles == _roles(wordings.templates[place])
        if place < 0:
            return None
        task = self._owner(wordings, place, text)
        if task is None or task.id == OPEN_ENDED_ID:
            return None
        return Recognised(task.name, task.id, wordings.templates[place].id, text, exact, prompt.has_image)

    def _owner(self, wordings: _Wordings, place: int, text: str) -> Task | None:
        owners = wordings.owners[place]
        if len(owners) == 1:
            return owners[0]
        judged = self.judges[wordings.templates[place].id].judge(text)
        return None if judged is None else owners[judged]


def build_recogniser(audit: Audit, *, seed: int) -> Recogniser:
    """A recogniser for the tasks of `audit`; open questions are never recognised.

    Where one prompt serves several tasks, a small classifier of their inputs is trained here; `seed` draws its sample.
    """
    tasks = [row.task for row in audit.tasks]
    wordings = _wordings(tasks)
    by_hint: dict[str, _Wordings] = {}
    bare: dict[str, Task] = {}
    for task in tasks:
        if task.id == OPEN_ENDED_ID:
            continue
        own = _wordings([task])
        for name in (task.id, task.name):
            if own.templates:
                by_hint[name] = own
            if len(own.templates) < len(task.templates) or not task.templates:
                bare[name] = task
    return Recogniser(wordings, by_hint, bare, _judges(audit, wordings, seed))


def _wordings(tasks: Sequence[Task]) -> _Wordings:
    """The templates of some tasks that hold any text."""
    templates: dict[str, Template] = {}
    owners: dict[str, list[Task]] = {}
    for task in tasks:
        for template in task.templates:
            if literal_chars(template):
                templates.setdefault(template.id, template)
                owners.setdefault(template.id, []).append(task)
    listed = tuple(templates.values())
    return _Wordings(
        listed,
        tuple(tuple(owners[template.id]) for template in listed),
        tuple(frozenset(task.id for task in owners[template.id]) for template in listed),
        build_matcher(listed),
        index_rewordings(listed),
    )


def _roles(template: Template) -> tuple[str, ...]:
    return tuple(message.role for message in template.messages)


def _judges(audit: Audit, wordings: _Wordings, seed: int) -> dict[str, InputJudge]:
    """A judge for each template that several tasks share."""
    judges = {}
    for template, owners in zip(wordings.templates, wordings.owners, strict=True):
        if len(owners) > 1:
            calls = audit.assignments.filter(pl.col("template_id") == template.id)
            inputs = [calls.filter(pl.col("task_id") == task.id)["input"] for task in owners]
            judges[template.id] = fit_input_judge(inputs, seed)
    return judges


def _bare_input(task: Task, prompt: Prompt) -> Recognised | None:
    said = [(role, text) for role, text in zip(prompt.roles, prompt.texts, strict=True) if role not in _INSTRUCTING]
    if len(said) != 1 or said[0][0] != "user" or not said[0][1].strip():
        return None
    return Recognised(task.name, task.id, OPEN_TEMPLATE.id, said[0][1].strip(), True, prompt.has_image)
