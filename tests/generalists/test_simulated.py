from __future__ import annotations

import pytest

from metier.artefacts.tasks import OutputKind
from metier.generalists import Question, Recorded
from metier.generalists.protocol import sampled
from metier.generalists.reading import read_record
from metier.generalists.simulated import Simulated, misread, most_similar
from metier.metrics.records import parse_record

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


SCHEMA = {
    "type": "object",
    "properties": {
        "company": {"type": "string"},
        "date": {"type": "string"},
        "paid": {"type": "boolean"},
        "sort": {"enum": ["a", "b"]},
    },
    "required": ["company", "paid"],
}
RECORD = '{"company": "ACME Ltd", "date": "1 May", "paid": true, "sort": "a"}'
RECEIPT = "ACME Ltd\n12 High Street\n1 May  TOTAL 9.00\nThank you"


def records(n: int) -> list[Question]:
    return [Question(str(i), RECEIPT, kind=OutputKind.FIELDS, output_schema=SCHEMA) for i in range(n)]


def test_wrong_records_are_valid_and_differ_in_one_field():
    answers = Simulated({str(i): RECORD for i in range(2000)}, seed=1, accuracy=0.9).answer(records(2000))
    right = parse_record(RECORD)
    wrong = [parse_record(answer.text) for answer in answers if answer.text != RECORD]
    # Binomial standard error of 2,000 draws at 0.1: 0.0067; four of them allowed.
    assert len(wrong) / 2000 == pytest.approx(0.1, abs=0.027)
    for record in wrong:
        assert sum(record.get(key) != right[key] for key in right) == 1
    dropped = [record for record in wrong if "date" not in record]
    elsewhere = [record for record in wrong if record.get("date") in ("12 High Street", "TOTAL 9.00", "Thank you")]
    assert dropped
    assert elsewhere
    assert all("company" in record and "paid" in record for record in wrong)


def test_every_way_of_misreading_gives_a_record_that_fits():
    (question,) = records(1)
    for draw in range(500):
        written = misread(RECORD, question, draw)
        assert written != RECORD
        assert read_record(written, SCHEMA) == written


def test_wrong_texts_are_cut_short():
    question = Question("1", "x", kind=OutputKind.TEXT)
    (answer,) = Simulated({"1": "one two three four five"}, accuracy=0.0).answer([question])
    assert answer.text == "one two"


def test_all_samples_of_an_item_are_about_the_same_item():
    question = Question("1", "x", LABELS)
    asked = [sampled(question, number) for number in range(200)]
    answers = Simulated({"1": "greet"}, accuracy=0.5).answer(asked)
    n_right = sum(answer.text == "greet" for answer in answers)
    assert [answer.id for answer in answers[:2]] == ["1", "1#1"]
    # Drawn for each sample: 100 of 200 expected, standard deviation 7.
    assert 70 < n_right < 130
