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

from metier.progress import Progress
from metier.students.base import LabelledTexts
from metier.students.lm.building import Built, answers_of, compared_places, right_ones, write_builds
from metier.students.lm.keeping import kept
from metier.students.lm.learning import Learnt
from metier.students.lm.material import prepare
from metier.students.lm.parts import Generated
from metier.students.lm.phases import Facts
from metier.students.lm.predictor import Asking
from metier.students.lm.standing import Standing
from metier.students.lm.training import Job, facts_of, fitting_steps, limits_of, plan_of, tuned_from

_REFIT, _CHECK = "refit", "refit-check"
_ANSWERS = "answers.json"
# The model knows its job: it goes on at half the rate that it was tuned with.
_RATE = 0.5
# Tune items that the refitted build answers, to see that nothing broke.
_MOST_CHECKED = 32


@dataclass(frozen=True)
class Refit:
    """What answers in the end: the model in Hugging Face layout, its builds, the `adapter` of the last learning where there
    is one, and what was done, in a sentence."""

    model: Path
    built: Built
    adapter: Path | None
    story: str


def refit(job: Job, learnt: Learnt, asking: Asking, built: Built, answered: list[Generated]) -> Refit:
    """Go on with the model that was chosen, on `job.last`, and write its builds. `asking` is how it will be asked,
    `answered` what the chosen build answered to the tune split before.

    What the model was before stays where there is nothing to learn from, or the same build gets fewer of those tune
    examples right that it has now learnt from: then something broke.
    """
    if not len(job.last):
        return Refit(learnt.folder, built, None, "")
    root = job.phases.folder
    made = tuned_from(job.phases.once(_REFIT, partial(_learn, job, learnt)), root)
    standing = Standing(learnt.trimmed.folder, (*learnt.adapters, *([] if made.adapter is None else [made.adapter])))
    sizes = write_builds(job, learnt.base, made.folder, standing, _REFIT)
    again = replace(built, sizes=sizes, stem=_REFIT, parity=f"before the last learning {built.parity}")
    found = job.phases.once(_CHECK, lambda place: _check(job, asking, again, answered, place))
    n, before, after = found["n"], found["before"], found["after"]
    told = f"{len(job.tune):,} tune examples were learnt from when all was chosen"
    if after < before:
        why = f"{after:,} of {n:,} of them were answered rightly then, {before:,} before: not kept"
        return Refit(learnt.folder, built, None, f"{told}; {why}")
    story = (
        f"{told}, in {made.wall_s / 60:.1f} minutes: {after:,} of {n:,} of them are answered rightly now, {before:,} "
        "before. All other figures of the tune split are from before"
    )
    return Refit(made.folder, again, made.adapter, story)


def _learn(job: Job, learnt: Learnt, place: Path) -> Facts:
    from metier.students.lm.tuning.tune import tune

    none = LabelledTexts((), ())
    material = prepare(learnt.trimmed.folder, learnt.asking.form, job.last, none, limits_of(job))
    plan = fitting_steps(plan_of(job.settings, job.seed), learnt.material)
    last = replace(plan, epochs=1, evaluations=1, patience=0, rate=_RATE * plan.rate)
    recipe, progress = job.phases.recipe, _told(job.progress)
    made = tune(learnt.folder, material.train, (), last, place, recipe=recipe, progress=progress)
    return facts_of(made, job.phases.folder)


def _told(progress: Progress) -> Progress:
    def say(description: str, done: int, total: int | None) -> None:
        progress(description.replace("Tuning", "Learning from the tune split too", 1), done, total)

    return say


def _check(job: Job, asking: Asking, built: Built, answered: list[Generated], place: Path) -> Facts:
    places = compared_places(job)[:_MOST_CHECKED]
    some = job.tune.take(places)
    job.progress("Looking at what was learnt last", 0, None)
    after = kept(place / _ANSWERS, partial(answers_of, job, asking, built.served, some.inputs, built.stem))
    before = [answered[at] for at in places]
    wanted = [asking.reader.conclusion(label) for label in some.labels]
    right = {
        name: int(right_ones(job, asking.read(written, some.inputs), wanted).sum())
        for name, written in (("before", before), ("after", after))
    }
    return {"n": len(some), **right}
