"""From examples to a tuned model: prompt form, vocabulary, teacher, tuning, preference, each on what was made before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from metier.students.lm.baking import Baking, Probe, decide_baking, tokens_saved
from metier.students.lm.building import PARALLEL
from metier.students.lm.coding import coder_for
from metier.students.lm.material import Material, answer_limit
from metier.students.lm.parts import Base, PromptForm, Trimmed, Tuned
from metier.students.lm.phases import Facts
from metier.students.lm.predictor import Asking, asking_of
from metier.students.lm.preferring import learn_preferences
from metier.students.lm.prompts import baked_form, full_form, has_instructions
from metier.students.lm.rehearsing import rehearse
from metier.students.lm.teacher import ask_teacher
from metier.students.lm.training import Job, cut_vocabulary, encode_splits, plan_of, tune_on


@dataclass(frozen=True)
class Learnt:
    """A tuned model with all that was decided on the way.

    `asking` holds the prompt that the model reads; `folder` the model in Hugging Face layout, after preference tuning where
    that was kept.
    """

    base: Base
    trimmed: Trimmed
    asking: Asking
    material: Material
    tuned: Tuned
    folder: Path
    preference_adapter: Path | None
    method: str
    baking: Baking
    preference: str

    @property
    def adapters(self) -> tuple[Path, ...]:
        """What was tuned on the base, in order: none where the layers' whole matrices were."""
        return tuple(one for one in (self.tuned.adapter, self.preference_adapter) if one is not None)


def learn(job: Job, base: Base) -> Learnt:
    """All phases up to the model that is exported."""
    full, baked = full_form(job.task, base.folder), baked_form(job.task, base.folder)
    trimmed = cut_vocabulary(job, base, (full, baked))
    untuned = asking_of(job.task, job.classes, full, job.settings.max_output_tokens, is_reasoned=job.is_reasoned)
    rehearse(job, trimmed, untuned.constraint, (full, baked), parallel=PARALLEL)
    baking = _decide(job, trimmed, full, baked)
    form = baked if baking.bake else full
    material = encode_splits(job, trimmed, form)
    taught = ask_teacher(job, trimmed, material)
    tuned = tune_on(job, trimmed, material, taught.soft)
    tuned = replace(tuned, notes=(*taught.notes, *tuned.notes))
    n_seen = len(material.train) * max(len(tuned.curve), 1)
    limit = answer_limit(material, job.settings.max_output_tokens)
    asking = asking_of(job.task, job.classes, form, limit, is_reasoned=job.is_reasoned)
    preferred = learn_preferences(job, asking, tuned, material.kept, n_seen)
    return Learnt(
        base,
        trimmed,
        asking,
        material,
        tuned,
        preferred.folder,
        preferred.adapter,
        plan_of(job.settings, job.seed).method,
        baking,
        preferred.story,
    )


def _decide(job: Job, trimmed: Trimmed, full: PromptForm, baked: PromptForm) -> Baking:
    """Whether the instructions are dropped: as asked for, else by short trainings in either form."""
    if job.settings.baking == "auto" or not has_instructions(full, baked):
        return Baking(**job.phases.once("baking", lambda place: _probe(job, trimmed, full, baked, place)))
    if job.settings.baking == "keep":
        return Baking(False, "the instructions stay, as asked for", 0.0)
    coders = coder_for(trimmed.folder, full), coder_for(trimmed.folder, baked)
    saved, _ = tokens_saved(*coders, job.tune.inputs or job.train.inputs)
    return Baking(True, "the instructions are dropped, as asked for", saved)


def _probe(job: Job, trimmed: Trimmed, full: PromptForm, baked: PromptForm, place: Path) -> Facts:
    probe = Probe(job.train.inputs, job.train.labels, job.tune.inputs, job.tune.labels, job.tune.groups)
    decided = decide_baking(
        trimmed.folder,
        full,
        baked,
        probe,
        plan_of(job.settings, job.seed),
        place,
        max_tokens=job.n_context,
        recipe=job.phases.recipe,
        progress=job.progress,
    )
    return vars(decided)
