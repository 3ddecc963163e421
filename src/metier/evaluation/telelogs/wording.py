"""What a benchmark's figures say in sentences, and what a careful reader must know."""

from __future__ import annotations

import math
from collections.abc import Sequence

from metier.artefacts.benchmarks import Contestant, FormScore
from metier.artefacts.estimates import Estimate
from metier.sources.exams import Exam


def best_of(contestants: Sequence[Contestant]) -> Contestant:
    """The contestant with the highest pass@1 over all questions; of equals the first."""
    return max(contestants, key=lambda one: one.forms[0].pass_at_1.value)


def summary_of(best: Contestant, n: int) -> str:
    """The best figure in a sentence."""
    parts = [f"{_percent(score.pass_at_1)} on {score.n:,} {score.form} questions" for score in _own_forms(best)]
    return f"{best.name}: pass@1 {', '.join(parts)}, {n:,} in all."


def notes_of(contestants: Sequence[Contestant], exam: Exam, n_left: int, n_samples: int) -> tuple[str, ...]:
    """Sentences on what was set aside, on samples, failures, foreign questions and windows met in training."""
    notes = []
    if exam.aside:
        notes.append(f"{len(exam.aside):,} records were set aside and are in no score; the reasons are listed.")
    if n_left:
        notes.append(f"Limited to the first questions: {n_left:,} more were not asked.")
    still = [one.name for one in contestants if one.is_deterministic]
    if still and n_samples > 1:
        notes.append(
            f"{', '.join(still)} always answers a question the same, so maj@{n_samples} is pass@1; it was asked once."
        )
    for one in contestants:
        notes += _notes_on(one)
    return tuple(notes)


def _notes_on(one: Contestant) -> list[str]:
    whole, notes = one.forms[0], []
    if whole.n_failed:
        notes.append(f"{one.name}: {whole.n_failed:,} answers are none and count as wrong; the reasons are listed.")
    if whole.n_unboxed:
        notes.append(f"{one.name}: {whole.n_unboxed:,} answers have no box and count as wrong.")
    overlap = one.overlap
    if overlap.n_near:
        notes.append(
            f"{one.name}: {overlap.n_near:,} of {overlap.n_windows:,} windows are near-duplicates of windows that it was "
            "made from. It has seen part of this test: its figures say less than they seem to."
        )
    elif math.isnan(overlap.largest_share):
        notes.append(f"{one.name}: its training windows could not be compared with the file ({_why(one)}).")
    if whole.kept is not None and whole.kept.error.scored and whole.kept.error.low > whole.kept.alpha:
        notes.append(
            f"{one.name}: {whole.kept.error.value:.1%} of the kept answers are wrong here, more than the certified "
            f"{whole.kept.alpha:.0%}: the certificate was given for other inputs and does not hold for these."
        )
    return notes


def _why(one: Contestant) -> str:
    windows, training = one.overlap.n_windows, one.overlap.n_training
    return f"{windows:,} readable windows in the file, {training:,} in its training examples"


def _own_forms(one: Contestant) -> Sequence[FormScore]:
    return one.forms[1:] or one.forms


def _percent(share: Estimate) -> str:
    return f"{100 * share.value:.1f}% ({100 * share.low:.1f}–{100 * share.high:.1f})"
