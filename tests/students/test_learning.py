"""Learning-curve points: nested parts in proportion, measured once, read back after a kill."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from metier.progress import silent
from metier.students import STUDENTS, LabelledTexts
from metier.students.learning import measure_learning_curve, nested_parts


def test_parts_are_nested_and_in_proportion() -> None:
    labels = ["a"] * 600 + ["b"] * 300 + ["c"] * 100
    parts = nested_parts(labels, [50, 100, 400, 1000], seed=0)
    assert [len(part) for part in parts] == [50, 100, 400, 1000]
    for small, large in pairwise(parts):
        assert set(small) < set(large)
    counts = Counter(labels[i] for i in parts[1])
    assert counts["a"] == pytest.approx(60, abs=2)
    assert counts["c"] == pytest.approx(10, abs=2)


def test_rare_classes_come_in_with_their_probability() -> None:
    labels = ["common"] * 200 + [f"rare{i}" for i in range(200)]
    seen = [len({labels[i] for i in nested_parts(labels, [100], seed)[0]} - {"common"}) for seed in range(50)]
    assert np.mean(seen) == pytest.approx(50, abs=3)  # a quarter of the texts brings a quarter of the rare ones


def test_points_fall_and_the_last_is_the_main_training(tmp_path: Path, train_texts, tune_texts) -> None:
    student = STUDENTS["linear"]
    full = student.fit(train_texts, tune_texts, tmp_path / "full", seed=0, progress=silent, options={})
    arguments = {"seed": 0, "progress": silent, "options": {}}
    points = measure_learning_curve(student, train_texts, tune_texts, full, tmp_path / "curve", **arguments)
    assert [point.n_train for point in points] == [10, 20, 40, 80, 160]
    assert points[-1].error == 1 - full.tune_accuracy
    assert points[0].error > points[-1].error
    assert {point.n_tune for point in points} == {60}

    def fail(*_: object) -> None:
        raise AssertionError("measured again")

    again = measure_learning_curve(
        student, train_texts, tune_texts, full, tmp_path / "curve", seed=0, progress=fail, options={}
    )
    assert again == points


def test_without_tune_split_there_are_no_points(tmp_path: Path, train_texts) -> None:
    student, none = STUDENTS["linear"], LabelledTexts((), ())
    full = student.fit(train_texts, none, tmp_path / "full", seed=0, progress=silent, options={})
    assert measure_learning_curve(student, train_texts, none, full, tmp_path, seed=0, progress=silent, options={}) == ()
