"""Evaluation: specialists and generalist side by side on the same items, with intervals and verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal

import polars as pl
from pydantic import ConfigDict

from metier.artefacts.estimates import Estimate, Score


class Verdict(StrEnum):
    SUPERIOR = "superior"
    NON_INFERIOR = "non-inferior"
    INFERIOR = "inferior"
    NOT_PROVEN = "not proven"


@dataclass(frozen=True)
class Latency:
    """Seconds per single answer over `n` answers asked one at a time; NaN where it was not measured."""

    p50_s: Score
    p95_s: Score
    p99_s: Score
    n: int
    condition: str = ""


@dataclass(frozen=True)
class Confusion:
    """`n` items of class `truth` were answered `answer`; `share` is n over the items of that class."""

    truth: str
    answer: str
    n: int
    share: float


@dataclass(frozen=True)
class OodScore:
    """How well the ood score tells inputs from elsewhere: area under the ROC curve, and the share of out-of-distribution
    inputs still let through when 95% of in-distribution inputs are."""

    auroc: Estimate
    fpr_at_95_tpr: Estimate
    n_in: int
    n_out: int


@dataclass(frozen=True)
class CandidateScore:
    """One candidate on the test split. Failures (timeouts, errors, answers outside the label set) count as wrong and are
    in `n_failed`; items never asked (budget reached) are in `n_not_asked` and in no score."""

    name: str
    role: Literal["specialist", "generalist"]
    n: int
    n_failed: int
    n_not_asked: int
    accuracy: Estimate
    macro_f1: Estimate
    latency: Latency
    input_tokens_mean: Score
    output_tokens_mean: Score
    cost_usd_per_1000: Score
    expected_calibration_error: Score
    ood: OodScore | None
    confusions: tuple[Confusion, ...]
    failures: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Comparison:
    """A specialist against the generalist on the items that both were asked (paired).

    `difference` is accuracy(specialist) - accuracy(generalist). P-values are Holm-adjusted over all candidates where the
    name says so. `items_to_settle` is the number of test items that would settle an unproven verdict with 80% power at
    the discordance seen; None where the verdict stands.
    """

    specialist: str
    generalist: str
    n: int
    margin: float
    alpha: float
    difference: Estimate
    n_only_specialist_right: int
    n_only_generalist_right: int
    p_mcnemar: Score
    p_non_inferior: Score
    p_non_inferior_holm: Score
    p_superior_holm: Score
    p_inferior_holm: Score
    verdict: Verdict
    items_to_settle: int | None
    note: str = ""


@dataclass(frozen=True)
class Evaluation:
    """`truth` says what "correct" was judged against: human, teacher, simulator, feedback, or a mix with shares.

    `champion` is the cheapest specialist that is non-inferior to the generalist (the most accurate one where no
    generalist was configured), None where none is. `answers` has one row per candidate and item: candidate, id, split
    (test or ood), output, answer, correct, score, ood_score, latency_s, failure.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(arbitrary_types_allowed=True)

    task_id: str
    task_name: str
    truth: str
    n_test: int
    n_ood: int
    candidates: tuple[CandidateScore, ...]
    comparisons: tuple[Comparison, ...]
    champion: str | None
    summary: str
    answers: pl.DataFrame


ANSWER_SCHEMA = pl.Schema(
    {
        "candidate": pl.String(),
        "id": pl.String(),
        "split": pl.String(),
        "output": pl.String(),
        "answer": pl.String(),
        "correct": pl.Boolean(),
        "score": pl.Float64(),
        "ood_score": pl.Float64(),
        "latency_s": pl.Float64(),
        "failure": pl.String(),
    }
)
