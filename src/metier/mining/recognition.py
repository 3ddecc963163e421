"""Which task a call under way belongs to: by the audit's templates, letter by letter, or by instructions worded anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metier.artefacts.tasks import Audit, Task, Template
from metier.mining.matching import Matcher, build_matcher, literal_chars
from metier.mining.prompts import Prompt, prompt_of
from metier.mining.templates import OPEN_TEMPLATE
from metier.mining.units import OPEN_ENDED_ID

_INSTRUCTING = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Recognised:
    """A call's task, the wording it was made with, and the input in it as the audit extracts it.

    `exact` is true where the prompt is one of the audit's templates letter by letter: only such inputs are what
    certificates were given for. `has_image` tells that the messages hold more than text, which no input shows.
    """

    task_name: str
    task_id: str
    template_id: str
    input: str
    exact: bool
    has_image: bool = False


@dataclass(frozen=True)
class _Wordings:
    """Templates with a matcher for them, and the tasks of each."""

    templates: tuple[Template, ...]
    tasks: tuple[tuple[Task, ...], ...]
    match: Matcher


@dataclass(frozen=True)
class Recogniser:
    """Recognises the tasks of one audit. Safe to share between threads."""

    wordings: _Wordings
    of_task: Mapping[str, _Wordings]
    bare: Mapping[str, Task]

    def recognise(self, messages: object, task_hint: str | None = None) -> Recognised | None:
        """The task of a request's `messages`, or None; never raises.

        Args:
            messages: the request's list of messages, contents as strings or as typed parts.
            task_hint: name or id of the task that the caller says it is; then no other is considered, and a task that
                has no prompt (made from labelled records, or called without instructions) takes the only user message.
        """
        prompt = prompt_of(messages)
        if prompt is None or not prompt.n_chars:
            return None
        if task_hint is not None and (task := self.bare.get(task_hint)) is not None:
            return _bare_input(task, prompt)
        wordings = self.wordings if task_hint is None else self.of_task.get(task_hint)
        return None if wordings is None else _exactly(wordings, prompt)


def build_recogniser(audit: Audit, *, seed: int) -> Recogniser:
    """A recogniser for the tasks of `audit` that have instructions; open questions are never recognised."""
    tasks = [row.task for row in audit.tasks if row.task.id != OPEN_ENDED_ID]
    of_task, bare = {}, {}
    for task in tasks:
        wordings = _wordings([task])
        for name in (task.id, task.name):
            if wordings.templates:
                of_task[name] = wordings
            else:
                bare[name] = task
    return Recogniser(_wordings(tasks), of_task, bare)


def _wordings(tasks: Sequence[Task]) -> _Wordings:
    templates: dict[str, Template] = {}
    owners: dict[str, list[Task]] = {}
    for task in tasks:
        for template in task.templates:
            if literal_chars(template):
                templates.setdefault(template.id, template)
                owners.setdefault(template.id, []).append(task)
    return _Wordings(
        tuple(templates.values()),
        tuple(tuple(owners[template_id]) for template_id in templates),
        build_matcher(list(templates.values())),
    )


def _exactly(wordings: _Wordings, prompt: Prompt) -> Recognised | None:
    found = wordings.match(prompt)
    if found is None:
        return None
    index, text = found
    tasks = wordings.tasks[index]
    if len(tasks) != 1:
        return None
    return Recognised(tasks[0].name, tasks[0].id, wordings.templates[index].id, text, True, prompt.has_image)


def _bare_input(task: Task, prompt: Prompt) -> Recognised | None:
    said = [text for role, text in zip(prompt.roles, prompt.texts, strict=True) if role not in _INSTRUCTING]
    roles = [role for role in prompt.roles if role not in _INSTRUCTING]
    if roles != ["user"] or not said[0].strip():
        return None
    return Recognised(task.name, task.id, OPEN_TEMPLATE.id, said[0].strip(), True, prompt.has_image)
