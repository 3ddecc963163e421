"""calibrate: the certificate from a trained specialist, its gate, and the honest refusals."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA, Dataset
from metier.artefacts.policies import NEVER_KEPT, Policy, gated_scores
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import OutputKind
from metier.calibrate import CalibrateSettings, calibrate
from metier.errors import NotEnoughData
from metier.evaluation import asking
from metier.predict import predict
from metier.students import Answers
from metier.train import TrainSettings, load, train

WORDS = {"red": "rose ruby brick cherry blood", "blue": "sky sea ink jeans steel", "green": "leaf moss pea lime frog"}
SIZES = {"train": 300, "tune": 150, "calibration": 400, "test": 60}


def make_dataset(noise: float, sizes: dict[str, int] = SIZES, n_ood: int = 60) -> Dataset:
    """Colour words in random order; a share `noise` of labels is random."""
    rng = random.Random(0)
    rows = []
    for split, n in sizes.items():
        for i in range(n):
            label = rng.choice(sorted(WORDS))
            text = " ".join([*rng.choices(WORDS[label].split(), k=3), str(rng.randrange(10000))])
            given = rng.choice(sorted(WORDS)) if rng.random() < noise else label
            rows.append({"id": f"{split}{i}", "input": text, "output": given, "provenance": "human", "split": split})
    for i in range(n_ood):
        text = f"{rng.randrange(99)} quarterly invoice {rng.choice(['overdue', 'paid', 'lost'])} zz{i}"
        rows.append({"id": f"ood{i}", "input": text, "output": None, "provenance": "human", "split": "ood"})
    frame = pl.DataFrame(rows).with_columns(group=pl.col("id"))
    frame = frame.match_to_schema(EXAMPLE_SCHEMA, missing_columns="insert")
    removed = pl.DataFrame(schema=REMOVED_SCHEMA)
    return Dataset(
        "t", "colours", OutputKind.LABEL, tuple(sorted(WORDS)), "random", "own", (), (), frame, removed
    )  # fmt: skip


@pytest.fixture(scope="module")
def clean() -> Dataset:
    return make_dataset(0.0)


@pytest.fixture(scope="module")
def specialist(clean: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Specialist:
    return train(clean, "linear", tmp_path_factory.mktemp("linear"), TrainSettings(), seed=0)


def policy_of(specialist: Specialist, dataset: Dataset, **settings: float) -> Policy:
    return calibrate(specialist, dataset, CalibrateSettings(**settings), specialist_id="s", seed=0)  # type: ignore[arg-type]


def test_a_good_specialist_gets_a_certificate_that_names_its_terms(specialist: Specialist, clean: Dataset) -> None:
    policy = policy_of(specialist, clean)
    certificate = policy.certificate
    assert certificate is not None
    # 400 items and the 22 ood inputs that make up 5% of 422.
    assert (certificate.n, certificate.alpha, certificate.delta) == (422, 0.05, 0.05)
    assert certificate.coverage.low <= certificate.coverage.value <= certificate.coverage.high
    assert certificate.risk.high <= 0.05
    assert certificate.judged_against == "human 100% labels"
    assert "22 out-of-distribution inputs of 422" in certificate.valid_for
    assert policy.labels_needed is None


def test_hopeless_labels_get_no_certificate_and_say_so(specialist: Specialist) -> None:
    policy = policy_of(specialist, make_dataset(0.6), alpha=0.05)
    assert policy.certificate is None
    assert policy.base_risk.value > 0.3
    assert policy.min_escalated == pytest.approx((policy.base_risk.value - 0.05) / 0.95)
    assert not policy.keeps(np.ones(3), np.full(3, -np.inf)).any()
    assert policy.reason


def test_too_few_labels_say_how_many_are_needed(specialist: Specialist) -> None:
    few = make_dataset(0.0, {**SIZES, "calibration": 30})
    policy = policy_of(specialist, few, ood_share=0.0)
    # (1 - 0.05)^58 > 0.05 >= (1 - 0.05)^59: no 30 answers can pass, however right.
    assert policy.certificate is None
    assert policy.labels_needed is not None
    assert policy.labels_needed >= 59 - 30


def test_answers_from_before_the_tune_split_was_learnt_from_place_the_thresholds(
    specialist: Specialist, clean: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune = set(clean.split("tune")["input"])

    class Learnt:
        """Sure of all that it has learnt from, the tune split too; it keeps what it said there before."""

        def __init__(self) -> None:
            self.inner, self.held, self.asked = load(specialist), list[str](), list[str]()
            self.classes_ = self.inner.classes_

        def predict(self, inputs: Sequence[str]) -> Answers:
            self.asked += inputs
            answers = self.inner.predict(inputs)
            is_sure = [text in tune for text in inputs]
            return replace(answers, scores=np.where(is_sure, 1.0, answers.scores))

        def predict_held_out(self, inputs: Sequence[str]) -> Answers:
            self.held += inputs
            return self.inner.predict(inputs)

    learnt = Learnt()
    before = policy_of(specialist, clean)
    monkeypatch.setattr(asking, "loaded", lambda _: nullcontext(learnt))
    assert policy_of(specialist, clean) == before
    assert set(learnt.held) == tune
    assert not set(learnt.asked) & tune


def test_the_teachers_errors_do_not_pass_for_the_specialists(specialist: Specialist, clean: Dataset) -> None:
    # Half of the calibration labels are the teacher's, and all of those are wrong.
    teacher = (pl.col("split") == "calibration") & (pl.int_range(pl.len()) % 2 == 0)
    examples = clean.examples.with_columns(
        provenance=pl.when(teacher).then(pl.lit("teacher")).otherwise(pl.col("provenance")),
        output=pl.when(teacher).then(pl.lit("wrong")).otherwise(pl.col("output")),
    )
    mixed = replace(clean, examples=examples)
    certificate = policy_of(specialist, mixed, min_truth_items=150).certificate
    assert certificate is not None
    assert certificate.judged_against == "human 100% labels"
    assert "200 with the teacher's answer alone left out" in certificate.valid_for
    assert policy_of(specialist, mixed, min_truth_items=201).certificate is None


def test_ood_inputs_are_mixed_in_by_the_group(specialist: Specialist, clean: Dataset) -> None:
    # 400 items in 100 groups: 5% of foreign units beside them are ceil(100 x 0.05 / 0.95) = 6, not 22.
    four = pl.format("g{}", pl.int_range(pl.len()) // 4)
    split = pl.col("split") == "calibration"
    grouped = replace(clean, examples=clean.examples.with_columns(group=pl.when(split).then(four).otherwise("group")))
    certificate = policy_of(specialist, grouped, alpha=0.1).certificate
    assert certificate is not None
    assert "6 out-of-distribution inputs of 4" in certificate.valid_for
    assert certificate.n <= 101 + 6 + 1


def test_an_empty_split_is_refused(specialist: Specialist) -> None:
    with pytest.raises(NotEnoughData, match="0 calibration examples"):
        policy_of(specialist, make_dataset(0.0, {"train": 9, "tune": 9, "test": 9}), ood_share=0.0)


def test_the_gate_beats_any_score() -> None:
    scores = gated_scores(np.array([0.9, 0.9, np.nan]), np.array([0.1, 0.3, 0.1]), 0.2)
    assert scores.tolist() == [0.9, NEVER_KEPT, NEVER_KEPT]


def test_predict_keeps_its_own_and_escalates_the_foreign(specialist: Specialist, clean: Dataset) -> None:
    policy = policy_of(specialist, clean)
    answers = predict(load(specialist), policy, ["rose ruby brick 12", "overdue zz1 quarterly"])
    assert answers["label"][0] == "red"
    assert answers["decision"].to_list() == ["kept", "escalate"]
    without = predict(load(specialist), None, ["rose ruby brick 12"])
    assert (without["decision"][0], without["reason"][0]) == ("escalate", "no policy: run calibrate first")


def test_the_learning_curve_forecasts_with_its_range(specialist: Specialist, tmp_path: Path) -> None:
    noisy = make_dataset(0.3)
    trained = train(noisy, "linear", tmp_path / "w", TrainSettings(), seed=0)
    curve = trained.learning_curve
    assert curve is not None
    sizes = [point.n_train for point in curve.points]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 300
    assert all(0 <= point.error <= 1 and point.n_tune == 150 for point in curve.points)
    # Labels that are wrong 20% of the time put a floor under the error: half of it cannot be reached, and it says so.
    assert any(word in curve.note for word in ("not reachable", "beyond extrapolation range"))
    assert train(noisy, "linear", tmp_path / "v", TrainSettings(curve_students=()), seed=0).learning_curve is None
