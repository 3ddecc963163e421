"""What a specialist answers to a benchmark's questions: in batches against the clock, and one at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from metier.artefacts.evaluations import Latency
from metier.artefacts.policies import Policy
from metier.artefacts.tasks import OutputKind
from metier.errors import MetierError, Unreadable
from metier.evaluation import asking
from metier.evaluation.answers import summarise_latency
from metier.evaluation.telelogs.grading import boxed
from metier.metrics.generation import UNREADABLE
from metier.progress import Progress
from metier.students import Answers, Predictor

FloatArray = NDArray[np.float64]

_BATCH = 256
_WRITTEN_BATCH = 16
# Characters of an error that is no refusal; it may quote what it was given.
_SHOWN = 120


@runtime_checkable
class Sampler(Protocol):
    """A predictor whose answers can be drawn: the same input may be answered differently under another seed."""

    def sample(self, inputs: Sequence[str], seed: int) -> Answers:
        """One drawn answer to every input, in order."""
        ...


@dataclass(frozen=True)
class Entrant:
    """A specialist that takes part: how its predictor is opened (and closed), what it reads of a question, and the policy
    that is its own, where there is one. `training` holds the inputs that it was made from (train, tune and calibration).
    `explain` says why an input cannot be read (None where it can)."""

    name: str
    specialist_id: str
    open: Callable[[], AbstractContextManager[Predictor]]
    kind: OutputKind = OutputKind.LABEL
    policy: Policy | None = None
    policy_note: str = ""
    training: Sequence[str] = ()
    reads: Callable[[str], str] = str
    explain: Callable[[str], str | None] | None = None
    is_slow: bool = False


@dataclass(frozen=True)
class Given:
    """The answers to n questions, k samples of each: `written` (k lists of n) as served, None beside a `failures` entry.
    `scores` and `ood_scores` (n,) are those of the first sample, NaN for a failure; `latency_s` (n,) is NaN where no single
    answer was timed."""

    written: tuple[tuple[str | None, ...], ...]
    failures: tuple[tuple[str | None, ...], ...]
    scores: FloatArray
    ood_scores: FloatArray
    is_deterministic: bool
    answers_per_s: float
    latency_s: FloatArray
    latency: Latency


def answer(
    entrant: Entrant,
    questions: Sequence[str],
    *,
    n_samples: int,
    n_latency: int,
    latency_budget_s: float,
    seed: int,
    clock: Callable[[], float],
    progress: Progress,
) -> Given:
    """Answer every question `n_samples` times (once where the specialist cannot be drawn from), then time single ones.

    The first of several samples is the answer that is served; the others are drawn.
    """
    with entrant.open() as predictor:
        inputs = [entrant.reads(question) for question in questions]
        sampler = predictor if isinstance(predictor, Sampler) else None
        asks: list[Callable[[Sequence[str]], Answers]] = [predictor.predict]
        if sampler is not None:
            asks += [_drawn(sampler, seed + number) for number in range(1, n_samples)]
        begun = clock()
        rounds = [_ask(entrant, ask, inputs, place, len(asks), progress) for place, ask in enumerate(asks)]
        wall_s = clock() - begun
        for one in rounds:
            _explain(one, entrant, inputs)
        latency_s = np.full(len(inputs), np.nan)
        # Refusing an input is quicker than answering it.
        answered = [place for place, failure in enumerate(rounds[0].failures) if failure is None]
        latency_s[answered] = asking.time_one_by_one(
            predictor,
            [inputs[place] for place in answered],
            n_sample=n_latency,
            budget_s=latency_budget_s,
            seed=seed,
            clock=clock,
            description=f"Timing {entrant.name}",
            progress=progress,
        )
        condition = asking.condition_of(predictor)
    return Given(
        tuple(tuple(one.written) for one in rounds),
        tuple(tuple(one.failures) for one in rounds),
        np.array(rounds[0].scores, dtype=np.float64),
        np.array(rounds[0].ood_scores, dtype=np.float64),
        sampler is None,
        len(inputs) * len(asks) / wall_s if wall_s > 0 else math.nan,
        latency_s,
        summarise_latency(latency_s[~np.isnan(latency_s)], condition),
    )


@dataclass
class _Round:
    """One answer to each question asked so far; `broken` holds the errors that were no refusals."""

    written: list[str | None] = field(default_factory=list)
    failures: list[str | None] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    ood_scores: list[float] = field(default_factory=list)
    broken: list[Exception] = field(default_factory=list)

    def add(self, answers: Answers, kind: OutputKind) -> None:
        n = len(answers.labels)
        failures = answers.failures or (None,) * n
        for label, failure in zip(answers.labels.tolist(), failures, strict=True):
            self.written.append(None if failure else _served(str(label), kind))
        self.failures += failures
        self.scores += answers.gate_scores.tolist()
        self.ood_scores += answers.ood_scores.tolist()

    def refuse(self, why: str) -> None:
        self.written.append(None)
        self.failures.append(why)
        self.scores.append(math.nan)
        self.ood_scores.append(math.nan)


def _served(label: str, kind: OutputKind) -> str:
    """The answer as the gateway writes it: a label in a box, what was written as it is."""
    return boxed(label) if kind is OutputKind.LABEL else label


def _drawn(sampler: Sampler, seed: int) -> Callable[[Sequence[str]], Answers]:
    return lambda inputs: sampler.sample(inputs, seed)


def _ask(
    entrant: Entrant,
    ask: Callable[[Sequence[str]], Answers],
    inputs: Sequence[str],
    place: int,
    n_rounds: int,
    progress: Progress,
) -> _Round:
    size = _WRITTEN_BATCH if entrant.is_slow else _BATCH
    description = f"Asking {entrant.name}" + (f", sample {place + 1} of {n_rounds}" if n_rounds > 1 else "")
    found = _Round()
    progress(description, 0, len(inputs))
    for start in range(0, len(inputs), size):
        batch = list(inputs[start : start + size])
        try:
            answers = ask(batch)
        except MetierError as problem:
            if not isinstance(problem, Unreadable):
                raise
            _ask_apart(found, ask, batch, entrant.kind)
        except Exception:
            _ask_apart(found, ask, batch, entrant.kind)
        else:
            found.add(answers, entrant.kind)
        progress(description, min(start + size, len(inputs)), len(inputs))
    if inputs and len(found.broken) == len(inputs):
        # A specialist that breaks on everything is broken itself, not wrong.
        raise found.broken[0]
    return found


def _explain(found: _Round, entrant: Entrant, inputs: Sequence[str]) -> None:
    """Say what is wrong with each input that could not be read; that takes time which answering does not."""
    if entrant.explain is None:
        return
    for place, failure in enumerate(found.failures):
        if failure != UNREADABLE:
            continue
        try:
            why = entrant.explain(inputs[place])
        except Exception as problem:  # that it could not be read is known; why is more than is needed
            why = _broken(problem)
        if why:
            found.failures[place] = f"{UNREADABLE}: {why}"


def _ask_apart(found: _Round, ask: Callable[[Sequence[str]], Answers], batch: Sequence[str], kind: OutputKind) -> None:
    """One by one: an input that cannot be read, or on which a specialist breaks, must not take the others with it."""
    for text in batch:
        try:
            answers = ask([text])
        except Unreadable as problem:
            found.refuse(f"{UNREADABLE}: {problem}")
        except MetierError:
            raise
        except Exception as problem:
            found.broken.append(problem)
            found.refuse(_broken(problem))
        else:
            found.add(answers, kind)


def _broken(problem: Exception) -> str:
    """Why a specialist broke, as a reason to count by; not what it was asked."""
    return f"broken: {type(problem).__name__}: {str(problem)[:_SHOWN]}"
