"""Checks and agreement of the teacher's answers, one label, record and text at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from metier.artefacts.tasks import OutputKind
from metier.generalists import GeneralistAnswer, Question, Recorded
from metier.generalists.replay import Replay
from metier.teaching import reasons
from metier.teaching.lessons import Lesson, ask
from metier.teaching.screening import candidates

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "total": {"type": "string"}, "sort": {"enum": ["a", "b"]}},
    "required": ["name"],
    "additionalProperties": False,
}
(ONE,) = candidates(["ACME Ltd, total 9.00"])


@dataclass
class Asked:
    """A replayed teacher that remembers what it was asked."""

    replay: Replay
    seen: list[Question] = field(default_factory=list)

    name = model = condition = caveat = ""

    def answer(self, questions: Sequence[Question], *, progress: object = None) -> list[GeneralistAnswer]:
        self.seen += questions
        return self.replay.answer(questions)


def teacher(*texts: str) -> Asked:
    ids = [ONE.id, *(f"{ONE.id}#{number}" for number in range(1, len(texts)))]
    return Asked(Replay(by_id={id_: Recorded(text) for id_, text in zip(ids, texts, strict=True)}, by_input={}))


def lesson(kind: OutputKind = OutputKind.FIELDS, **more: object) -> Lesson:
    return Lesson(kind, ("refund", "delivery"), SCHEMA if kind is OutputKind.FIELDS else None, **more)


def settled(said: Asked, one: Lesson) -> tuple[str | None, str | None]:
    taught = ask([ONE], said, one)
    return taught.outputs.get(ONE.id), next((left.reason for left in taught.rejected), None)


def test_a_record_is_kept_in_its_canonical_form():
    said = teacher('```json\n{"total": "9.00", "name": "ACME"}\n```')
    assert settled(said, lesson()) == ('{"name": "ACME", "total": "9.00"}', None)


def test_personal_data_are_taken_out_before_an_answer_is_judged():
    shape = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 6}}, "required": ["name"]}

    def judged(mark: str) -> tuple[str | None, str | None]:
        taught = Lesson(OutputKind.FIELDS, (), shape, scrub=lambda text: text.replace("Bob", mark))
        return settled(teacher('{"name": "Bob"}'), taught)

    assert judged("<NAME>") == ('{"name": "<NAME>"}', None)
    assert judged("<PERSON>") == (None, reasons.SCRUBBED_RECORD)
    assert judged('"') == (None, reasons.SCRUBBED_RECORD)


@pytest.mark.parametrize("text", ["none", '{"total": "9.00"}', '{"name": 3}', '{"name": "A", "more": 1}'])
def test_a_record_that_does_not_fit_the_schema_is_not(text: str):
    assert settled(teacher(text), lesson()) == (None, reasons.NO_ANSWER.format("invalid"))


def test_grounded_values_only_where_asked_for():
    said = '{"name": "ACME Limited", "sort": "b"}'
    assert settled(teacher(said), lesson()) == (said, None)
    assert settled(teacher(said), lesson(grounded=True)) == (None, reasons.UNGROUNDED)
    right = '{"name": "acme ltd", "total": "9.00", "sort": "b"}'
    assert settled(teacher(right), lesson(grounded=True)) == (right, None)


def test_labels_are_read_as_elsewhere():
    assert settled(teacher('{"label": "Refund"}'), lesson(OutputKind.LABEL)) == ("refund", None)
    assert settled(teacher("I think refund"), lesson(OutputKind.LABEL)) == (None, reasons.NOT_A_LABEL)


def test_samples_agree_after_normalisation_and_the_first_of_them_is_kept():
    said = ['{"name": "Wrong"}', '{"name": "ACME Ltd."}', '{"name": "acme ltd"}']
    assert settled(teacher(*said), lesson(samples=3, agree=2)) == ('{"name": "ACME Ltd."}', None)
    assert settled(teacher(*said), lesson(samples=3, agree=3)) == (None, reasons.NO_AGREEMENT)


def test_too_few_valid_samples_tell_the_most_frequent_fault():
    said = teacher('{"name": "ACME"}', "no json", "none either")
    assert settled(said, lesson(samples=3, agree=2)) == (None, reasons.NO_ANSWER.format("invalid"))


def test_texts_agree_where_each_is_an_acceptable_version_of_the_other():
    said = ["the patient has a cough and fever", "patient has a cough and a fever", "nothing to report"]
    assert settled(teacher(*said), lesson(OutputKind.TEXT, samples=3, agree=2)) == (said[0], None)
    assert settled(teacher(*said), lesson(OutputKind.TEXT, samples=3, agree=3))[1] == reasons.NO_AGREEMENT


def test_the_samples_are_questions_of_their_own_and_the_temperature_is_for_several():
    said = teacher("refund", "refund", "delivery")
    ask([ONE], said, lesson(OutputKind.LABEL, samples=3, agree=2, temperature=0.9))
    assert [(one.id, one.sample, one.temperature) for one in said.seen] == [
        (ONE.id, 0, 0.9), (f"{ONE.id}#1", 1, 0.9), (f"{ONE.id}#2", 2, 0.9),
    ]  # fmt: skip
    alone = teacher("refund")
    ask([ONE], alone, lesson(OutputKind.LABEL, temperature=0.9))
    assert alone.seen[0].temperature is None


def test_what_was_not_asked_says_so():
    nobody = Asked(Replay(by_id={"other": Recorded(json.dumps({}))}, by_input={}))
    assert settled(nobody, lesson()) == (None, reasons.NOT_ASKED)
    assert ask([], nobody, lesson()).outputs == {}
