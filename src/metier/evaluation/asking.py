"""Asking a trained student: in batches with a word to the progress after each, and one at a time against the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from metier.artefacts.specialists import Specialist
from metier.machine import usable_cores
from metier.progress import Progress
from metier.students import STUDENTS, Answers, Predictor

FloatArray = NDArray[np.float64]
Ask = Callable[[Sequence[str]], Answers]

# Items between two words to the progress: a written answer takes seconds, another microseconds.
_BATCH = 1024
_WRITTEN_BATCH = 16
# The first answers pay for caches and lazy set-up that a running service has behind it.
_WARM_UP = 5
_WARM_UP_S = 2.0
# Fewer timed answers than this say nothing about a tail, however long they take.
_FEWEST_TIMED = 10

SINGLE_THREAD = "one answer at a time, one thread, loaded and warm, in this process"


@contextmanager
def loaded(specialist: Specialist) -> Iterator[Predictor]:
    """The specialist in its exported form, freed at the end. What writes has all cores, as when it is served; others have
    one. They are counted out: left to itself, what writes takes those that the load average calls idle, which a generalist
    that has just ended still keeps busy."""
    student = STUDENTS[specialist.card.student]
    threads = usable_cores() if writes(specialist) else 1
    predictor = student.load(specialist.folder, threads=threads)
    try:
        yield predictor
    finally:
        close = getattr(predictor, "close", None)
        if close is not None:
            close()


def writes(specialist: Specialist) -> bool:
    """Whether its answers are written token by token."""
    return specialist.card.language_model is not None


def ask(
    predictor: Predictor,
    inputs: Sequence[str],
    *,
    small: bool,
    description: str,
    progress: Progress,
    held_out: bool = False,
) -> Answers:
    """The answers to all inputs, asked in batches (`small` where an answer takes long).

    `held_out`: of what it has learnt from since, the answers that a predictor gave before, where it keeps them.
    """
    size = _WRITTEN_BATCH if small else _BATCH
    predict: Ask = getattr(predictor, "predict_held_out", predictor.predict) if held_out else predictor.predict
    progress(description, 0, len(inputs))
    parts = []
    for start in range(0, max(len(inputs), 1), size):
        parts.append(predict(list(inputs[start : start + size])))
        progress(description, min(start + size, len(inputs)), len(inputs))
    return parts[0] if len(parts) == 1 else _joined(parts)


def time_one_by_one(
    predictor: Predictor,
    inputs: Sequence[str],
    *,
    n_sample: int,
    budget_s: float,
    seed: int,
    clock: Callable[[], float],
    description: str,
    progress: Progress,
) -> FloatArray:
    """(n,) seconds of single answers to at most `n_sample` inputs drawn by the seed, NaN elsewhere.

    Once `budget_s` is spent no more are timed, but at least ten are, where there are ten.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # comes with scikit-learn

    latency_s = np.full(len(inputs), np.nan)
    rng = np.random.default_rng(seed)
    sample = rng.choice(len(inputs), size=min(n_sample, len(inputs)), replace=False)
    progress(description, 0, len(sample))
    with threadpool_limits(limits=1):
        begun = clock()
        for place in sample[:_WARM_UP]:
            predictor.predict([inputs[place]])
            if clock() - begun > _WARM_UP_S:
                break
        begun = clock()
        for done, place in enumerate(sample, start=1):
            started = clock()
            predictor.predict([inputs[place]])
            latency_s[place] = clock() - started
            if done >= _FEWEST_TIMED and clock() - begun > budget_s:
                break
            progress(description, done, len(sample))
    progress(description, len(sample), len(sample))
    return latency_s


def condition_of(predictor: Predictor) -> str:
    """Under what conditions single answers are timed, in the predictor's own words where it has any."""
    return str(getattr(predictor, "condition", "") or SINGLE_THREAD)


def cores_of(predictor: Predictor) -> int:
    """How many cores a single answer keeps busy."""
    return int(getattr(predictor, "n_cores", 1))


def _joined(parts: Sequence[Answers]) -> Answers:
    failures = None
    if any(part.failures is not None for part in parts):
        failures = tuple(failure for part in parts for failure in part.failures or (None,) * len(part.labels))
    return Answers(
        labels=np.concatenate([part.labels for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        ood_scores=np.concatenate([part.ood_scores for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        failures=failures,
        input_tokens=_counts([part.input_tokens for part in parts]),
        output_tokens=_counts([part.output_tokens for part in parts]),
    )


def _counts(parts: Sequence[NDArray[np.int64] | None]) -> NDArray[np.int64] | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None
