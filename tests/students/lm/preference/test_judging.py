"""What is wrong with an answer, and the pairs that follow from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput
from metier.students.base import TaskSpec
from metier.students.lm.parts import Constraint, Finish, Generated, PromptForm
from metier.students.lm.preference import Tally, collect_pairs, judge_of, keep_preference, tally, worth_it

SCHEMA = {
    "type": "object",
    "properties": {"company": {"type": "string"}, "total": {"type": "string"}},
    "required": ["company"],
    "additionalProperties": False,
}
FIELDS = TaskSpec(OutputKind.FIELDS, SCHEMA)
TEXT = TaskSpec(OutputKind.TEXT)
SOURCE, TRUTH = "ACME SDN BHD\nTotal 9.00", '{"company": "ACME SDN BHD", "total": "9.00"}'
FORM = PromptForm("", "\n", "<eos>", is_baked=True)


def said(text: str, finish: Finish = "stop") -> Generated:
    return Generated(text, (), np.zeros(0), finish, 1, 1, 0.0)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (said(TRUTH), None),
        (said('{"company": "acme sdn bhd", "total": "9.00"}'), None),
        (said('{"company": "ACME SDN BHD", "total": "Total"}'), "wrong"),
        (said('{"company": "ACME SDN BHD", "total": "12.50"}'), "ungrounded"),
        (said('{"total": "9.00"}'), "invalid"),
        (said("ACME"), "invalid"),
        (said('{"company": "ACME', "length"), "cut off"),
        (said('{"company": "' + "ACME ACME ACME " * 6, "length"), "degenerate"),
        (said("ab" * 60, "loop"), "degenerate"),
        (said("", "too long"), "too long"),
    ],
)
def test_faults_of_records(answer: Generated, fault: str | None) -> None:
    assert judge_of(FIELDS).fault(answer, SOURCE, TRUTH) == fault


def test_a_right_answer_may_say_what_the_source_does_not() -> None:
    truth = '{"company": "Elsewhere"}'
    assert judge_of(FIELDS).fault(said(truth), SOURCE, truth) is None


def test_faults_of_texts() -> None:
    judge = judge_of(TEXT)
    assert judge.fault(said("the patient has a cough"), "s", "The patient has a cough.") is None
    assert judge.fault(said("nothing of it"), "s", "The patient has a cough.") == "wrong"
    assert judge.fault(said(" "), "s", "The patient has a cough.") == "invalid"


class Recorded:
    """A writer that says what it was given to say, by input and round."""

    def __init__(self, answers: dict[str, list[Generated]]) -> None:
        self.answers = answers
        self.rounds: dict[str, int] = {}
        self.seeds: list[int] = []

    def write(
        self,
        prompts: Sequence[str],
        constraint: Constraint,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generated]:
        assert constraint == Constraint()
        assert temperature > 0
        self.seeds.append(seed)
        return [self._next(prompt.removesuffix("\n")) for prompt in prompts]

    def _next(self, text: str) -> Generated:
        n = self.rounds.get(text, 0)
        self.rounds[text] = n + 1
        return self.answers[text][n % len(self.answers[text])]


def test_pairs_set_the_truth_against_the_gravest_mistakes() -> None:
    bad = [said('{"company": "Nobody"}'), said("x", "length"), said("no json"), said(TRUTH)]
    writer = Recorded({SOURCE: bad, "fine": [said("{}")]})
    found = collect_pairs(
        writer,
        FORM,
        [SOURCE, "fine"],
        [TRUTH, "{}"],
        judge_of(TaskSpec(OutputKind.FIELDS)),
        max_pairs=9,
        max_tokens=8,
        n_samples=4,
    )
    assert [(pair.rejected, pair.fault, pair.has_end) for pair in found.pairs] == [
        ("x", "cut off", False),
        ("no json", "invalid", True),
    ]
    assert {pair.chosen for pair in found.pairs} == {TRUTH}
    assert dict(found.faults) == {"ungrounded": 1, "cut off": 1, "invalid": 1, None: 5}
    assert found.told() == "8 sampled answers to 2 inputs, 5 right, 1 cut off, 1 invalid, 1 ungrounded: 2 pairs"
    assert len(set(writer.seeds)) == 4  # every round its own


def test_text_prefers_the_models_own_words() -> None:
    truth = "patient has a bad cough today"
    own = "the patient has a bad cough"
    writer = Recorded({"s": [said("unrelated"), said(own), said("has a cough today")]})
    found = collect_pairs(writer, FORM, ["s"], [truth], judge_of(TEXT), max_pairs=9, max_tokens=8, n_samples=3)
    assert [(pair.chosen, pair.rejected) for pair in found.pairs] == [(own, "unrelated")]


def test_nothing_wrong_gives_no_pairs() -> None:
    writer = Recorded({SOURCE: [said(TRUTH)]})
    found = collect_pairs(writer, FORM, [SOURCE], [TRUTH], judge_of(FIELDS), max_pairs=9, max_tokens=8, n_samples=4)
    assert not found.pairs


def test_prompts_that_were_not_read_teach_nothing() -> None:
    writer = Recorded({SOURCE: [said("", "too long")]})
    found = collect_pairs(writer, FORM, [SOURCE], [TRUTH], judge_of(FIELDS), max_pairs=9, max_tokens=8, n_samples=4)
    assert not found.pairs
    assert dict(found.faults) == {"too long": 4}


def test_sampling_stops_at_enough_pairs_and_at_enough_samples() -> None:
    texts = [f"t{i}" for i in range(60)]
    answers = {text: [said(f"wrong {i}") for i in range(4)] for text in texts}
    few = collect_pairs(
        Recorded(answers), FORM, texts, [TRUTH] * 60, judge_of(FIELDS), max_pairs=5, max_tokens=8, n_samples=4
    )
    assert (len(few.pairs), few.n_inputs) == (5, 8)
    capped = collect_pairs(
        Recorded(answers),
        FORM,
        texts,
        [TRUTH] * 60,
        judge_of(FIELDS),
        max_pairs=500,
        max_tokens=8,
        n_samples=4,
        max_samples=80,
    )
    assert (capped.n_inputs, capped.n_samples, len(capped.pairs)) == (20, 80, 40)


def test_order_is_the_seeds() -> None:
    texts = [f"t{i}" for i in range(30)]

    def asked(seed: int) -> list[str]:
        writer = Recorded({text: [said("bad")] for text in texts})
        found = collect_pairs(writer, FORM, texts, [TRUTH] * 30, judge_of(FIELDS), max_pairs=8, max_tokens=8, seed=seed)
        return [pair.input for pair in found.pairs]

    assert asked(1) == asked(1) != asked(2)


def test_inputs_need_truths() -> None:
    with pytest.raises(BadInput, match="1 inputs but 0 truths"):
        collect_pairs(Recorded({}), FORM, ["a"], [], judge_of(FIELDS), max_pairs=1, max_tokens=1)


def counts(right: int, degenerate: int = 0, ungrounded: int = 0, n: int = 20) -> Tally:
    return Tally(n, right, degenerate, 0, 0, ungrounded, n - right - degenerate - ungrounded, 0)


@pytest.mark.parametrize(
    ("after", "keep"),
    [
        (counts(15, 0, 1), True),  # fewer failures, as many right
        (counts(16, 0, 2), True),  # as many failures, more right
        (counts(15, 0, 2), False),  # nothing changed
        (counts(14, 0, 0), False),  # fewer failures, but fewer right
        (counts(17, 1, 2), False),  # more right, but more failures
    ],
)
def test_kept_only_where_the_tune_split_improves(after: Tally, keep: bool) -> None:
    decision = keep_preference(counts(15, 0, 2), after)
    assert decision.keep is keep
    assert "before: right 15, degenerate 0" in decision.reason


def test_tally_sums_to_n() -> None:
    answers = [said(TRUTH), said("x", "length"), said("", "too long"), said('{"company": "No"}'), said("[]")]
    found = tally(judge_of(FIELDS), answers, [SOURCE] * 5, [TRUTH] * 5)
    assert found == Tally(5, 1, 0, 1, 1, 1, 0, 1)
    assert found.failed == 3


def test_few_mistakes_are_left_alone() -> None:
    assert not worth_it(counts(18)).keep
    assert worth_it(counts(17)).keep
