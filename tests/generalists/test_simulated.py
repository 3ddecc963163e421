from __future__ import annotations

import pytest

from metier.generalists import Question, Recorded
from metier.generalists.simulated import Simulated, most_similar

LABELS = ("cancel card", "cancel order", "greet")
TRUTH = {str(i): LABELS[i % 3] for i in range(4000)}


def test_it_errs_as_often_as_asked_and_only_by_confusable_labels():
    questions = [Question(id_, "x", LABELS) for id_ in TRUTH]
    answers = Simulated(TRUTH, seed=1, accuracy=0.9).answer(questions)
    wrong = [(TRUTH[answer.id], answer.text) for answer in answers if answer.text != TRUTH[answer.id]]
    # Binomial standard error of 4,000 draws at 0.1: 0.0047; four of them allowed.
    assert len(wrong) / 4000 == pytest.approx(0.1, abs=0.019)
    assert {pair for pair in wrong if pair[0] != "greet"} == {
        ("cancel card", "cancel order"),
        ("cancel order", "cancel card"),
    }


def test_an_items_fate_depends_on_seed_and_id_alone():
    questions = [Question(id_, "x", LABELS) for id_ in list(TRUTH)[:300]]
    forward = Simulated(TRUTH, seed=1).answer(questions)
    backward = Simulated(TRUTH, seed=1).answer(questions[::-1])
    assert forward == backward[::-1]
    assert forward != Simulated(TRUTH, seed=2).answer(questions)


def test_it_calls_itself_simulated_and_measures_nothing_of_its_own():
    recorded = Question("0", "x", LABELS, recorded=Recorded("y", 10, 2, 0.5, 0.01))
    generalist = Simulated(TRUTH, model="gpt-x")
    with_record, without = generalist.answer([recorded, Question("1", "x", LABELS)])
    assert generalist.name == "simulated gpt-x"
    assert "simulated" in generalist.condition
    assert (with_record.latency_s, with_record.cost_usd) == (0.5, 0.01)
    assert (without.latency_s, without.cost_usd) == (None, None)


def test_a_label_that_stands_alone_confuses_with_itself():
    assert most_similar("a", ["a"]) == "a"


def test_items_without_a_known_label_are_failures():
    assert Simulated({}).answer([Question("1", "x", LABELS)])[0].failure == "empty"
