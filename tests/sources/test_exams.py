"""Exams: every form a benchmark is handed out in, and what cannot be used set aside with its reason."""

from __future__ import annotations

import codecs
import csv
import json
from pathlib import Path
from typing import Any

import pytest

from metier.errors import BadInput, NotFound
from metier.sources.exams import accepted_answers, read_exam, reasons

LONG = 'Analyze this.\nTimestamp|"Speed"\n2025-05-07 15:11:05|30\n\nC1: a, b; and\nC2: "c"'


def write_json(path: Path, value: Any, encoding: str = "utf-8") -> Path:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding=encoding)
    return path


def write_csv(path: Path, rows: list[list[Any]], encoding: str = "utf-8", delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def counted(exam: Any) -> dict[str, int]:
    return {reason: n for reason, n, _ in reasons(exam.aside)}


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("C3", ("C3",)),
        (" C3 ", ("C3",)),
        (3, ("3",)),
        (3.0, ("3",)),
        ("3.0", ("3",)),
        (r"\boxed{C3}", ("C3",)),
        (r"Because of this, \boxed{{C3}}.", ("C3",)),
        (["C3", "C5"], ("C3", "C5")),
        ('["C3", "C5"]', ("C3", "C5")),
        ("['C3', 'C5']", ("C3", "C5")),
        ("C3|C5", ("C3", "C5")),
        ("C3, C5", ("C3", "C5")),
        ("A", ("A",)),
        ("Weak coverage, far away", ("Weak coverage, far away",)),
        (["C3", "C3"], ("C3",)),
        ("", ()),
        (None, ()),
        ("nan", ()),
        (float("nan"), ()),
        (True, ()),
        ([], ()),
        ({"a": 1}, ()),
    ],
)
def test_what_an_answer_accepts(value: object, wanted: tuple[str, ...]) -> None:
    assert accepted_answers(value) == wanted


def test_a_json_array(tmp_path: Path) -> None:
    exam = read_exam(
        write_json(tmp_path / "a.json", [{"question": LONG, "answer": "C3"}, {"question": "q", "answer": 5}])
    )
    assert [(one.id, one.text, one.accepted) for one in exam.questions] == [
        ("row 1", LONG, ("C3",)),
        ("row 2", "q", ("5",)),
    ]
    assert exam.n_records == 2
    assert exam.aside == ()


def test_json_lines_with_ids_under_other_names(tmp_path: Path) -> None:
    lines = [{"Question_ID": "x7", "Prompt": "one", "Target": "A"}, {"Question_ID": 8, "Prompt": "two", "Target": "B"}]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    assert [(one.id, one.accepted) for one in read_exam(path).questions] == [("x7", ("A",)), ("8", ("B",))]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_the_pair_of_the_challenge(tmp_path: Path, encoding: str, delimiter: str) -> None:
    questions = write_csv(tmp_path / "q.csv", [["ID", "question"], ["a", LONG], ["b", "zwei ：ü"]], encoding, delimiter)
    targets = write_csv(tmp_path / "t.csv", [["ID", "Target"], ["b", "C2"], ["a", r"\boxed{C1}"]], encoding, delimiter)
    exam = read_exam(questions, targets)
    assert [(one.id, one.text, one.accepted) for one in exam.questions] == [
        ("a", LONG, ("C1",)),
        ("b", "zwei ：ü", ("C2",)),
    ]
    assert exam.aside == ()


def test_a_targets_file_with_one_more_column_of_any_name(tmp_path: Path) -> None:
    questions = write_csv(tmp_path / "q.csv", [["ID", "question"], ["a", "one"]])
    targets = write_csv(tmp_path / "t.csv", [["ID", "Root cause"], ["a", "4"]])
    assert read_exam(questions, targets).questions[0].accepted == ("4",)


def test_several_columns_that_could_hold_the_targets_are_named(tmp_path: Path) -> None:
    questions = write_csv(tmp_path / "q.csv", [["ID", "question"], ["a", "one"]])
    targets = write_csv(tmp_path / "t.csv", [["ID", "first", "second"], ["a", "4", "5"]])
    with pytest.raises(BadInput, match=r"t.csv: which of the columns 'first', 'second' holds the answers\? .*'answer'"):
        read_exam(questions, targets)
    with pytest.raises(BadInput, match="targets need an id and an answer"):
        read_exam(questions, write_csv(tmp_path / "u.csv", [["ID"], ["a"]]))
    with pytest.raises(BadInput, match="targets need an id and an answer; found the columns 'first'"):
        read_exam(questions, write_csv(tmp_path / "v.csv", [["first", "second"], ["a", "b"]]))


@pytest.mark.parametrize(
    "cell",
    [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": LONG}],
        {"messages": [{"role": "user", "content": LONG}, {"role": "assistant", "content": "Hm."}]},
        [{"role": "user", "content": [{"type": "text", "text": LONG}]}],
        json.dumps([{"role": "user", "content": LONG}]),
        json.dumps({"messages": [{"role": "user", "content": LONG}]}),
    ],
)
def test_questions_in_chats(tmp_path: Path, cell: object) -> None:
    path = write_json(tmp_path / "a.json", [{"messages": cell, "answer": "C3"}])
    assert [one.text for one in read_exam(path).questions] == [LONG]


@pytest.mark.parametrize("end", [r"\n", r"\r\n"])
def test_tables_in_one_line_get_their_line_ends_back(tmp_path: Path, end: str) -> None:
    table = f"{LONG}\n" + "\n".join("a|b|c" for _ in range(4))
    path = write_csv(tmp_path / "a.csv", [["question", "answer"], [table.replace("\n", end), "C3"]])
    assert [one.text for one in read_exam(path).questions] == [table]


@pytest.mark.parametrize(
    "cell",
    ["[1, 2] is a list", "{C1} or {C2}?", "line\\n one\nline two", r"What is $\nabla \nu|\nu$?", "[", '{"a": 1}'],
)
def test_texts_that_only_look_like_chats_stay_as_they_are(tmp_path: Path, cell: str) -> None:
    path = write_json(tmp_path / "a.json", [{"question": cell, "answer": "C3"}])
    assert [one.text for one in read_exam(path).questions] == [cell]


def test_a_file_without_a_record_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("question,answer\ncaf\xe9,C1\n".encode("latin-1"))
    with pytest.raises(BadInput, match=r"not one record can be read: .*, 1 times, first a.csv line \d"):
        read_exam(path)
    assert [one.text for one in read_exam(path, encoding="latin-1").questions] == ["caf\xe9"]
    with pytest.raises(BadInput, match="not one record can be read: no object, 3 times"):
        read_exam(write_json(tmp_path / "b.json", [1, 2, 3]))


def test_numbered_copies_of_a_question_share_its_target(tmp_path: Path) -> None:
    questions = write_csv(tmp_path / "q.csv", [["ID", "question"], ["ID_1", "one"], ["ID_2", "two"]])
    targets = write_csv(
        tmp_path / "t.csv",
        [["ID", "answer"], *[[f"ID_1_{copy}", "C1"] for copy in range(1, 5)], ["ID_2_1", "C1"], ["ID_2_2", "C2"]],
    )
    exam = read_exam(questions, targets)
    assert [(one.id, one.accepted) for one in exam.questions] == [("ID_1", ("C1",))]
    assert counted(exam) == {"different targets": 1}


def test_what_does_not_pair_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    questions = write_csv(
        tmp_path / "q.csv",
        [
            ["id", "question"],
            ["a", "one"],
            ["a", "one"],
            ["b", "two"],
            ["b", "another two"],
            ["", "no id"],
            ["c", ""],
            ["d", "never judged"],
            ["e", "judged twice"],
            ["f", "short", "too many"],
        ],
    )
    targets = write_csv(
        tmp_path / "t.csv",
        [["id", "answer"], ["a", "C1"], ["b", "C2"], ["e", "C1"], ["e", "C2"], ["z", "C1"], ["d", ""], ["", "C4"]],
    )
    exam = read_exam(questions, targets)
    assert [one.id for one in exam.questions] == ["a"]
    assert counted(exam) == {
        "bad CSV row": 1,
        "no id": 2,
        "no question": 1,
        "repeated question": 1,
        "one id, several questions": 2,
        "no target": 1,
        "different targets": 1,
        "target without an answer": 1,
        "target of no question": 2,
    }
    assert any(item.place == "q.csv line 10" for item in exam.aside)


def test_rows_without_an_answer_or_in_a_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "one", "answer": "C1"}\n{"question": "two"}\n{"question": "thr\n[1]\n')
    exam = read_exam(path)
    assert [one.text for one in exam.questions] == ["one"]
    assert sum(counted(exam).values()) == 3
    assert counted(exam)["no answer"] == 1


def test_an_encoding_that_must_be_named(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "q.csv", [["question", "answer"], ["größer", "C1"], ["plain", "C2"]], "cp1252")
    assert counted(read_exam(path)) == {"invalid UTF-8": 1}
    assert [one.text for one in read_exam(path, encoding="cp1252").questions] == ["größer", "plain"]


def test_a_byte_order_mark_before_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(codecs.BOM_UTF8 + b'[{"question": "one", "answer": "C1"}]')
    assert len(read_exam(path).questions) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([{"q": "one", "answer": "C1"}], "no column holds the questions"),
        ([{"question": "one"}], "--targets"),
        ([{"question": "", "answer": "C1"}], "not one of 1 records"),
    ],
)
def test_files_that_are_no_exam(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read_exam(write_json(tmp_path / "a.json", content))


def test_files_of_two_different_pairs(tmp_path: Path) -> None:
    questions = write_csv(tmp_path / "q.csv", [["ID", "question"], ["a", "one"]])
    with pytest.raises(BadInput, match=r"'x'.*'a'"):
        read_exam(questions, write_csv(tmp_path / "t.csv", [["ID", "answer"], ["x", "C1"]]))
    with pytest.raises(BadInput, match="found by id"):
        read_exam(write_csv(tmp_path / "n.csv", [["question"], ["one"]]), tmp_path / "t.csv")
    with pytest.raises(BadInput, match="targets need an id"):
        read_exam(questions, write_csv(tmp_path / "u.csv", [["answer", "other"], ["C1", "x"]]))


def test_no_file_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        read_exam(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(BadInput, match="is empty"):
        read_exam(tmp_path / "empty.csv")
