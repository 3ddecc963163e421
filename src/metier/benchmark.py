"""benchmark: specialists on a public benchmark's own questions, which they have never seen, beside what is published."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from metier.artefacts.benchmarks import BENCHMARK_ANSWER_SCHEMA, Benchmark, Contestant, Overlap, SetAsideCount
from metier.artefacts.estimates import Estimate
from metier.errors import BadInput, NotEnoughData
from metier.evaluation.telelogs.answering import Entrant, Given, answer
from metier.evaluation.telelogs.options import FORMS
from metier.evaluation.telelogs.published import published
from metier.evaluation.telelogs.scoring import Doubt, Graded, Item, grade, item_of, score_forms
from metier.evaluation.telelogs.windows import NEAR_SHARE, NearDuplicates, near_duplicates
from metier.evaluation.telelogs.wording import best_of, notes_of, summary_of
from metier.progress import Progress, silent
from metier.sources.exams import Exam, reasons

TELELOGS = "telelogs"
_READ_EVERY = 256


class BenchmarkSettings(BaseModel):
    """How a benchmark is asked and scored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = Field(
        1, ge=1, le=64, description="Answers to each question, of specialists that draw theirs: maj@k."
    )
    limit: int = Field(0, ge=0, description="Only the first so many questions; 0 takes all.")
    level: float = Field(0.95, gt=0, lt=1, description="Level of every interval.")
    n_resamples: int = Field(2000, ge=200, le=100_000, description="Bootstrap resamples of drive windows.")
    n_latency: int = Field(200, ge=1, description="Questions answered one at a time to measure the latency.")
    latency_budget_s: float = Field(
        60, gt=0, description="Seconds after which no more answers are timed, for each specialist (ten at least are)."
    )


def benchmark(
    entrants: Sequence[Entrant],
    exam: Exam,
    settings: BenchmarkSettings,
    *,
    task_name: str,
    file: str,
    sha256: str,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    progress: Progress = silent,
) -> Benchmark:
    """Answer TeleLogs' questions with every specialist, score them as the public harness does, and set what is published
    beside it. Nothing is learnt from the file.

    `file` and `sha256` name it. `clock` is in seconds. Raises NotEnoughData where there is no question or no specialist,
    BadInput where two specialists share a name.
    """
    names = [entrant.name for entrant in entrants]
    if len(set(names)) < len(names):
        raise BadInput(f"specialists {names} share a name; benchmark one of each at a time")
    questions = exam.questions[: settings.limit or None]
    if not questions or not entrants:
        raise NotEnoughData(
            f"{len(questions)} questions and {len(entrants)} specialists: a benchmark needs one of each"
        )
    items = []
    for done, question in enumerate(questions, 1):
        items.append(item_of(question))
        if done % _READ_EVERY == 0 or done == len(questions):
            progress("Reading the questions", done, len(questions))
    doubt = Doubt(settings.level, settings.n_resamples, seed)
    contestants, frames = [], []
    near = _Near([question.text for question in questions], progress)
    for entrant in entrants:
        given = answer(
            entrant,
            [question.text for question in questions],
            n_samples=settings.samples,
            n_latency=settings.n_latency,
            latency_budget_s=settings.latency_budget_s,
            seed=seed,
            clock=clock,
            progress=progress,
        )
        graded = grade(items, given, entrant.policy)
        contestants.append(_contestant(entrant, items, given, graded, near.of(entrant.training), doubt))
        frames.append(_rows(entrant.name, items, given, graded))
    best = best_of(contestants)
    forms = Counter(item.options.form for item in items)
    n_left = len(exam.questions) - len(questions)
    return Benchmark(
        benchmark=TELELOGS,
        task_name=task_name,
        file=file,
        sha256=sha256,
        n_records=exam.n_records,
        n=len(items),
        n_clusters=len({item.cluster for item in items}),
        forms=tuple((form, forms[form]) for form in FORMS if form in forms),
        set_aside=tuple(SetAsideCount(*counted) for counted in reasons(exam.aside)),
        contestants=tuple(contestants),
        published=published(_by_form(best), settings.level),
        notes=notes_of(contestants, exam, n_left, settings.samples),
        summary=summary_of(best, len(items)),
        answers=pl.concat(frames),
    )


@dataclass
class _Near:
    """The test's windows against training inputs; students of one dataset share theirs, which are compared once."""

    test: Sequence[str]
    progress: Progress
    known: dict[int, NearDuplicates] = field(default_factory=dict)

    def of(self, training: Sequence[str]) -> NearDuplicates:
        if id(training) not in self.known:
            self.progress("Comparing with the training windows", 0, 1)
            self.known[id(training)] = near_duplicates(self.test, training)
            self.progress("Comparing with the training windows", 1, 1)
        return self.known[id(training)]


def _contestant(
    entrant: Entrant, items: Sequence[Item], given: Given, graded: Graded, near: NearDuplicates, doubt: Doubt
) -> Contestant:
    failures = Counter(failure for row in given.failures for failure in row if failure is not None)
    policy = entrant.policy
    note = entrant.policy_note or ("no policy" if policy is None else "")
    if policy is not None and policy.certificate is None:
        note = f"no certificate: {policy.reason}"
    return Contestant(
        name=entrant.name,
        specialist_id=entrant.specialist_id,
        n_samples=len(given.written),
        is_deterministic=given.is_deterministic,
        forms=score_forms(items, given, graded, policy, doubt),
        latency=given.latency,
        answers_per_s=given.answers_per_s,
        failures=tuple(sorted(failures.items(), key=lambda pair: (-pair[1], pair[0]))),
        overlap=Overlap(near.n_windows, near.n_training, near.n_near, NEAR_SHARE, near.largest_share),
        kept_note=note,
    )


def _by_form(best: Contestant) -> dict[str, Estimate]:
    return {score.form: score.pass_at_1 for score in best.forms}


def _rows(name: str, items: Sequence[Item], given: Given, graded: Graded) -> pl.DataFrame:
    """One row per question and sample (BENCHMARK_ANSWER_SCHEMA); scores and times are the first sample's."""
    frames = []
    for sample, contents in enumerate(graded.contents):
        first = sample == 0
        columns: dict[str, Sequence[Any]] = {
            "contestant": [name] * len(items),
            "id": [item.question.id for item in items],
            "sample": [sample] * len(items),
            "form": [item.options.form for item in items],
            "cluster": [item.cluster for item in items],
            "truth": [" | ".join(item.question.accepted) for item in items],
            "answer": list(contents),
            "cause": [item.truth for item in items],
            "answered_cause": list(graded.causes[sample]),
            "correct": graded.right[sample].tolist(),
            "exact": graded.exact[sample].tolist(),
            "score": _numbers(given.scores, first),
            "ood_score": _numbers(given.ood_scores, first),
            "kept": graded.kept.tolist() if graded.kept is not None and first else [None] * len(items),
            "latency_s": _numbers(given.latency_s, first),
            "failure": list(given.failures[sample]),
        }
        frames.append(
            pl.DataFrame([pl.Series(key, columns[key], dtype) for key, dtype in BENCHMARK_ANSWER_SCHEMA.items()])
        )
    return pl.concat(frames)


def _numbers(values: np.ndarray, use: bool) -> list[float | None]:
    return [None if not use or math.isnan(value) else float(value) for value in values]
