"""A task with a view from dataset to report: trained, evaluated, calibrated, predicted and shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from tests.students.trees.meters import CLASSES, Meters, make_readings

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA, Dataset
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import OutputKind
from metier.calibrate import CalibrateSettings, calibrate
from metier.errors import BadInput
from metier.evaluate import EvaluateSettings, evaluate
from metier.pages.console import specialist_table
from metier.pages.inputs import ReportInputs
from metier.pages.report import report
from metier.pages.schema import report_schema, stored_schema
from metier.predict import predict
from metier.train import TrainSettings, ladder, load, shaped_by, train, view_of, view_of_student
from metier.views import VIEWS

SIZES = {"train": 300, "tune": 120, "calibration": 200, "test": 120}
OTHERS = ("hello there", "what is my balance", "meter reading of what?", "load", "flow")
SETTINGS = TrainSettings(curve_students=())


def dataset(fits: bool = True, n_unreadable: int = 0) -> Dataset:
    rows = []
    for seed, (split, n) in enumerate(SIZES.items()):
        texts = make_readings(n, seed)
        rows += [(text, label, split) for text, label in zip(texts.inputs, texts.labels, strict=True)]
        rows += [(f"broken {split} {i}", "calm", split) for i in range(n_unreadable)]
    if not fits:
        rows = [(text.replace("meter reading", "something"), label, split) for text, label, split in rows]
    rows += [(text, None, "ood") for text in OTHERS]
    texts, outputs, splits = zip(*rows, strict=True)
    columns = {
        "id": [f"i{place}" for place in range(len(rows))],
        "input": texts,
        "output": outputs,
        "provenance": ["human"] * len(rows),
        "group": [f"g{place}" for place in range(len(rows))],
        "split": splits,
    }
    frame = pl.DataFrame(
        [pl.Series(name, columns.get(name, [None] * len(rows)), dtype) for name, dtype in EXAMPLE_SCHEMA.items()]
    )
    return Dataset(
        "task", "meters", OutputKind.LABEL, CLASSES, "random", "some", (), (), frame, pl.DataFrame(schema=REMOVED_SCHEMA)
    )  # fmt: skip


@pytest.fixture
def specialist(tmp_path: Path) -> Specialist:
    return train(dataset(), "trees", tmp_path / "trees", SETTINGS, seed=0)


def test_the_view_is_found_by_its_inputs(meters: Meters) -> None:
    assert view_of(dataset(), TrainSettings()) is meters
    assert view_of(dataset(fits=False), TrainSettings()) is None
    assert view_of(dataset(n_unreadable=10), TrainSettings()) is meters  # 10 of 310
    assert view_of(dataset(n_unreadable=20), TrainSettings()) is None  # 20 of 320, more than 5%
    assert view_of(dataset(), TrainSettings(view="none")) is None
    assert view_of(dataset(fits=False), TrainSettings(view="meters")) is meters
    assert view_of_student("linear", meters) is None
    assert view_of_student("trees", meters) is view_of_student("lm", meters) is meters
    with pytest.raises(ValueError, match=r"no view is called 'teapot'; there are: auto, none, .*meters"):
        TrainSettings(view="teapot")


def test_labels_that_inputs_do_not_offer_are_not_this_views(meters: Meters) -> None:
    named = make_readings(50, 0, {"surge": "1", "calm": "2", "leak": "3"})
    made = dataset()
    frame = made.examples.head(50).with_columns(pl.Series("input", named.inputs), output=pl.lit("no"))
    other = Dataset(**{**vars(made), "examples": frame})
    assert view_of(other, TrainSettings()) is None


def test_the_ladder_of_a_task_with_a_view() -> None:
    found = ladder(OutputKind.LABEL, ("auto",), view="meters")
    assert found.students == ("linear", "trees")
    assert len(found.left_out) == 1
    assert "'encoder'" in found.left_out[0]
    assert "'meters' reads all of it" in found.left_out[0]
    assert ladder(OutputKind.LABEL, ("linear", "encoder"), asked=True, view="meters").students == ("linear", "encoder")
    assert ladder(OutputKind.LABEL, ("auto",)).students == ("linear", "encoder")
    assert ladder(OutputKind.FIELDS, ("auto",), view="meters").students == ("lm",)
    assert ladder(OutputKind.LABEL, ("linear", "trees")).students == ("linear",)
    with pytest.raises(
        BadInput, match=r"'trees' learns from the numbers of a view.*Students for it: linear, encoder, lm"
    ):
        ladder(OutputKind.LABEL, ("trees",), asked=True)


def test_the_view_shapes_what_is_trained_through_it(meters: Meters) -> None:
    assert shaped_by(meters)["name"] == "meters"
    assert set(shaped_by(meters)) == {"name", "version", "sha256"}


def test_from_dataset_to_report(specialist: Specialist, tmp_path: Path) -> None:
    made = dataset()
    assert specialist.card.view is not None
    assert specialist.card.view.name == "meters"
    linear = train(made, "linear", tmp_path / "linear", SETTINGS, seed=0)
    assert linear.card.view is None
    evaluation = evaluate([linear, specialist], None, made, EvaluateSettings(n_latency=5), seed=0)
    ours = next(one for one in evaluation.candidates if one.name == "trees")
    assert ours.accuracy.value >= 0.95
    assert ours.n_failed == 0
    assert ours.ood is not None
    assert ours.ood.auroc.value == 1.0  # nothing that is no reading can be read
    policy = calibrate(specialist, made, CalibrateSettings(alpha=0.1), specialist_id="s", seed=0)
    assert policy.certificate is not None
    found = predict(load(specialist), policy, [*make_readings(40, 9).inputs, *OTHERS])
    assert found["decision"].to_list().count("kept") >= 30
    assert found["reason"].to_list()[40:] == ["no answer: unreadable"] * len(OTHERS)
    assert found["label"].to_list()[40:] == [None] * len(OTHERS)

    inputs = ReportInputs("task", "meters", dataset=made, specialists=(linear, specialist), evaluation=evaluation)
    page = report(inputs, time="2026-11-21T22:40:00Z")
    for part in (
        "What the specialist reads",
        "version 1 (sha256",
        "The classical baselines",
        "what flows, absent where",
    ):
        assert part in page.html
    stored = json.loads(page.json())["specialists"][1]["card"]["view"]
    assert (stored["name"], stored["features"][0]["unit"]) == ("meters", "kW")
    assert report_schema() == stored_schema()
    alone = report(ReportInputs("task", "meters", dataset=made, specialists=(specialist,)), time="2026-11-21T22:40:00Z")
    assert "metier train --students linear meters" in alone.html
    assert "metier evaluate meters" in alone.html
    without = report(ReportInputs("task", "meters", dataset=made, specialists=(linear,)), time="2026-11-21T22:40:00Z")
    assert "What the specialist reads" not in without.html


def test_the_terminal_names_the_view(specialist: Specialist) -> None:
    console = Console(width=160, no_color=True)
    with console.capture() as captured:
        console.print(specialist_table(specialist))
    assert "trees reads the view meters, version 1 (sha256" in captured.get()


def test_what_cannot_be_read_does_not_open_the_gate(tmp_path: Path) -> None:
    made = dataset(n_unreadable=6)
    specialist = train(made, "trees", tmp_path / "t", SETTINGS, seed=0)
    assert any("6 of 306 train examples were left out" in note for note in specialist.card.notes)
    policy = calibrate(specialist, made, CalibrateSettings(alpha=0.1), specialist_id="s", seed=0)
    assert policy.ood_threshold < 100
    far = make_readings(1, 4).inputs[0].replace("heat: ", "heat: 9999999")
    assert predict(load(specialist), policy, [far])["reason"].to_list() == ["out of distribution"]
    evaluation = evaluate([specialist], None, made, EvaluateSettings(n_latency=2), seed=0)
    assert evaluation.candidates[0].failures == (("unreadable", 6),)


def test_labels_that_are_names_of_choices_are_not_called_unseen(specialist: Specialist) -> None:
    made = dataset()
    renamed = make_readings(120, 3, {"surge": "1", "calm": "2", "leak": "3"})
    test = made.examples.filter(pl.col("split") == "test").with_columns(
        pl.Series("input", renamed.inputs), pl.Series("output", renamed.labels)
    )
    other = Dataset(**{**vars(made), "examples": test})
    evaluation = evaluate([specialist], None, other, EvaluateSettings(n_latency=2), seed=0)
    assert evaluation.candidates[0].accuracy.value >= 0.95
    assert evaluation.unseen_labels == ()
    assert not any("never occur in training" in note for note in evaluation.notes)


def test_the_registry_keeps_its_own_views() -> None:
    assert VIEWS["telelogs"].name == "telelogs"
    assert np.isfinite(VIEWS["telelogs"].version)
