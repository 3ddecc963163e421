"""What each candidate answered to the test and ood items: specialists in exported form, the generalist as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.artefacts.evaluations import Latency
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import OutputKind, Template
from metier.evaluation import asking
from metier.evaluation.reading import NOT_A_LABEL, Read, Reader, reader_of
from metier.generalists import Generalist, GeneralistAnswer, Question, Recorded
from metier.generalists.prices import list_price
from metier.metrics.correctness import is_correct
from metier.progress import Progress

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

__all__ = ["NOT_A_LABEL", "CandidateAnswers", "Job", "answer_with_generalist", "answer_with_specialist"]


@dataclass(frozen=True)
class Job:
    """What every candidate is asked for: the kind of output, the labels (`label` tasks) or the JSON Schema (`fields`) that
    an answer must fit, and the prompt that the task has in the traffic."""

    kind: OutputKind = OutputKind.LABEL
    labels: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    template: Template | None = None

    @property
    def reader(self) -> Reader:
        """How an answer is read."""
        return reader_of(self.kind, self.labels, self.schema)


@dataclass(frozen=True)
class CandidateAnswers:
    """One candidate's answers to n test items and m ood items.

    `answers` (n,) holds what is judged (labels, records as canonical JSON, texts), None beside a `failures` entry;
    `written` (n,) what was written, failures included, where the output is no label. `asked` (n,) is False where nothing
    was asked. `scores` (n,), `ood_scores` (n,) and `ood_scores_out` (m,) are None for generalists, `ood_answers` (m,) too.
    """

    name: str
    role: Literal["specialist", "generalist"]
    answers: tuple[str | None, ...]
    failures: tuple[str | None, ...]
    asked: BoolArray
    latency_s: FloatArray
    latency: Latency
    input_tokens_mean: float
    output_tokens_mean: float
    cost_usd_per_1000: float
    scores: FloatArray | None = None
    ood_scores: FloatArray | None = None
    ood_answers: tuple[str, ...] = ()
    ood_answer_scores: FloatArray | None = None
    ood_scores_out: FloatArray | None = None
    model: str = ""
    written: tuple[str | None, ...] = ()

    def correct(self, outputs: Sequence[str], kind: OutputKind = OutputKind.LABEL) -> BoolArray:
        """(n,) whether each answer is right for its kind of output (`metrics.correctness`); failures are wrong."""
        return np.array(
            [is_correct(kind, given, wanted) for given, wanted in zip(self.answers, outputs, strict=True)],
            dtype=np.bool_,
        )

    @property
    def shown(self) -> tuple[str | None, ...]:
        """(n,) what people see: the answer, or what was written where that is no answer."""
        return tuple(a if a is not None else w for a, w in zip(self.answers, self.written or self.answers, strict=True))


def answer_with_specialist(
    specialist: Specialist,
    test: Sequence[str],
    ood: Sequence[str],
    *,
    job: Job,
    n_latency: int,
    latency_budget_s: float,
    core_usd_per_hour: float,
    seed: int,
    clock: Callable[[], float],
    progress: Progress,
) -> CandidateAnswers:
    """Load the exported student, answer every item in batches, then a sample one at a time against the clock."""
    name = specialist.card.student
    with asking.loaded(specialist) as predictor:
        small = asking.writes(specialist)
        answers = asking.ask(predictor, [*test, *ood], small=small, description=f"Asking {name}", progress=progress)
        latency_s = asking.time_one_by_one(
            predictor,
            test,
            n_sample=n_latency,
            budget_s=latency_budget_s,
            seed=seed,
            clock=clock,
            description=f"Timing {name}",
            progress=progress,
        )
        condition, n_cores = asking.condition_of(predictor), asking.cores_of(predictor)
    n = len(test)
    written = tuple(str(label) for label in answers.labels)
    failed = answers.failures or (None,) * len(written)
    read = _read_student(written[:n], failed[:n], job)
    measured = latency_s[~np.isnan(latency_s)]
    hours = float(measured.mean()) / 3600 * n_cores if len(measured) else math.nan
    return CandidateAnswers(
        name=name,
        role="specialist",
        answers=tuple(answer for answer, _ in read),
        failures=tuple(failure for _, failure in read),
        asked=np.ones(n, dtype=np.bool_),
        latency_s=latency_s,
        latency=summarise_latency(measured, condition),
        input_tokens_mean=_mean_count(answers.input_tokens, n),
        output_tokens_mean=_mean_count(answers.output_tokens, n),
        cost_usd_per_1000=1000 * hours * core_usd_per_hour,
        scores=np.asarray(answers.scores[:n], dtype=np.float64),
        ood_scores=np.asarray(answers.ood_scores[:n], dtype=np.float64),
        ood_answers=written[n:],
        ood_answer_scores=np.asarray(answers.scores[n:], dtype=np.float64),
        ood_scores_out=np.asarray(answers.ood_scores[n:], dtype=np.float64),
        written=() if job.kind is OutputKind.LABEL else written[:n],
    )


def answer_with_generalist(
    generalist: Generalist, frame: pl.DataFrame, job: Job, *, seed: int, progress: Progress
) -> CandidateAnswers:
    """Ask about every test item, in an order drawn by the seed: a budget that ends early then leaves a random sample."""
    questions = [_question(row, job) for row in frame.iter_rows(named=True)]
    order = np.random.default_rng(seed).permutation(len(questions))
    shuffled = generalist.answer([questions[place] for place in order], progress=progress)
    replies: list[GeneralistAnswer] = [shuffled[place] for place in np.argsort(order)]
    reader = job.reader
    read = [_read_reply(reply, reader) for reply in replies]
    latency_s = _column([reply.latency_s for reply in replies])
    return CandidateAnswers(
        name=generalist.name,
        role="generalist",
        answers=tuple(answer for answer, _ in read),
        failures=tuple(failure for _, failure in read),
        asked=np.array([reply.asked for reply in replies], dtype=np.bool_),
        latency_s=latency_s,
        latency=summarise_latency(latency_s[~np.isnan(latency_s)], generalist.condition),
        input_tokens_mean=_mean([reply.input_tokens for reply in replies]),
        output_tokens_mean=_mean([reply.output_tokens for reply in replies]),
        cost_usd_per_1000=1000 * _mean([_cost(reply, generalist.model) for reply in replies if reply.asked]),
        model=generalist.model,
        written=() if job.kind is OutputKind.LABEL else tuple(reply.text for reply in replies),
    )


def summarise_latency(seconds: FloatArray, condition: str) -> Latency:
    """Percentiles of `seconds` (n,); NaN where nothing was measured."""
    if not len(seconds):
        return Latency(math.nan, math.nan, math.nan, 0, "not measured")
    p50, p95, p99 = (float(value) for value in np.percentile(seconds, (50, 95, 99)))
    return Latency(p50, p95, p99, len(seconds), condition)


def _read_student(written: Sequence[str], failed: Sequence[str | None], job: Job) -> list[Read]:
    """A student's labels are its own classes and need no reading; what it writes is read like everybody's."""
    if job.kind is OutputKind.LABEL:
        return [(None, failure) if failure else (text, None) for text, failure in zip(written, failed, strict=True)]
    read = job.reader
    return [(None, failure) if failure else read(text) for text, failure in zip(written, failed, strict=True)]


def _read_reply(reply: GeneralistAnswer, read: Reader) -> Read:
    if reply.failure is not None or reply.text is None:
        return None, reply.failure
    return read(reply.text)


def _question(row: dict[str, object], job: Job) -> Question:
    recorded = None
    if row["recorded"] is not None:
        recorded = Recorded(
            str(row["recorded"]),
            row["input_tokens"],  # type: ignore[arg-type]
            row["output_tokens"],  # type: ignore[arg-type]
            row["latency_s"],  # type: ignore[arg-type]
            row["cost_usd"],  # type: ignore[arg-type]
        )
    return Question(
        str(row["id"]), str(row["input"]), job.labels, job.template, recorded, kind=job.kind, output_schema=job.schema
    )


def _cost(reply: GeneralistAnswer, model: str) -> float | None:
    """What the answer cost, from the list price where the log has tokens but no cost."""
    if reply.cost_usd is not None and not math.isnan(reply.cost_usd):
        return reply.cost_usd
    price = list_price(model)
    if price is None or reply.input_tokens is None or reply.output_tokens is None:
        return None
    return price.cost_usd(reply.input_tokens, reply.output_tokens)


def _mean(values: Sequence[float | None]) -> float:
    known = _column(values)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else math.nan


def _mean_count(counts: NDArray[np.int64] | None, n: int) -> float:
    return float(counts[:n].mean()) if counts is not None and n else math.nan


def _column(values: Sequence[float | None]) -> FloatArray:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
