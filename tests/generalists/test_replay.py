from __future__ import annotations

import json

import pytest

from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput
from metier.generalists import Question, Recorded
from metier.generalists.replay import Replay, load_replay

LABELS = ("a", "b")


def test_answers_recorded_in_the_traffic_cost_nothing_and_the_rest_is_not_asked():
    recorded = Question("1", "x", LABELS, recorded=Recorded("a", 50, 3, 0.7, 0.001))
    blank = Question("2", "y", LABELS, recorded=Recorded(" "))
    missing = Question("3", "z", LABELS)
    first, second, third = Replay(model="gpt").answer([recorded, blank, missing])
    assert (first.text, first.input_tokens, first.output_tokens, first.latency_s, first.cost_usd) == (
        "a",
        50,
        3,
        0.7,
        0.001,
    )
    assert (second.text, second.failure) == (None, "empty")
    assert (third.failure, third.asked) == ("not asked", False)


def test_a_jsonl_file_answers_by_id_then_by_input(tmp_path):
    path = tmp_path / "answers.jsonl"
    rows = [
        {"id": "1", "answer": "a", "cost_usd": 0.5},
        {"input": " y ", "response": "b"},
        {"id": 7, "answer": {"label": "a"}},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    generalist = load_replay(path, "gpt")
    asked = [
        Question("1", "x", LABELS),
        Question("2", "y", LABELS),
        Question("7", "q", LABELS),
        Question("8", "r", LABELS),
    ]
    answers = generalist.answer(asked)
    assert [answer.text for answer in answers] == ["a", "b", '{"label": "a"}', None]
    assert answers[0].cost_usd == 0.5
    assert answers[3].failure == "not asked"
    assert generalist.name == "gpt"


def test_a_file_does_not_fall_back_on_the_traffic(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("id,answer\n1,a\n")
    question = Question("2", "x", LABELS, recorded=Recorded("b"))
    assert load_replay(path).answer([question])[0].failure == "not asked"


def test_csv_with_a_byte_order_mark_and_quoted_newlines(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text('\ufeffinput,output,latency_s,input_tokens\n"two\nlines",b,0.25,12\n', encoding="utf-8")
    (answer,) = load_replay(path).answer([Question("1", "two\nlines", LABELS)])
    assert (answer.text, answer.latency_s, answer.input_tokens) == ("b", 0.25, 12)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"id": "1", "answer": "a"}\n{"id": "2", "ans', "line 2: not valid JSON"),
        ("a.jsonl", '["a"]', "line 1: holds list"),
        ("a.jsonl", '{"answer": "a"}', "line 1: needs an 'id' or an 'input'"),
        ("a.jsonl", '{"id": "1", "text": "a"}', "line 1: has no answer; expected one of answer, recorded"),
        ("a.jsonl", '{"id": "1", "answer": "a", "cost_usd": "much"}', "line 1: cost_usd is 'much', not a number"),
        ("a.jsonl", '{"id": "1", "answer": "a"}\n{"id": "1", "answer": "b"}', "line 2: answers '1' with 'b'"),
        ("a.jsonl", "", "holds no recorded answer"),
        ("a.csv", "id,answer\n", "holds no recorded answer"),
        ("a.csv", "id,answer\n,a\n", "line 2: needs an 'id'"),
    ],
)
def test_records_that_cannot_be_used_are_named_by_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(BadInput, match=message):
        load_replay(path)


def test_other_encodings_and_missing_files_are_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": "1", "answer": "\xff"}')
    with pytest.raises(BadInput, match="UTF-8"):
        load_replay(path)
    with pytest.raises(BadInput, match="no such file"):
        load_replay(tmp_path / "none.jsonl")


def test_recorded_records_and_texts_are_read_for_their_kind():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
    said = ['{"a": "1", "b": 2}', "none", '```json\n{"a": "1"}\n```', "a text"]
    questions = [
        Question(str(i), "x", recorded=Recorded(text), kind=OutputKind.FIELDS, output_schema=schema)
        for i, text in enumerate(said[:3])
    ]
    questions.append(Question("3", "x", recorded=Recorded(said[3]), kind=OutputKind.TEXT))
    assert [(answer.text, answer.failure) for answer in Replay().answer(questions)] == [
        (None, "invalid"), (None, "invalid"), ('{"a": "1"}', None), ("a text", None),
    ]  # fmt: skip
