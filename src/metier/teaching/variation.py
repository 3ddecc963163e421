"""New inputs made of known ones: the teacher rewrites them, so that rare wordings are seen more often than they came."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metier.artefacts.tasks import OutputKind
from metier.generalists import Generalist, Question
from metier.generalists.protocol import sampled
from metier.progress import Progress, silent
from metier.teaching import reasons
from metier.teaching.lessons import cost_usd
from metier.teaching.screening import VARIED, Candidate, Rejected, Scrub, candidate_id, candidates

INSTRUCTION = (
    "The user sends one text of a kind that a company receives every day. Write another text of the same kind, as "
    "somebody else might have written it on another day: the same language, form, tone and length, the same kind of "
    "content in the same order where the form is fixed, but other names, places, numbers, dates and wording. Do not answer "
    "the text and do not explain. Write the new text and nothing else."
)


@dataclass(frozen=True)
class Varied:
    """The texts that the teacher wrote, and what it failed at."""

    candidates: tuple[Candidate, ...]
    rejected: tuple[Rejected, ...]
    cost_usd: float


def vary(
    bases: Sequence[str],
    n: int,
    generalist: Generalist,
    *,
    temperature: float | None,
    seed: int,
    scrub: Scrub | None = None,
    progress: Progress = silent,
) -> Varied:
    """`n` rewritings of `bases`, which are taken in an order drawn by the seed, again from its start where they run out.
    `scrub` takes personal data out of what is written: the teacher is asked for names and numbers of its own."""
    if not n or not bases:
        return Varied((), (), 0.0)
    order = np.random.default_rng(seed).permutation(len(bases)).tolist()
    questions = []
    for number, place in zip(range(n), itertools.cycle(order), strict=False):
        base = bases[place]
        asked = Question(
            f"vary-{candidate_id(base)}", base, kind=OutputKind.TEXT, instruction=INSTRUCTION, temperature=temperature
        )
        # From 1 on: a first answer would be the model's most probable one, and so the least varied.
        questions.append(sampled(asked, 1 + number // len(bases)))
    answers = generalist.answer(questions, progress=progress)
    written, rejected = [], []
    for question, answer in zip(questions, answers, strict=True):
        if answer.text is None:
            reason = reasons.NO_VARIATION.format(answer.failure) if answer.asked else reasons.NOT_ASKED
            rejected.append(Rejected(question.id, question.input, reason))
        else:
            written.append(answer.text)
    return Varied(tuple(candidates(written, VARIED, scrub)), tuple(rejected), cost_usd(answers))
