"""What each candidate answered to the test and ood items: specialists in exported form, the generalist as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.artefacts.evaluations import Latency
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import Template
from metier.generalists import Generalist, GeneralistAnswer, Question, Recorded
from metier.generalists.normalise import LabelReader
from metier.generalists.prices import list_price
from metier.progress import Progress
from metier.students import STUDENTS, Predictor

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

NOT_A_LABEL = "not a label"
_BATCH = 1024  # items between two words to the progress
# The first answers pay for caches and lazy set-up that a running service has behind it.
_WARM_UP = 5


@dataclass(frozen=True)
class CandidateAnswers:
    """One candidate's answers to n test items and m ood items.

    `answers` (n,) holds labels, None beside a `failures` entry; `asked` (n,) is False where nothing was asked. `scores`
    (n,), `ood_scores` (n,) and `ood_scores_out` (m,) are None for generalists, `ood_answers` (m,) too.
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

    def correct(self, outputs: Sequence[str]) -> BoolArray:
        """(n,) whether each answer equals the label; failures are wrong."""
        return np.array([given == wanted for given, wanted in zip(self.answers, outputs, strict=True)], dtype=np.bool_)


def answer_with_specialist(
    specialist: Specialist,
    test: Sequence[str],
    ood: Sequence[str],
    *,
    n_latency: int,
    core_usd_per_hour: float,
    seed: int,
    clock: Callable[[], float],
    progress: Progress,
) -> CandidateAnswers:
    """Load the exported student, answer every item in batches, then a sample one at a time against the clock."""
    name = specialist.card.student
    predictor = STUDENTS[name].load(specialist.folder)
    labels, scores, ood_scores = _predict(predictor, [*test, *ood], f"Asking {name}", progress)
    n = len(test)
    latency_s = _time_one_by_one(predictor, test, n_latency, seed, clock, f"Timing {name}", progress)
    measured = latency_s[~np.isnan(latency_s)]
    cost = float(measured.mean()) * 1000 / 3600 * core_usd_per_hour if len(measured) else math.nan
    return CandidateAnswers(
        name=name,
        role="specialist",
        answers=tuple(labels[:n]),
        failures=(None,) * n,
        asked=np.ones(n, dtype=np.bool_),
        latency_s=latency_s,
        latency=summarise_latency(measured, "one answer at a time, one thread, loaded and warm, in this process"),
        input_tokens_mean=math.nan,
        output_tokens_mean=math.nan,
        cost_usd_per_1000=cost,
        scores=scores[:n],
        ood_scores=ood_scores[:n],
        ood_answers=tuple(labels[n:]),
        ood_answer_scores=scores[n:],
        ood_scores_out=ood_scores[n:],
    )


def answer_with_generalist(
    generalist: Generalist,
    frame: pl.DataFrame,
    labels: tuple[str, ...],
    template: Template | None,
    *,
    seed: int,
    progress: Progress,
) -> CandidateAnswers:
    """Ask about every test item, in an order drawn by the seed: a budget that ends early then leaves a random sample."""
    questions = [_question(row, labels, template) for row in frame.iter_rows(named=True)]
    order = np.random.default_rng(seed).permutation(len(questions))
    shuffled = generalist.answer([questions[place] for place in order], progress=progress)
    replies: list[GeneralistAnswer] = [shuffled[place] for place in np.argsort(order)]
    reader = LabelReader.of(labels)
    read = [None if reply.text is None else reader.read(reply.text) for reply in replies]
    latency_s = _column([reply.latency_s for reply in replies])
    return CandidateAnswers(
        name=generalist.name,
        role="generalist",
        answers=tuple(read),
        failures=tuple(_failure(reply, label) for reply, label in zip(replies, read, strict=True)),
        asked=np.array([reply.asked for reply in replies], dtype=np.bool_),
        latency_s=latency_s,
        latency=summarise_latency(latency_s[~np.isnan(latency_s)], generalist.condition),
        input_tokens_mean=_mean([reply.input_tokens for reply in replies]),
        output_tokens_mean=_mean([reply.output_tokens for reply in replies]),
        cost_usd_per_1000=1000 * _mean([_cost(reply, generalist.model) for reply in replies if reply.asked]),
        model=generalist.model,
    )


def summarise_latency(seconds: FloatArray, condition: str) -> Latency:
    """Percentiles of `seconds` (n,); NaN where nothing was measured."""
    if not len(seconds):
        return Latency(math.nan, math.nan, math.nan, 0, "not measured")
    p50, p95, p99 = (float(value) for value in np.percentile(seconds, (50, 95, 99)))
    return Latency(p50, p95, p99, len(seconds), condition)


def _predict(
    predictor: Predictor, inputs: list[str], description: str, progress: Progress
) -> tuple[list[str], FloatArray, FloatArray]:
    labels: list[str] = []
    scores, ood_scores = [], []
    progress(description, 0, len(inputs))
    for start in range(0, len(inputs), _BATCH):
        answers = predictor.predict(inputs[start : start + _BATCH])
        labels += [str(label) for label in answers.labels]
        scores.append(np.asarray(answers.scores, dtype=np.float64))
        ood_scores.append(np.asarray(answers.ood_scores, dtype=np.float64))
        progress(description, len(labels), len(inputs))
    return labels, np.concatenate(scores), np.concatenate(ood_scores)


def _time_one_by_one(
    predictor: Predictor,
    inputs: Sequence[str],
    n_sample: int,
    seed: int,
    clock: Callable[[], float],
    description: str,
    progress: Progress,
) -> FloatArray:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # comes with scikit-learn

    latency_s = np.full(len(inputs), np.nan)
    rng = np.random.default_rng(seed)
    sample = rng.choice(len(inputs), size=min(n_sample, len(inputs)), replace=False)
    progress(description, 0, len(sample))
    with threadpool_limits(limits=1):
        for place in sample[:_WARM_UP]:
            predictor.predict([inputs[place]])
        for done, place in enumerate(sample, start=1):
            started = clock()
            predictor.predict([inputs[place]])
            latency_s[place] = clock() - started
            progress(description, done, len(sample))
    return latency_s


def _question(row: dict[str, object], labels: tuple[str, ...], template: Template | None) -> Question:
    recorded = None
    if row["recorded"] is not None:
        recorded = Recorded(
            str(row["recorded"]),
            row["input_tokens"],  # type: ignore[arg-type]
            row["output_tokens"],  # type: ignore[arg-type]
            row["latency_s"],  # type: ignore[arg-type]
            row["cost_usd"],  # type: ignore[arg-type]
        )
    return Question(str(row["id"]), str(row["input"]), labels, template, recorded)


def _failure(reply: GeneralistAnswer, label: str | None) -> str | None:
    if reply.failure is not None:
        return reply.failure
    return NOT_A_LABEL if label is None else None


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


def _column(values: Sequence[float | None]) -> FloatArray:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
