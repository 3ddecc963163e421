"""Units: the parts of templates that calls are assigned to, before wordings of one job are merged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metier.artefacts.tasks import Template, TemplateMessage
from metier.mining.answers import Answer, Form, read_answer
from metier.mining.literals import make_template
from metier.mining.matching import build_matcher
from metier.mining.meaning import OPEN_PART, WHOLE, Parts, split_by_meaning
from metier.mining.naming import task_id
from metier.mining.prompts import Frame, Prompt, frame_of
from metier.mining.sampling import Sample
from metier.mining.templates import OPEN_TEMPLATE, is_open, mine_templates
from metier.mining.wordings import Profile, merge_wordings, profile
from metier.progress import Progress

OPEN_ENDED = "open-ended"
# The id of that task: the hash of its name, as any task's is of what identifies it.
OPEN_ENDED_ID = task_id(OPEN_ENDED)
# A system prompt this short ("You are a helpful assistant.") does not tell what the job is.
_GENERIC_WORDS = 8


@dataclass(frozen=True)
class Unit:
    """One part of one template, or one file of labelled records. `job` numbers the task it belongs to."""

    template: Template
    part: str
    job: int
    dataset: str | None = None

    @property
    def is_open_ended(self) -> bool:
        return self.part == OPEN_PART


@dataclass(frozen=True)
class Grouping:
    """Where calls go: `places[t][p]` is the unit of part p of template t, `parts[t]` says how a call's part is told.
    The last template is the catch-all. Labelled records go to the unit of their file and prompt (`framed_units`), else to
    that of their file (`dataset_units`)."""

    templates: tuple[Template, ...]
    parts: tuple[Parts, ...]
    places: tuple[tuple[int, ...], ...]
    units: tuple[Unit, ...]
    dataset_units: dict[str, int]
    framed_units: dict[tuple[str, Frame], int]

    def unit_of_record(self, dataset: str, prompt: Prompt) -> int:
        """The unit of a labelled record."""
        if not self.framed_units:
            return self.dataset_units[dataset]
        return self.framed_units.get((dataset, frame_of(prompt)), self.dataset_units[dataset])


def group_calls(sample: Sample, min_support: int, seed: int, progress: Progress) -> Grouping:
    """Templates, their parts, and which of those are wordings of one job, all from a sample of distinct prompts."""
    progress("Mining templates", 0, 3)
    mined = mine_templates([call.prompt for call in sample.calls], min_support, seed)
    progress("Mining templates", 1, 3)
    templates = (*mined, OPEN_TEMPLATE)
    members = _members(sample, templates)
    parts = tuple(_parts_of(template, *members[index], min_support, seed) for index, template in enumerate(mined))
    progress("Mining templates", 2, 3)
    parts = (*parts, Parts((OPEN_PART,)))
    grouping = _number(templates, parts, members, sample.datasets)
    progress("Mining templates", 3, 3)
    return grouping


_Members = dict[int, tuple[list[str], list[Answer]]]


def _members(sample: Sample, templates: Sequence[Template]) -> _Members:
    """Inputs and answers of the sampled calls, by the template they match."""
    match = build_matcher(templates)
    members: _Members = defaultdict(lambda: ([], []))
    for call in sample.calls:
        found = match(call.prompt)
        if found is not None:
            inputs, answers = members[found[0]]
            inputs.append(found[1])
            answers.append(read_answer(call.response))
    return members


def _parts_of(template: Template, inputs: list[str], answers: list[Answer], min_support: int, seed: int) -> Parts:
    if all(answer.form is Form.NONE for answer in answers):
        return Parts((OPEN_PART,)) if is_open(template) and not _is_specific(template) else WHOLE
    return split_by_meaning(inputs, answers, is_open(template), min_support, seed)


def _number(
    templates: tuple[Template, ...],
    parts: tuple[Parts, ...],
    members: _Members,
    datasets: Mapping[str, Sequence[Frame]],
) -> Grouping:
    """Units in order, each with the number of its job: merged wordings share one, and so do open questions."""
    slots: list[tuple[int, str]] = []
    profiles: list[Profile] = []
    places = []
    for index, template in enumerate(templates):
        split = _by_part(parts[index], *members[index])
        places.append(tuple(range(len(slots), len(slots) + len(split))))
        for name, (inputs, answers) in zip(parts[index].names, split, strict=True):
            slots.append((index, name))
            profiles.append(profile(template, is_open(template), inputs, answers))
    jobs = _merge(templates, slots, profiles)
    units = [Unit(templates[index], name, job) for (index, name), job in zip(slots, jobs, strict=True)]
    n_jobs = max(jobs) + 1
    dataset_units, framed_units = {}, {}
    for place, (name, frames) in enumerate(datasets.items()):
        dataset_units[name] = len(units)
        units.append(Unit(OPEN_TEMPLATE, "", n_jobs + place, name))
        for frame in frames:
            framed_units[name, frame] = len(units)
            units.append(Unit(_framed_template(frame), "", n_jobs + place, name))
    return Grouping(templates, parts, tuple(places), tuple(units), dataset_units, framed_units)


def _framed_template(frame: Frame) -> Template:
    messages = tuple(TemplateMessage(role, ("", "") if text is None else (text,)) for role, text in frame)
    return make_template(messages, 0)


def _by_part(parts: Parts, inputs: list[str], answers: list[Answer]) -> list[tuple[list[str], list[Answer]]]:
    split: list[tuple[list[str], list[Answer]]] = [([], []) for _ in parts.names]
    for text, answer in zip(inputs, answers, strict=True):
        part = parts.of(answer)
        if part is not None:
            split[part][0].append(text)
            split[part][1].append(answer)
    return split


def _merge(templates: Sequence[Template], slots: Sequence[tuple[int, str]], profiles: Sequence[Profile]) -> list[int]:
    """The job of each unit. Open questions are one job, unless a system prompt of some length says what they are about."""
    pooled = [name == OPEN_PART and not _is_specific(templates[index]) for index, name in slots]
    merged = iter(merge_wordings([one for one, is_pooled in zip(profiles, pooled, strict=True) if not is_pooled]))
    return [0 if is_pooled else 1 + next(merged) for is_pooled in pooled]


def _is_specific(template: Template) -> bool:
    words = " ".join(literal for message in template.messages for literal in message.literals).split()
    return len(words) > _GENERIC_WORDS
