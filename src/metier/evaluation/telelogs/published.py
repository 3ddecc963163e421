"""What others have published about TeleLogs, with its source; nothing here was measured by us."""

from __future__ import annotations

import math
from dataclasses import dataclass

from metier.artefacts.benchmarks import PublishedResult
from metier.artefacts.estimates import Estimate, not_scored
from metier.statistics.intervals import wilson

PAPER = "arXiv 2507.21974, Table III, pass@1"
COMPARISON = "the comparison published with AT&T's fine-tuned Gemma-3-4B"
TREES = "gradient-boosted trees on features of the tables; about 95%, number of questions not published"


@dataclass(frozen=True)
class _Result:
    """`percent` right, of `n` questions where that is published."""

    name: str
    form: str
    percent: float
    n: int | None
    source: str


def _paper(name: str, standard: float, randomised: float | None = None) -> tuple[_Result, ...]:
    found = [_Result(name, "standard", standard, None, PAPER)]
    if randomised is not None:
        found.append(_Result(name, "randomised", randomised, None, PAPER))
    return tuple(found)


_RESULTS = (
    _Result("classical trees (about)", "standard", 95.0, None, TREES),
    _Result("AT&T Gemma-3-4B, tuned", "standard", 80.09, 864, COMPARISON),
    _Result("GPT-5", "standard", 80.00, 864, COMPARISON),
    _Result("Grok-4-fast", "standard", 78.12, 864, COMPARISON),
    _Result("Claude Sonnet 4.5", "standard", 67.12, 864, COMPARISON),
    _Result("Gemini 2.5 Pro", "standard", 44.30, 864, COMPARISON),
    _Result("Qwen3-4B", "standard", 32.00, 864, COMPARISON),
    *_paper("Qwen2.5-RCA 32B", 95.86, 93.23),
    *_paper("Qwen2.5-RCA 1.5B", 87.56, 75.90),
    *_paper("Qwen2.5-RCA 7B", 87.01, 77.95),
    *_paper("Qwen3-32B", 33.77),
    *_paper("QwQ-32B", 33.62),
    *_paper("DeepSeek-R1-Distill-70B", 29.42),
    *_paper("Qwen2.5 1.5B, untuned", 11.25),
)


def published(ours: dict[str, Estimate], level: float = 0.95) -> tuple[PublishedResult, ...]:
    """Every published result, `ours` being the accuracy of our best specialist by form of the questions."""
    found = []
    for result in _RESULTS:
        theirs = _estimate(result, level)
        mine = ours.get(result.form)
        ahead = not_scored() if mine is None or not mine.scored else _difference(mine, theirs, level)
        found.append(PublishedResult(result.name, result.form, theirs, ahead, result.source))
    return tuple(found)


def _estimate(result: _Result, level: float) -> Estimate:
    share = result.percent / 100
    if result.n is None:
        return Estimate(share, math.nan, math.nan, 0, level, "as published, number of questions unknown")
    low, high = wilson(share * result.n, result.n, level)
    return Estimate(share, low, high, result.n, level, "Wilson, independent questions assumed")


def _difference(ours: Estimate, theirs: Estimate, level: float) -> Estimate:
    """Difference of two independent shares, from their own intervals (Newcombe 1998, method 10: square and add)."""
    value = ours.value - theirs.value
    low = value - math.hypot(ours.value - ours.low, theirs.high - theirs.value)
    high = value + math.hypot(ours.high - ours.value, theirs.value - theirs.low)
    return Estimate(value, low, high, ours.n, level, "Newcombe, from both intervals")
