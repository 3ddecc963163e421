"""The last learning: once all is chosen on the tune split, its examples are learnt from too.

Which build answers, whether its records are held to their inputs, and what makes a score of its probabilities are chosen on
examples that the model has not seen. After that nothing more is chosen, and labels are dear: a tune split of a seventh of
all examples holds a seventh of all senders. As in a search for parameters that ends with a fit on everything (`refit` in
scikit-learn), the chosen model learns from the tune split as well. Calibration and test split stay unseen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from metier.progress import Progress
from metier.students.base import LabelledTexts
from metier.students.lm.building import Built, answers_of, parity_on, right_ones, write_builds
from metier.students.lm.keeping import kept
from metier.students.lm.learning import Learnt
from metier.students.lm.material import prepare
from metier.students.lm.parts import Generated
from metier.students.lm.phases import Facts
from metier.students.lm.predictor import Asking
from metier.students.lm.standing import Standing
from metier.students.lm.training import Job, facts_of, fitting_steps, limits_of, plan_of, tuned_from
from metier.students.lm.tuning.plan import PassFailed

_REFIT, _CHECK = "refit", "refit-check"
_ANSWERS = "answers.json"
# The model knows its job: it goes on at half the rate that it was tuned with.
_RATE = 0.5
# Tune items that the refitted build answers, to see that nothing broke.
_MOST_CHECKED = 32


@dataclass(frozen=True)
class Refit:
    """What answers in the end: the model in Hugging Face layout, its builds, the `adapter` of the last learning where there
    is one, what was done, in a sentence, the most memory that it took, and whether that is what answers."""

    model: Path
    built: Built
    adapter: Path | None
    story: str
    peak_memory_bytes: int = 0
    is_kept: bool = False


def refit(job: Job, learnt: Learnt, asking: Asking, built: Built, answered: list[Generated]) -> Refit:
    """Go on with the model that was chosen, on `job.last`, and write its builds. `asking` is how it will be asked,
    `answered` what the chosen build answered to the tune split before.

    What the model was before stays where there is nothing to learn from, where the pass came to nothing, or where the
    same build gets fewer of some tune examples right, from which it has now learnt, or where it loses more of the refitted
    model's right answers to them than the parity margin (or one): then something broke.
    """
    before = Refit(learnt.folder, built, None, "")
    read = set(job.last.inputs)
    n_tune = min(len(learnt.material.tune), sum(text in read for text in job.tune.inputs))
    if not n_tune:
        return before
    root = job.phases.folder
    facts = job.phases.once(_REFIT, partial(_learn, job, learnt))
    if "failed" in facts:
        return replace(before, story=f"not done: {facts['failed']}")
    made = tuned_from(facts, root)
    standing = Standing(learnt.trimmed.folder, (*learnt.adapters, *([] if made.adapter is None else [made.adapter])))
    sizes = write_builds(job, learnt.base, made.folder, standing, _REFIT)
    again = replace(built, sizes=sizes, stem=_REFIT)
    found = job.phases.once(_CHECK, lambda place: _check(job, asking, again, made.folder, answered, place))
    n, right_before, right_after = found["n"], found["before"], found["after"]
    told = f"{n_tune:,} tune examples were learnt from when all was chosen"
    why = ""
    if right_after < right_before:
        why = (
            f"{right_after:,} of {n:,} of the tune split were answered rightly then, {right_before:,} before: not kept"
        )
    elif not found["is_alike"]:
        why = f"the build of what was made loses too many of its right answers: {found['parity']}"
    if why:
        return replace(before, story=f"{told}; {why}", peak_memory_bytes=made.peak_memory_bytes)
    parity = (
        f"{built.parity}; after the last learning {built.served}, on examples that it has learnt: {found['parity']}"
    )
    again = replace(again, parity=parity)
    story = " ".join(
        (
            f"{told}, in {made.wall_s / 60:.1f} minutes: {right_after:,} of {n:,} of the tune split are answered rightly "
            f"now, {right_before:,} before. All other figures of the tune split are from before.",
            *made.notes,
        )
    )
    return Refit(made.folder, again, made.adapter, story, made.peak_memory_bytes, is_kept=True)


def _learn(job: Job, learnt: Learnt, place: Path) -> Facts:
    from metier.students.lm.tuning.tune import tune

    none = LabelledTexts((), ())
    material = prepare(learnt.trimmed.folder, learnt.asking.form, job.last, none, limits_of(job))
    plan = fitting_steps(plan_of(job.settings, job.seed), learnt.material)
    last = replace(plan, epochs=1, evaluations=1, patience=0, rate=_RATE * plan.rate)
    recipe, progress = job.phases.recipe, _told(job.progress)
    try:
        made = tune(learnt.folder, material.train, (), last, place, recipe=recipe, progress=progress)
    except PassFailed as problem:
        return {"failed": str(problem)}
    return facts_of(made, job.phases.folder)


def _told(progress: Progress) -> Progress:
    def say(description: str, done: int, total: int | None) -> None:
        progress(description.replace("Tuning", "Learning from the tune split too", 1), done, total)

    return say


def _check(job: Job, asking: Asking, built: Built, model: Path, answered: list[Generated], place: Path) -> Facts:
    """How many of some tune examples the build of the refitted `model` gets right, and whether it answers as the model
    does: both have learnt those examples, so that what differs is the build's doing."""
    places = np.sort(np.random.default_rng(job.seed).permutation(len(job.tune))[:_MOST_CHECKED])
    some = job.tune.take(places)
    job.progress("Looking at what was learnt last", 0, None)
    after = kept(place / _ANSWERS, partial(answers_of, job, asking, built.served, some.inputs, built.stem))
    before = [answered[at] for at in places]
    wanted = [asking.reader.conclusion(label) for label in some.labels]
    right = {
        name: int(right_ones(job, asking.read(written, some.inputs), wanted).sum())
        for name, written in (("before", before), ("after", after))
    }
    # Of so few items none may be one too many: one less is the least that can be seen.
    margin = max(job.settings.parity_margin, 1 / len(some))
    same = parity_on(job, asking.copying(()), model, built.served, some, place, margin, built.stem)
    return {"n": len(some), **right, "is_alike": same.holds, "parity": same.sentence}
