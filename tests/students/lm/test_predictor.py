"""Agreement of two samples: who is asked again, what it does to the score, and that its tokens are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy.special import expit

from metier.artefacts.tasks import OutputKind
from metier.metrics.generation import CUT_OFF
from metier.students import TaskSpec
from metier.students.lm.foreignness import fit_character_model
from metier.students.lm.parts import Constraint, Finish, Generated, PromptForm
from metier.students.lm.predictor import SECOND_TEMPERATURE, LmPredictor, asking_of
from metier.students.lm.scores import FEATURES, AnswerScore

SCHEMA = {"type": "object", "properties": {"total": {"type": "string"}}, "required": ["total"]}
INPUTS = ["total 9.00", "total 8.00", "total 7.00", "total 6.00"]
FORM = PromptForm("Read: ", "?", "", is_baked=True)
# Of the figures beside it nothing counts: an answer that agrees scores expit(2 - 1), another expit(-1).
AGREEING = AnswerScore(-1.0, (*[0.0] * len(FEATURES), 2.0), (0.0,) * (len(FEATURES) + 1), (1.0,) * (len(FEATURES) + 1))
ALONE = AnswerScore(-1.0, (0.0,) * len(FEATURES), (0.0,) * len(FEATURES), (1.0,) * len(FEATURES))


def says(total: str, n_output: int, finish: Finish = "stop") -> Generated:
    text = f'{{"total":"{total}"}}'
    return Generated(text, (text,), np.array([-0.1]), finish, 20, n_output, 0.1)


FIRST = dict(zip(INPUTS, (says("9.00", 5), says("8.00", 6), says("7.00", 7), says("6", 30, "length")), strict=True))
# The same in another notation; another value; a sample that never stops. The last one is not to be asked for.
SECOND = dict(zip(INPUTS, (says("9", 3), says("1.00", 4), says("7.00", 30, "length")), strict=False))


@dataclass
class Counting:
    """A writer that writes what the tables say, greedily and warmer, and remembers what it was asked for."""

    asked: list[tuple[str, float, int]] = field(default_factory=list)

    def write(
        self,
        prompts: Sequence[str],
        constraint: Constraint,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generated]:
        inputs = [prompt.removeprefix(FORM.prefix).removesuffix(FORM.suffix) for prompt in prompts]
        self.asked += [(text, temperature, seed) for text in inputs]
        return [(SECOND if temperature else FIRST)[text] for text in inputs]


def predictor(writer: Counting, score: AnswerScore) -> LmPredictor:
    asking = asking_of(TaskSpec(OutputKind.FIELDS, SCHEMA), (), FORM, 30)
    return LmPredictor((), asking, writer, fit_character_model(INPUTS), score)


def test_a_second_sample_of_every_whole_answer_makes_the_score_and_its_tokens_are_counted() -> None:
    writer = Counting()
    answers = predictor(writer, AGREEING).predict(INPUTS)
    assert [(text, warmth) for text, warmth, _ in writer.asked] == [
        *((text, 0.0) for text in INPUTS),
        *((text, SECOND_TEMPERATURE) for text in INPUTS[:3]),
    ]
    assert answers.failures == (None, None, None, CUT_OFF)
    assert answers.scores == pytest.approx([expit(1.0), expit(-1.0), expit(-1.0), 0.0])
    assert answers.labels[0] == '{"total": "9.00"}'  # what was said first is what is given
    assert answers.input_tokens is not None
    assert answers.output_tokens is not None
    assert answers.input_tokens.tolist() == [20] * 4
    assert answers.output_tokens.tolist() == [5 + 3, 6 + 4, 7 + 30, 30]


def test_what_was_asked_for_already_is_not_asked_for_again_and_counts() -> None:
    writer = Counting()
    asked = predictor(writer, AGREEING)
    first = [FIRST[text] for text in INPUTS]
    second = asked.asking.second_opinion(writer, INPUTS, asked.asking.read(first, INPUTS))
    assert second.agree.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert len(writer.asked) == 3
    answers = asked.judged(INPUTS, first, second)
    assert len(writer.asked) == 3
    whole = predictor(Counting(), AGREEING).predict(INPUTS)
    assert answers.scores.tolist() == whole.scores.tolist()
    assert answers.output_tokens is not None
    assert whole.output_tokens is not None
    assert answers.output_tokens.tolist() == whole.output_tokens.tolist()
    # A score that rests on no second sample is not charged with one that was only tried.
    plain = predictor(writer, ALONE).judged(INPUTS, first, second)
    assert plain.output_tokens is not None
    assert plain.output_tokens.tolist() == [5, 6, 7, 30]


def test_a_score_without_agreement_asks_once() -> None:
    writer = Counting()
    answers = predictor(writer, ALONE).predict(INPUTS)
    assert writer.asked == [(text, 0.0, 0) for text in INPUTS]
    assert answers.scores == pytest.approx([expit(-1.0)] * 3 + [0.0])
    assert answers.output_tokens is not None
    assert answers.output_tokens.tolist() == [5, 6, 7, 30]


def test_nothing_asked_and_nothing_whole_need_no_second_sample() -> None:
    writer = Counting()
    asked = predictor(writer, AGREEING)
    none = asked.predict([])
    assert len(none.scores) == 0
    assert none.output_tokens is not None
    assert none.output_tokens.shape == (0,)
    failed = asked.predict(INPUTS[3:])
    assert failed.scores.tolist() == [0.0]
    assert failed.output_tokens is not None
    assert failed.output_tokens.tolist() == [30]
    assert [warmth for _, warmth, _ in writer.asked] == [0.0]
