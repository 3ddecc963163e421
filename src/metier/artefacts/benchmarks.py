"""Benchmark: specialists on a public benchmark that they have never seen, beside what is published about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl
from pydantic import ConfigDict

from metier.artefacts.estimates import Estimate, Score
from metier.artefacts.evaluations import Confusion, Latency


@dataclass(frozen=True)
class PublishedResult:
    """An accuracy that somebody else has published. `form` is that of the questions ("standard", "randomised"); `accuracy`
    has an interval where the number of questions is published too (its n, else 0 and NaN bounds). `ahead` is our best
    specialist's accuracy on questions of that form minus this one, with an interval for two independent samples, NaN where
    there is none."""

    name: str
    form: str
    accuracy: Estimate
    ahead: Estimate
    source: str


@dataclass(frozen=True)
class CauseScore:
    """One cause over the `n` questions whose truth it is: the share answered right, and the share right of the
    `n_answered` answers that name it. Where a question's options are called otherwise, its answers are read as causes."""

    cause: str
    n: int
    recall: Estimate
    n_answered: int
    precision: Score


@dataclass(frozen=True)
class KeptScore:
    """What the policy would keep of the answers, under a certificate of at most `alpha` wrong among the kept with
    confidence 1 - `delta`: the share kept, the share escalated, and the share wrong of the `n_kept` (NaN without any)."""

    alpha: float
    delta: float
    threshold: float
    n_kept: int
    coverage: Estimate
    escalated: Score
    error: Estimate


@dataclass(frozen=True)
class FormScore:
    """A specialist on `n` questions of one form about `n_clusters` distinct drive windows.

    `pass_at_1` is the mean over samples of the share right, softly (first integers are equal); `exact` the same letter by
    letter; `majority` the share right by majority over the samples. `n_unboxed` counts answers (over all samples) without a
    box, `n_failed` those that are none; both are wrong. Intervals are of a bootstrap over windows. `confusions` has every
    pair of cause and answer that occurred, right ones too.
    """

    form: str
    n: int
    n_clusters: int
    pass_at_1: Estimate
    exact: Estimate
    majority: Estimate
    n_unboxed: int
    n_failed: int
    causes: tuple[CauseScore, ...]
    confusions: tuple[Confusion, ...]
    kept: KeptScore | None


@dataclass(frozen=True)
class Overlap:
    """Of `n_windows` distinct drive windows of the file, `n_near` have at least `near_share` of their rows in one of the
    `n_training` windows that the specialist was made from, all measured values within a tolerance. `largest_share` is the
    most that any window has there; NaN where nothing could be compared."""

    n_windows: int
    n_training: int
    n_near: int
    near_share: float
    largest_share: Score


@dataclass(frozen=True)
class Contestant:
    """One specialist on the benchmark. `forms` begins with all questions ("all"). `n_samples` says how many answers each
    question got; `is_deterministic` that more would be the same. `latency` is of single answers and `answers_per_s` of
    batches, both with the reading of the input. `failures` lists why answers are none, most frequent first. `kept_note`
    says why nothing is said about kept answers."""

    name: str
    specialist_id: str
    n_samples: int
    is_deterministic: bool
    forms: tuple[FormScore, ...]
    latency: Latency
    answers_per_s: Score
    failures: tuple[tuple[str, int], ...]
    overlap: Overlap
    kept_note: str = ""


@dataclass(frozen=True)
class SetAsideCount:
    """`n` records of the file were not scored for one reason; `places` names the first of them."""

    reason: str
    n: int
    places: tuple[str, ...]


@dataclass(frozen=True)
class Benchmark:
    """Specialists on a benchmark's own file, which was neither copied nor trained on.

    `n_records` were in the file, `n` were scored, about `n_clusters` distinct drive windows; `set_aside` says what became
    of the others. `forms` counts questions by form. `answers` follows BENCHMARK_ANSWER_SCHEMA: one row per contestant,
    question and sample, without the question itself.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(arbitrary_types_allowed=True)

    benchmark: str
    task_name: str
    file: str
    sha256: str
    n_records: int
    n: int
    n_clusters: int
    forms: tuple[tuple[str, int], ...]
    set_aside: tuple[SetAsideCount, ...]
    contestants: tuple[Contestant, ...]
    published: tuple[PublishedResult, ...]
    notes: tuple[str, ...]
    summary: str
    answers: pl.DataFrame


BENCHMARK_ANSWER_SCHEMA = pl.Schema(
    {
        "contestant": pl.String(),
        "id": pl.String(),
        "sample": pl.Int64(),
        "form": pl.String(),
        "cluster": pl.String(),
        "truth": pl.String(),
        "answer": pl.String(),
        "cause": pl.String(),
        "answered_cause": pl.String(),
        "correct": pl.Boolean(),
        "exact": pl.Boolean(),
        "score": pl.Float64(),
        "ood_score": pl.Float64(),
        "kept": pl.Boolean(),
        "latency_s": pl.Float64(),
        "failure": pl.String(),
    }
)
