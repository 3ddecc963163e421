"""train: which students learn what, what they are given, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from tests.students.trees.meters import Meters, make_readings

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA, Dataset
from metier.artefacts.tasks import OutputKind, Template, TemplateMessage
from metier.errors import BadInput, NotEnoughData
from metier.students import STUDENTS
from metier.students.lm.settings import LmSettings
from metier.train import TrainSettings, labelled, ladder, task_of, train
from metier.views import VIEWS

SCHEMA = {"type": "object", "properties": {"total": {"type": "string"}}, "required": ["total"]}
TEMPLATE = Template("t", (TemplateMessage("user", ("Read this: ", "")),), 9)


def dataset(kind: OutputKind, outputs: list[str], split: str = "train") -> Dataset:
    n = len(outputs)
    rows = {
        "id": [str(i) for i in range(n)],
        "input": [f"text {i}" for i in range(n)],
        "output": outputs,
        "provenance": ["human"] * n,
        "group": [str(i) for i in range(n)],
        "split": [split] * n,
    }
    columns = [pl.Series(name, rows.get(name, [None] * n), dtype) for name, dtype in EXAMPLE_SCHEMA.items()]
    return Dataset(
        task_id="task",
        task_name="receipts",
        kind=kind,
        classes=(),
        split_rule="",
        ood_source="",
        contradictions=(),
        warnings=(),
        examples=pl.DataFrame(columns),
        removed=pl.DataFrame(schema=REMOVED_SCHEMA),
        output_schema=SCHEMA if kind is OutputKind.FIELDS else None,
        template=TEMPLATE,
    )


def test_the_ladder_goes_by_the_kind_of_output() -> None:
    assert ladder(OutputKind.LABEL, ("auto",)).students == ("linear", "encoder")
    assert ladder(OutputKind.FIELDS, ("auto",)).students == ("lm",)
    assert ladder(OutputKind.TEXT, ("auto",)).students == ("lm",)
    for kind in (OutputKind.LABEL, OutputKind.FIELDS, OutputKind.TEXT):
        assert all(kind in STUDENTS[name].kinds for name in ladder(kind, ("auto",)).students)


def test_students_that_cannot_learn_a_kind_are_left_out_with_a_word() -> None:
    found = ladder(OutputKind.FIELDS, ("linear", "encoder", "lm"))
    assert found.students == ("lm",)
    assert [word for word in found.left_out if "'linear'" in word and "'fields'" in word]
    assert ladder(OutputKind.LABEL, ("linear", "encoder", "lm")).left_out == ()


def test_asked_for_by_name_they_are_refused() -> None:
    with pytest.raises(BadInput, match=r"'linear' cannot learn .*'fields'.*Students for it: lm"):
        ladder(OutputKind.FIELDS, ("linear", "lm"), asked=True)
    with pytest.raises(BadInput, match="'encoder' cannot learn"):
        ladder(OutputKind.TEXT, ("encoder",))  # nothing would be left
    with pytest.raises(BadInput, match="'page'"):
        ladder(OutputKind.PAGE, ("auto",))


def test_train_refuses_before_it_touches_the_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'linear' cannot learn"):
        train(dataset(OutputKind.FIELDS, ['{"total": "1"}']), "linear", tmp_path / "w", TrainSettings(), seed=0)
    assert not (tmp_path / "w").exists()


def test_a_student_is_told_the_task() -> None:
    task = task_of(dataset(OutputKind.FIELDS, ['{"total": "1"}']))
    assert (task.kind, task.output_schema, task.template) == (OutputKind.FIELDS, SCHEMA, TEMPLATE)


def test_empty_outputs_are_refused_with_their_number() -> None:
    with pytest.raises(NotEnoughData, match=r"2 of 3 examples in the train split of 'receipts' have an empty output"):
        labelled(dataset(OutputKind.TEXT, ["a", "", "  "]), "train")
    with pytest.raises(NotEnoughData, match="tune split"):
        labelled(dataset(OutputKind.TEXT, ["a"]), "tune")


def test_names_of_students_are_checked() -> None:
    assert TrainSettings(students=("linear", "lm")).students == ("linear", "lm")
    with pytest.raises(ValueError, match="no student is called 'auto'"):
        TrainSettings(students=("auto", "linear"))
    with pytest.raises(ValueError, match="no student is called 'nemo'"):
        TrainSettings(students=("nemo",))


def test_a_licence_shapes_nothing_that_is_made() -> None:
    settings, agreed = TrainSettings(), LmSettings(accepted_licences=("gemma",))
    assert settings.of_student("lm", LmSettings()) == settings.of_student("lm", agreed)
    assert settings.of_student("lm", LmSettings(epochs=9)) != settings.of_student("lm", agreed)
    assert settings.options("lm", agreed)["accepted_licences"] == "gemma"
    assert settings.of_student("linear", LmSettings(epochs=9)) == settings.of_student("linear")


def test_a_label_task_is_trained_as_before(tmp_path: Path) -> None:
    words = ["red", "blue"] * 12
    frame = dataset(OutputKind.LABEL, words).examples
    frame = frame.with_columns(
        pl.Series("input", [f"{word} thing {i % 5}" for i, word in enumerate(words)]),
        pl.Series("split", ["tune" if i % 3 == 0 else "train" for i in range(len(words))]),
    )
    made = dataset(OutputKind.LABEL, words)
    made = Dataset(**{**vars(made), "examples": frame, "classes": ("blue", "red")})
    specialist = train(made, "linear", tmp_path / "w", TrainSettings(curve_students=()), seed=0)
    assert (specialist.card.kind, specialist.card.language_model) == (OutputKind.LABEL, None)
    assert specialist.card.tune_accuracy.value == 1.0
    assert not math.isnan(specialist.card.tune_accuracy.low)


def test_a_tune_split_that_the_view_cannot_read_has_no_accuracy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VIEWS, "meters", Meters())
    read = make_readings(40, 0)
    made = dataset(OutputKind.LABEL, [*read.labels, read.labels[0]])
    splits = pl.Series("split", [*["train"] * 40, "tune"])
    frame = made.examples.with_columns(pl.Series("input", [*read.inputs, "hello"]), splits)
    made = replace(made, examples=frame, classes=tuple(sorted(set(read.labels))))
    specialist = train(made, "trees", tmp_path / "w", TrainSettings(view="meters", curve_students=()), seed=0)
    told = specialist.card.tune_accuracy
    assert (specialist.card.n_tune, told.n, told.low, told.high) == (0, 0, 0.0, 1.0)
    assert math.isnan(told.value)


def test_rationales_go_with_their_examples() -> None:
    plain = dataset(OutputKind.LABEL, ["a", "b"])
    assert labelled(plain, "train").rationales is None
    reasoned = plain.examples.with_columns(rationale=pl.Series(["since", None], dtype=pl.String))
    assert labelled(replace(plain, examples=reasoned), "train").rationales == ("since", None)
    older = plain.examples.drop("rationale")
    assert labelled(replace(plain, examples=older), "train").rationales is None
