"""One question to a specialist, whatever it does: an answer that makes sense, or None."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metier.gateway.routing.kinds import Check
from metier.students import Answers, Predictor

_LOG = logging.getLogger(__name__)
_LOG_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A specialist's answer to one input; the arrays (1,) are the predictor's own, as Policy.keeps takes them.

    `label` is None where what it wrote is no answer: `failure` says why. `read` is the input as the specialist read it,
    `tokens` how many it read and wrote, where it counts them.
    """

    label: str | None
    score: float
    ood_score: float
    scores: NDArray[np.float64]
    ood_scores: NDArray[np.float64]
    read: str
    failure: str | None = None
    tokens: tuple[int, int] | None = None


@dataclass
class Failures:
    """Counts what went wrong and writes it to the log once a minute at most. Shared by threads."""

    clock: Callable[[], float] = time.monotonic
    n: int = 0
    _n_told: int = 0
    _told_at: float = -math.inf
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str) -> None:
        """Count one failure."""
        with self._lock:
            self.n += 1
            now = self.clock()
            if now - self._told_at < _LOG_EVERY_S:
                return
            n_new = self.n - self._n_told
            self._told_at, self._n_told = now, self.n
        _LOG.warning(
            "%s (%d such failures since this was last written; the calls went on to the upstream)", what, n_new
        )


def ask(
    predictor: Predictor, read: Callable[[str], str], check: Check, text: str, failures: Failures, name: str
) -> Asked | None:
    """The specialist's answer to `text` as `read` leaves it; None, counted in `failures`, where it raises, or gives figures
    that are no numbers or an answer that `check` finds a fault with. `name` says in the log who failed."""
    try:
        said = read(text)
        answers = predictor.predict([said])
        label, score, ood_score = answers.labels[0], float(answers.scores[0]), float(answers.ood_scores[0])
        failure = answers.failures[0] if answers.failures is not None else None
        fault = check(label) if failure is None else None
        tokens = _tokens(answers)
    except Exception as problem:  # whatever it is, the call can still be answered by the frontier model
        failures.add(f"specialist {name} raised {type(problem).__name__}")
        return None
    if not (0 <= score <= 1 and math.isfinite(ood_score)):
        failures.add(f"specialist {name} gave the score {score} and the ood score {ood_score}")
        return None
    if fault is not None:
        failures.add(f"specialist {name} gave {fault}")
        return None
    given = None if failure is not None else label
    return Asked(given, score, ood_score, answers.gate_scores, answers.ood_scores, said, failure, tokens)


def _tokens(answers: Answers) -> tuple[int, int] | None:
    if answers.input_tokens is None or answers.output_tokens is None:
        return None
    return int(answers.input_tokens[0]), int(answers.output_tokens[0])
