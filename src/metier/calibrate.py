"""calibrate: pick the score threshold, and give the certificate or say why it cannot be given."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from metier.artefacts.datasets import Dataset
from metier.artefacts.estimates import Estimate
from metier.artefacts.policies import NEVER_KEPT, Certificate, Policy, RiskPoint, gated_scores
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import OutputKind
from metier.errors import NotEnoughData
from metier.evaluation import asking
from metier.metrics.correctness import ACCEPTABLE_ROUGE_L, is_correct
from metier.metrics.generation import UNREADABLE
from metier.progress import Progress, silent
from metier.statistics import risk_control
from metier.statistics.intervals import Interval
from metier.students import Predictor

_CURVE_POINTS = 60
# What an answer is compared with, and what "wrong" means where the answer is no label.
_JUDGED = {
    OutputKind.LABEL: "labels",
    OutputKind.FIELDS: "records; an answer is wrong where any field differs after normalisation",
    OutputKind.TEXT: f"texts; an answer is wrong where its ROUGE-L F1 is below {ACCEPTABLE_ROUGE_L:g}",
    OutputKind.PAGE: "texts",
}


class CalibrateSettings(BaseModel):
    """Settings of calibrate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(0.05, gt=0, lt=1, description="Largest share of wrong answers among those kept.")
    delta: float = Field(
        0.05, gt=0, lt=1, description="Chance, over the draw of the calibration set, that alpha is exceeded."
    )
    ood_share: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Share of out-of-distribution inputs to expect; mixed into the calibration set, wrong when kept.",
    )
    in_distribution_kept: float = Field(
        0.995,
        gt=0.5,
        le=1,
        description="Share of the tune split's inputs that the out-of-distribution gate lets through.",
    )
    min_truth_items: int = Field(
        200,
        ge=1,
        description="Calibration items with a truth (not the teacher's answer) needed to certify against truth alone.",
    )
    horizon: int = Field(
        0, ge=0, description="Promise the next N items' kept error instead of the long run's (0: the long run)."
    )


def calibrate(
    specialist: Specialist,
    dataset: Dataset,
    settings: CalibrateSettings,
    *,
    specialist_id: str,
    seed: int,
    progress: Progress = silent,
) -> Policy:
    """The policy of one specialist on one dataset: learn then test (docs/statistics.md).

    The ood gate and the walk of thresholds are fixed on the tune split; only then is the calibration split looked at.
    Raises NotEnoughData where the calibration or tune split is empty.
    """
    tune = dataset.split("tune")
    judged = judged_items(dataset.split("calibration"), settings.min_truth_items)
    calibration = _mixed(judged, dataset.split("ood"), settings.ood_share, seed)
    if not tune.height or not calibration.height:
        raise NotEnoughData(f"{tune.height} tune and {calibration.height} calibration examples; curate more.")
    with asking.loaded(specialist) as predictor:
        tune_raw, tune_ood, tune_correct, was_read = _answer(
            specialist, predictor, dataset, tune, "Scoring the tune split", progress, held_out=True
        )
        # What could not be read is no ordinary input to be let through: it would open the gate to everything.
        inputs_read = tune_ood[was_read] if was_read.any() else tune_ood
        ood_threshold = float(np.quantile(inputs_read, settings.in_distribution_kept, method="higher"))
        scores, ood, correct, _ = _answer(
            specialist, predictor, dataset, calibration, "Scoring the calibration split", progress
        )
    gated = gated_scores(scores, ood, ood_threshold)
    n_units = calibration["group"].n_unique()
    inside = tune_ood <= ood_threshold
    tune_raw = np.nan_to_num(tune_raw, nan=0.0)  # a failed answer places thresholds as the least of scores
    alpha, delta = settings.alpha, settings.delta
    walk = risk_control.threshold_walk(tune_raw[inside], n_units, alpha=alpha, delta=delta)
    walk = risk_control.promising_part(walk, tune_raw[inside], tune_correct[inside], n_units, alpha=alpha, delta=delta)
    outcome = risk_control.certify(
        gated,
        correct,
        walk,
        alpha=settings.alpha,
        delta=settings.delta,
        groups=calibration["group"].to_numpy(),
        horizon=settings.horizon or None,
        seed=seed,
    )
    return Policy(
        task_id=dataset.task_id,
        task_name=dataset.task_name,
        student=specialist.card.student,
        specialist_id=specialist_id,
        certificate=_certificate(outcome, calibration, dataset, settings),
        ood_threshold=ood_threshold,
        base_risk=_estimate(outcome.feasibility.base_risk, len(gated)),
        min_escalated=outcome.feasibility.min_escalated,
        labels_needed=max(1, outcome.labels_needed - outcome.n) if outcome.labels_needed else None,
        reason=outcome.reason,
        curve=_curve(gated, correct),
    )


def judged_items(calibration: pl.DataFrame, min_truth_items: int) -> pl.DataFrame:
    """The items with a truth where there are enough of them, else all: the teacher's errors must not pass for the
    specialist's."""
    truth = calibration.filter(pl.col("provenance") != "teacher")
    return truth if truth.height >= min_truth_items else calibration


def _mixed(calibration: pl.DataFrame, ood: pl.DataFrame, ood_share: float, seed: int) -> pl.DataFrame:
    """Calibration items with as many ood inputs as make up `ood_share` of the whole, all there are at most.

    Counted in groups, because one item a group is what the certificate's test sees.
    """
    n_units = calibration["group"].n_unique()
    n_ood = min(ood.height, math.ceil(n_units * ood_share / (1 - ood_share)))
    return pl.concat([calibration, ood.sample(n_ood, seed=seed)])


def _answer(
    specialist: Specialist,
    predictor: Predictor,
    dataset: Dataset,
    frame: pl.DataFrame,
    description: str,
    progress: Progress,
    *,
    held_out: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Scores (NaN for answers that failed: never kept), ood scores, whether each answer is right for its kind of output (an
    ood input has no right answer), and whether the input could be read through the specialist's view."""
    answers = asking.ask(
        predictor,
        frame["input"].to_list(),
        small=asking.writes(specialist),
        description=description,
        progress=progress,
        held_out=held_out,
    )
    failures = answers.failures or (None,) * frame.height
    correct = [
        failure is None and is_correct(dataset.kind, str(given), wanted)
        for given, wanted, failure in zip(answers.labels, frame["output"], failures, strict=True)
    ]
    was_read = np.array([failure != UNREADABLE for failure in failures], dtype=np.bool_)
    return answers.gate_scores, answers.ood_scores, np.asarray(correct, dtype=np.bool_), was_read


def _certificate(
    outcome: risk_control.Certificate, calibration: pl.DataFrame, dataset: Dataset, settings: CalibrateSettings
) -> Certificate | None:
    if outcome.threshold is None:
        return None
    labelled = calibration.filter(pl.col("output").is_not_null())
    n_ood = calibration.height - labelled.height
    left_out = dataset.split("calibration").height - labelled.height
    chosen = f" (items with a truth; {left_out} with the teacher's answer alone left out)" if left_out else ""
    mixed = f" with {n_ood} out-of-distribution inputs of {calibration.height} mixed in" if n_ood else ""
    ahead = f"the next {settings.horizon} items" if settings.horizon else "the long run"
    return Certificate(
        alpha=outcome.alpha,
        delta=outcome.delta,
        n=outcome.n,
        n_kept=outcome.n_kept,
        n_wrong=outcome.n_errors,
        threshold=outcome.threshold,
        coverage=_estimate(outcome.coverage, outcome.n),
        risk=Estimate(
            outcome.n_errors / outcome.n_kept,
            0.0,
            outcome.risk_upper,
            outcome.n_kept,
            1 - outcome.delta,
            "clopper-pearson",
        ),
        judged_against=_provenance(labelled, dataset.kind),
        valid_for=(
            f"inputs drawn like the calibration split of task '{dataset.task_name}'{chosen}{mixed}, over {ahead}; "
            f"{outcome.assumption}. Drift voids it."
        ),
    )


def _provenance(labelled: pl.DataFrame, kind: OutputKind) -> str:
    counts = labelled["provenance"].value_counts(sort=True)
    total = labelled.height
    shares = ", ".join(f"{name} {count / total:.0%}" for name, count in counts.iter_rows())
    return f"{shares} {_JUDGED[kind]}"


def _estimate(interval: Interval, n: int) -> Estimate:
    return Estimate(interval.estimate, interval.lower, interval.upper, n, interval.level, interval.method)


def _curve(gated: NDArray[np.float64], correct: NDArray[np.bool_]) -> tuple[RiskPoint, ...]:
    """Coverage against risk at evenly spaced coverages of the calibration set: a description, not a test."""
    passing = np.sort(gated[gated > NEVER_KEPT])[::-1]
    if not len(passing):
        return ()
    places = np.unique(np.linspace(0, len(passing) - 1, min(_CURVE_POINTS, len(passing))).astype(int))
    points = []
    for threshold in np.unique(passing[places])[::-1]:
        kept = gated >= threshold
        points.append(RiskPoint(float(threshold), float(kept.mean()), float(1 - correct[kept].mean()), int(kept.sum())))
    return tuple(points)
