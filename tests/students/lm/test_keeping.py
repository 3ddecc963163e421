"""Answers on disk: every number as it was, written once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from metier.students.lm.keeping import kept, read_answers
from metier.students.lm.parts import Generated

ANSWER = Generated('{"shop": "köln\ud7ff"}', ("a", "b"), np.array([-1 / 3, -np.inf]), "stop", 7, 2, 0.1)


def test_answers_come_back_as_they_were_and_are_written_once(tmp_path: Path) -> None:
    asked = []

    def write() -> list[Generated]:
        asked.append(1)
        return [ANSWER, replace(ANSWER, finish="loop", label_probabilities=np.array([1 / 3, 2 / 3]))]

    first = kept(tmp_path / "q4.json", write)
    plain, labelled = kept(tmp_path / "q4.json", write)
    assert asked == [1]
    assert [one.text for one in first] == [plain.text, labelled.text]
    assert (plain.text, plain.pieces, plain.finish) == (ANSWER.text, ANSWER.pieces, "stop")
    assert (plain.n_input, plain.n_output, plain.latency_s) == (7, 2, 0.1)
    assert plain.logprobs.tolist() == [-1 / 3, -np.inf]
    assert plain.label_probabilities is None
    assert labelled.finish == "loop"
    assert labelled.label_probabilities is not None
    assert labelled.label_probabilities.tolist() == [1 / 3, 2 / 3]


def test_answers_that_were_not_written_leave_no_file(tmp_path: Path) -> None:
    assert kept(tmp_path / "none.json", list) == []
    assert read_answers(tmp_path / "none.json") == []
