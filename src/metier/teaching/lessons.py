"""The teacher's answers: asked for once or several times, checked, and kept where enough of them agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metier.artefacts.tasks import OutputKind, Template
from metier.generalists import Generalist, GeneralistAnswer, Question
from metier.generalists.normalise import LabelReader
from metier.generalists.protocol import sampled
from metier.metrics.correctness import is_correct
from metier.metrics.grounding import count_ungrounded
from metier.metrics.records import parse_record
from metier.metrics.schemas import record_checker
from metier.progress import Progress, silent
from metier.teaching import reasons
from metier.teaching.screening import Candidate, Rejected, Scrub


@dataclass(frozen=True)
class Lesson:
    """What the teacher is asked for, and what makes its answer fit to be learnt from.

    `samples` answers to each input are bought, and `agree` of them must be the same: equal labels, records equal in every
    field after normalisation, texts that are acceptable versions of each other (`metrics.correctness`). `grounded`: every
    value of a record must occur in the input. `scrub` takes personal data out of every answer before it is checked.
    """

    kind: OutputKind
    labels: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    template: Template | None = None
    samples: int = 1
    agree: int = 1
    temperature: float | None = None
    grounded: bool = False
    scrub: Scrub | None = None


@dataclass(frozen=True)
class Taught:
    """The answers by candidate id, and the candidates that got none worth learning."""

    outputs: dict[str, str]
    rejected: tuple[Rejected, ...]
    cost_usd: float


def ask(asked: Sequence[Candidate], generalist: Generalist, lesson: Lesson, progress: Progress = silent) -> Taught:
    """Ask about every candidate, all samples in one go, so that one budget holds for them."""
    if not asked:
        return Taught({}, (), 0.0)
    questions = [question for one in asked for question in _questions(one, lesson)]
    answers = generalist.answer(questions, progress=progress)
    reader = LabelReader.of(lesson.labels)
    outputs, rejected = {}, []
    for place, one in enumerate(asked):
        samples = answers[place * lesson.samples : (place + 1) * lesson.samples]
        output, reason = _settled(one, samples, lesson, reader)
        if reason is None and output is not None:
            outputs[one.id] = output
        else:
            rejected.append(Rejected(one.id, one.text, reason or reasons.NO_AGREEMENT, output=output))
    return Taught(outputs, tuple(rejected), cost_usd(answers))


def cost_usd(answers: Sequence[GeneralistAnswer]) -> float:
    """What these answers cost when they were bought, where that is known."""
    return sum(answer.cost_usd or 0.0 for answer in answers)


def _questions(one: Candidate, lesson: Lesson) -> list[Question]:
    first = Question(
        one.id, one.text, lesson.labels, lesson.template, kind=lesson.kind, output_schema=lesson.schema,
        temperature=lesson.temperature if lesson.samples > 1 else None,
    )  # fmt: skip
    return [sampled(first, number) for number in range(lesson.samples)]


def _settled(
    one: Candidate, samples: Sequence[GeneralistAnswer], lesson: Lesson, reader: LabelReader
) -> tuple[str | None, str | None]:
    """The answer that enough samples agree on, or the best there is with the reason why it will not do."""
    read = [_checked(one, answer, lesson, reader) for answer in samples]
    valid = [output for output, fault in read if fault is None and output is not None]
    if len(valid) < lesson.agree:
        # The most frequent fault tells best what went wrong; the first of equals.
        faults = Counter(fault for _, fault in read if fault is not None)
        return next((output for output, _ in read if output is not None), None), faults.most_common(1)[0][0]
    votes = [sum(is_correct(lesson.kind, other, output) for other in valid) for output in valid]
    best = votes.index(max(votes))
    return valid[best], None if votes[best] >= lesson.agree else reasons.NO_AGREEMENT


def _checked(
    one: Candidate, answer: GeneralistAnswer, lesson: Lesson, reader: LabelReader
) -> tuple[str | None, str | None]:
    """An answer as an example's output, and what is wrong with it."""
    if answer.text is None:
        return None, reasons.NO_ANSWER.format(answer.failure) if answer.asked else reasons.NOT_ASKED
    text = answer.text if lesson.scrub is None else lesson.scrub(answer.text)
    if lesson.kind is OutputKind.LABEL:
        label = reader.read(text)
        return (label, None) if label is not None else (text, reasons.NOT_A_LABEL)
    if lesson.kind is OutputKind.FIELDS:
        return text, _record_fault(text, one, lesson, is_altered=text != answer.text)
    return text, None


def _record_fault(text: str, one: Candidate, lesson: Lesson, *, is_altered: bool) -> str | None:
    """Generalists give records that fit the schema; one that was altered since may fit no longer."""
    record = parse_record(text)
    if is_altered and (record is None or record_checker(lesson.schema or {})(record) is not None):
        return reasons.SCRUBBED_RECORD
    if lesson.grounded and count_ungrounded(record or {}, one.text, lesson.schema)[0]:
        return reasons.UNGROUNDED
    return None
