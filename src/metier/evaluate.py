"""evaluate: every specialist and the generalist side by side on the same test items, with intervals and a verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from metier.artefacts.datasets import Dataset
from metier.artefacts.estimates import Estimate
from metier.artefacts.evaluations import ANSWER_SCHEMA, CandidateScore, Comparison, Evaluation
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import OutputKind, Task
from metier.errors import BadInput
from metier.evaluation.answers import CandidateAnswers, Job, answer_with_generalist, answer_with_specialist
from metier.evaluation.comparing import (
    PROMOTED,
    Rules,
    compare_with_generalist,
    compare_with_teacher,
    non_inferior_to_best,
)
from metier.evaluation.reference import Reference, choose_reference, job_of, unseen_labels
from metier.evaluation.scoring import score_candidate
from metier.evaluation.wording import notes_for, notes_on_truth, summary
from metier.evaluation.written import secondary_difference
from metier.generalists import Generalist
from metier.metrics.fields import Doubt
from metier.progress import Progress, silent


class EvaluateSettings(BaseModel):
    """Settings of evaluate; margin and alpha are declared before anything is looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin: float = Field(
        0.02, gt=0, lt=1, description="Largest loss of accuracy against the generalist that still counts as as good."
    )
    alpha: float = Field(0.05, gt=0, lt=1, description="Chance of any wrong verdict, over all candidates (Holm).")
    power: float = Field(0.8, gt=0, lt=1, description="Power with which items_to_settle plans the next test.")
    level: float = Field(0.95, gt=0, lt=1, description="Level of every interval.")
    n_resamples: int = Field(2000, ge=200, le=100_000, description="Bootstrap resamples, where an interval needs them.")
    min_truth_items: int = Field(
        200, ge=1, description="Test items with a truth (not the teacher's answer) needed to judge against truth."
    )
    n_latency: int = Field(
        200, ge=1, description="Test items answered one at a time to measure a specialist's latency."
    )
    latency_budget_s: float = Field(
        60, gt=0, description="Seconds after which no more answers are timed, for each specialist (ten at least are)."
    )
    n_confusions: int = Field(12, ge=0, description="Confusions listed for each candidate.")
    core_usd_per_hour: float = Field(
        0.05, ge=0, description="Price of one CPU core for an hour, to cost a specialist's computing."
    )


def evaluate(
    specialists: Sequence[Specialist],
    generalist: Generalist | None,
    dataset: Dataset,
    settings: EvaluateSettings,
    *,
    task: Task | None = None,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    progress: Progress = silent,
) -> Evaluation:
    """Answer the test items with every candidate, score them on the same items, compare and pick the champion.

    `generalist` None is supported: scores without a verdict. `clock` (seconds) times single answers. Raises NotEnoughData
    where the test split has no labelled item, BadInput where two specialists share a name, GeneralistFailed where the
    generalist cannot be asked at all.
    """
    names = [specialist.card.student for specialist in specialists]
    if len(set(names)) < len(names):
        raise BadInput(f"specialists {names} share a name; evaluate one of each student at a time")
    reference = choose_reference(dataset, settings.min_truth_items)
    job = job_of(dataset, task, reference)
    ood = dataset.split("ood")
    inputs = reference.frame["input"].to_list()
    answered = [
        answer_with_specialist(
            specialist,
            inputs,
            ood["input"].to_list(),
            job=job,
            n_latency=settings.n_latency,
            latency_budget_s=settings.latency_budget_s,
            core_usd_per_hour=settings.core_usd_per_hour,
            seed=seed,
            clock=clock,
            progress=progress,
        )
        for specialist in specialists
    ]
    if generalist is not None:
        answered.append(answer_with_generalist(generalist, reference.frame, job, seed=seed, progress=progress))
    candidates = []
    for done, one in enumerate(answered):
        progress("Scoring", done, len(answered))
        candidates.append(_score(one, reference, ood, job, settings, seed))
    progress("Scoring", len(answered), len(answered))
    comparisons = _compare(answered, reference, job, settings, seed)
    champion = _champion(answered, candidates, comparisons, reference, job, settings)
    unseen = unseen_labels(dataset, reference.items) if job.kind is OutputKind.LABEL else ()
    if specialists and all(one.card.view is not None and one.card.view.classes for one in specialists):
        unseen = ()  # inputs name their choices themselves: a name that is new is no class that is
    caveats = (generalist.caveat,) if generalist is not None and generalist.caveat else ()
    return Evaluation(
        task_id=dataset.task_id,
        task_name=dataset.task_name,
        truth=reference.truth,
        n_test=dataset.split("test").height,
        n_ood=ood.height,
        candidates=tuple(candidates),
        comparisons=comparisons,
        champion=champion,
        summary=summary(reference, candidates, comparisons, champion, settings.margin, job.kind),
        answers=_answer_rows(answered, reference, ood, job.kind),
        basis=reference.basis,
        n_judged=reference.items.height,
        unseen_labels=unseen,
        notes=(*reference.notes, *caveats, *notes_for(candidates, unseen), *notes_on_truth(reference, job)),
        kind=job.kind,
    )


def _score(
    one: CandidateAnswers, reference: Reference, ood: pl.DataFrame, job: Job, settings: EvaluateSettings, seed: int
) -> CandidateScore:
    return score_candidate(
        one,
        outputs=reference.frame["output"].to_list(),
        inputs=reference.frame["input"].to_list(),
        groups=_groups(reference.frame),
        ood_groups=_groups(ood),
        judged=reference.judged.to_numpy(),
        judgeable=one.role == "specialist" or reference.basis == "truth",
        job=job,
        level=settings.level,
        n_resamples=settings.n_resamples,
        n_confusions=settings.n_confusions,
        seed=seed,
    )


def _compare(
    answered: Sequence[CandidateAnswers], reference: Reference, job: Job, settings: EvaluateSettings, seed: int
) -> tuple[Comparison, ...]:
    """Against the generalist where there is a truth to judge both by, else against the teacher's recorded answers."""
    specialists = [one for one in answered if one.role == "specialist"]
    generalist = next((one for one in answered if one.role == "generalist"), None)
    rules = _rules(settings)
    outputs, groups = reference.frame["output"].to_list(), np.array(_groups(reference.frame), dtype=object)
    items = reference.judged.to_numpy()
    if not specialists:
        return ()
    if reference.basis == "teacher":
        agreement = {one.name: one.correct(outputs, job.kind)[items] for one in specialists}
        return compare_with_teacher(agreement, groups[items].tolist(), rules)
    if generalist is None or not (items & generalist.asked).any():
        return ()
    paired = items & generalist.asked
    n, n_all = int(paired.sum()), int(items.sum())
    doubt = Doubt(groups[paired].tolist(), settings.level, settings.n_resamples, seed)
    return compare_with_generalist(
        {one.name: one.correct(outputs, job.kind)[paired] for one in specialists},
        generalist.name,
        generalist.correct(outputs, job.kind)[paired],
        groups[paired].tolist(),
        rules,
        note="" if n == n_all else f"on the {n:,} of {n_all:,} items that both were asked",
        secondary={one.name: _secondary(one, generalist, outputs, paired, job, doubt) for one in specialists},
    )


def _secondary(
    ours: CandidateAnswers,
    theirs: CandidateAnswers,
    outputs: Sequence[str],
    paired: np.ndarray,
    job: Job,
    doubt: Doubt,
) -> tuple[tuple[str, Estimate], ...]:
    places = np.flatnonzero(paired).tolist()
    return secondary_difference(
        [ours.answers[i] for i in places],
        [theirs.answers[i] for i in places],
        [outputs[i] for i in places],
        job.kind,
        job.schema,
        doubt,
    )


def _champion(
    answered: Sequence[CandidateAnswers],
    candidates: Sequence[CandidateScore],
    comparisons: Sequence[Comparison],
    reference: Reference,
    job: Job,
    settings: EvaluateSettings,
) -> str | None:
    """The cheapest specialist that is good enough."""
    good = frozenset(comparison.specialist for comparison in comparisons if comparison.verdict in PROMOTED)
    if not comparisons:
        items = reference.judged.to_numpy()
        outputs, groups = reference.frame["output"].to_list(), np.array(_groups(reference.frame), dtype=object)
        correct = {one.name: one.correct(outputs, job.kind)[items] for one in answered if one.role == "specialist"}
        good = non_inferior_to_best(correct, groups[items].tolist(), _rules(settings)) if correct else frozenset()
    eligible = [candidate for candidate in candidates if candidate.role == "specialist" and candidate.name in good]
    best = min(eligible, key=_cost_rank, default=None)
    return best.name if best else None


def _cost_rank(candidate: CandidateScore) -> tuple[float, float, float]:
    """Cheapest computing first, then fastest, then most accurate."""
    return candidate.cost_usd_per_1000, candidate.latency.p50_s, -candidate.accuracy.value


def _rules(settings: EvaluateSettings) -> Rules:
    return Rules(settings.margin, settings.alpha, settings.power, settings.level)


def _groups(frame: pl.DataFrame) -> list[str]:
    return frame.select(pl.coalesce("group", "id"))["group"].to_list()


def _answer_rows(
    answered: Sequence[CandidateAnswers], reference: Reference, ood: pl.DataFrame, kind: OutputKind
) -> pl.DataFrame:
    frames = [_test_rows(one, reference, kind) for one in answered]
    frames += [_ood_rows(one, ood) for one in answered if one.role == "specialist" and ood.height]
    return pl.concat(frames) if frames else pl.DataFrame(schema=ANSWER_SCHEMA)


def _test_rows(one: CandidateAnswers, reference: Reference, kind: OutputKind) -> pl.DataFrame:
    outputs = reference.frame["output"].to_list()
    counted = reference.judged.to_numpy() & one.asked
    if one.role == "generalist" and reference.basis == "teacher":
        counted = np.zeros_like(counted)
    correct = [bool(right) if use else None for right, use in zip(one.correct(outputs, kind), counted, strict=True)]
    return _rows(
        one.name,
        reference.frame["id"].to_list(),
        split="test",
        output=outputs,
        answer=one.shown,
        correct=correct,
        score=one.scores,
        ood_score=one.ood_scores,
        latency_s=[None if np.isnan(seconds) else float(seconds) for seconds in one.latency_s],
        failure=one.failures,
    )


def _ood_rows(one: CandidateAnswers, ood: pl.DataFrame) -> pl.DataFrame:
    return _rows(
        one.name,
        ood["id"].to_list(),
        split="ood",
        answer=one.ood_answers,
        score=one.ood_answer_scores,
        ood_score=one.ood_scores_out,
    )


def _rows(candidate: str, ids: Sequence[str], **columns: object) -> pl.DataFrame:
    given = {"candidate": candidate, "id": ids, **columns}
    return pl.DataFrame(
        [
            pl.Series(name, _full(given.get(name), len(ids)), dtype, strict=False)
            for name, dtype in ANSWER_SCHEMA.items()
        ]
    )


def _full(values: object, n: int) -> Sequence[object] | np.ndarray:
    """A column as given, or one value (null for what a candidate does not have) n times."""
    return [values] * n if values is None or isinstance(values, str) else values  # type: ignore[return-value]
