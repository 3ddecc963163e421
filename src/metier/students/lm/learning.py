"""From examples to a tuned model: prompt form, vocabulary, tuning, preference, each on what the one before it made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from metier.students.lm.material import Material
from metier.students.lm.parts import Base, PromptForm, Trimmed, Tuned
from metier.students.lm.preferring import draft_tally, learn_preferences
from metier.students.lm.prompts import baked_form, full_form, has_instructions
from metier.students.lm.training import Job, cut_vocabulary, encode_splits, name_of, plan_of, tune_on


@dataclass(frozen=True)
class Learnt:
    """A tuned model with all that was decided on the way.

    `full` is the frontier model's prompt, `form` the one that the model reads; `folder` the model in Hugging Face layout,
    after preference tuning where that was kept.
    """

    base: Base
    trimmed: Trimmed
    full: PromptForm
    form: PromptForm
    material: Material
    tuned: Tuned
    folder: Path
    preference_adapter: Path | None
    method: str
    baking: str
    preference: str


def learn(job: Job, base: Base) -> Learnt:
    """All phases up to the model that is exported."""
    full, baked = full_form(job.task, base.folder), baked_form(job.task, base.folder)
    trimmed = cut_vocabulary(job, base, (full, baked))
    chosen = _choose_form(job, trimmed, full, baked)
    n_seen = len(chosen.material.train) * max(len(chosen.tuned.curve), 1)
    preferred = learn_preferences(job, chosen.form, chosen.tuned, chosen.material.kept, n_seen)
    return Learnt(
        base,
        trimmed,
        full,
        chosen.form,
        chosen.material,
        chosen.tuned,
        preferred.folder,
        preferred.adapter,
        plan_of(job.settings, job.seed).method,
        chosen.baking,
        preferred.story,
    )


@dataclass(frozen=True)
class _Chosen:
    form: PromptForm
    material: Material
    tuned: Tuned
    baking: str = ""


def _choose_form(job: Job, trimmed: Trimmed, full: PromptForm, baked: PromptForm) -> _Chosen:
    """The model tuned in the form that the settings name. Where they leave it open, both are tuned and asked the tune
    split, and the instructions are dropped where no fewer answers are right without them."""
    if not has_instructions(full, baked):
        return _baked(job, trimmed, baked, "there are no instructions to drop")
    if job.settings.baking == "bake":
        return _baked(job, trimmed, baked, "the instructions are dropped, as asked for")
    if job.settings.baking == "keep":
        return replace(_tuned(job, trimmed, full), baking="the instructions stay, as asked for")
    if not len(job.tune):
        return replace(_tuned(job, trimmed, full), baking="the instructions stay: there is no tune split to judge by")
    with_them, without = _tuned(job, trimmed, full), _tuned(job, trimmed, baked)
    right_with, right_without = (draft_tally(job, one.form, one.tuned).right for one in (with_them, without))
    story = f"{right_without:,} of {len(job.tune):,} tune answers are right without them, {right_with:,} with them"
    if right_without >= right_with:
        return replace(without, baking=f"the instructions are dropped: {story}")
    return replace(with_them, baking=f"the instructions stay: {story}")


def _baked(job: Job, trimmed: Trimmed, form: PromptForm, reason: str) -> _Chosen:
    return replace(_tuned(job, trimmed, form), baking=reason)


def _tuned(job: Job, trimmed: Trimmed, form: PromptForm) -> _Chosen:
    material = encode_splits(job, trimmed, form)
    return _Chosen(form, material, tune_on(job, f"tuning-{name_of(form)}", trimmed, material))
