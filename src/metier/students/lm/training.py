"""From examples to a tuned model: prompt form, vocabulary, tuning; every phase leaves its result, so a kill costs one."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from metier.progress import Progress
from metier.students.base import LabelledTexts, TaskSpec
from metier.students.exports import epoch_points
from metier.students.lm.material import Limits, Material, prepare
from metier.students.lm.parts import Base, PromptForm, Trimmed, Tuned
from metier.students.lm.phases import Facts, Phases
from metier.students.lm.prompts import texts_read
from metier.students.lm.settings import LmSettings
from metier.students.lm.tuning.plan import SoftLabels, TuningPlan

# Rates that suit a model of some hundred millions of parameters: low-rank changes bear ten times that of whole matrices.
_RATES = {"lora": 1e-3, "full": 1e-4}
# Steps are counted in answer tokens. Where an answer is a word or two, that many tokens are hundreds of examples, and a
# small train split would be a step or two: no step holds many more examples than this.
_MOST_IN_STEP = 32


# Nor less than so many, or a pass of so many steps, whichever is more: a small split in large steps is hardly learnt from.
_LEAST_IN_STEP, _STEPS_IN_PASS = 4, 100
_NONE = LabelledTexts((), ())


@dataclass(frozen=True)
class Job:
    """What is to be learnt, and how. `classes` are those of a label task; a prompt and its answer may take `n_context`
    tokens together. `is_reasoned`: the splits' labels are whole answers, a rationale and the label in a box. `variants`
    of the train split are learnt from in place of further passes over it (none: the passes); a `teacher`'s token
    probabilities are learnt beside the answers; `last` is learnt from when all is chosen (none: nothing is)."""

    train: LabelledTexts
    tune: LabelledTexts
    task: TaskSpec
    classes: tuple[str, ...]
    settings: LmSettings
    seed: int
    phases: Phases
    progress: Progress
    n_context: int
    is_reasoned: bool = False
    variants: LabelledTexts = _NONE
    teacher: Base | None = None
    last: LabelledTexts = _NONE


def cut_vocabulary(job: Job, base: Base, forms: Sequence[PromptForm]) -> Trimmed:
    """The base with the vocabulary that the train split needs in every prompt form that may be used."""
    from metier.students.lm.vocabulary import read_trimmed, trim

    def make(place: Path) -> Facts:
        read = (job.train, job.variants)
        texts = [text for form in forms for some in read for text in texts_read(form, some.inputs, some.labels)]
        made = trim(base.folder, dict.fromkeys(texts), place, mode=job.settings.vocabulary, progress=job.progress)
        return {"mode": made.mode, "reason": made.reason}

    job.phases.once("vocabulary", make)
    return read_trimmed(job.phases.folder / "vocabulary")


def encode_splits(job: Job, trimmed: Trimmed, form: PromptForm) -> Material:
    """Both splits as token ids in one prompt form."""
    return prepare(trimmed.folder, form, job.train, job.tune, limits_of(job), job.variants)


def limits_of(job: Job) -> Limits:
    """What an example may have in tokens to be learnt from."""
    return Limits(job.settings.max_tokens, job.settings.max_output_tokens, job.n_context)


def context_of(settings: LmSettings, base: Base) -> int:
    """Tokens that a prompt and its answer may take together: as the settings say, but no more than the base can."""
    wanted = settings.max_tokens + settings.max_output_tokens
    config = json.loads((base.folder / "config.json").read_bytes())
    return min(wanted, int(config.get("max_position_embeddings") or wanted))


def plan_of(settings: LmSettings, seed: int, is_varied: bool = False) -> TuningPlan:
    """The tuning that the settings ask for, of examples alone or with variants beside them."""
    default = TuningPlan()
    method = default.method if settings.method == "auto" else settings.method
    rate = settings.learning_rate or _RATES[method]
    passes, processes = settings.passes(is_varied), settings.processes
    return TuningPlan(method=method, epochs=passes, rate=rate, processes=processes, seed=seed)


def fitting_steps(plan: TuningPlan, material: Material) -> TuningPlan:
    """The plan with steps that suit the train split: of a hundredth of it, but at least 4 examples and at most 32, and
    never of more answer tokens than the plan says.

    The rate goes with the square root of a step's size, as suits Adam (Malladi et al., "On the SDEs and Scaling Rules for
    Adaptive Gradient Algorithms", NeurIPS 2022).
    """
    n = len(material.train)
    tokens_each = sum(len(one.ids) - one.n_prompt for one in material.train) / n
    full = min(plan.step_tokens, math.ceil(_MOST_IN_STEP * tokens_each))
    step = min(full, math.ceil(max(_LEAST_IN_STEP, n / _STEPS_IN_PASS) * tokens_each))
    return replace(plan, step_tokens=step, rate=plan.rate * math.sqrt(step / full))


def in_passes(plan: TuningPlan, material: Material) -> TuningPlan:
    """The plan for the train split and its variants, which make one long pass in a mixed order, measured as often, but read
    to its end: nothing in it is learnt by heart."""
    return replace(plan, epochs=1, evaluations=plan.epochs, patience=0) if material.variants else plan


def shares_of(material: Material, n_train: int, n: int) -> list[list[int]]:
    """What each of `n` trainings reads of the train split and, after it, its variants: all of the one and every `n`th round
    of the others, of `n_train` variants each before those that were too long were left out."""
    n_kept = len(material.train)
    rounds = [place // n_train for place in material.variants_kept]
    return [
        [*range(n_kept), *(n_kept + at for at, round_ in enumerate(rounds) if round_ % n == number)]
        for number in range(n)
    ]


def tune_on(job: Job, trimmed: Trimmed, material: Material, soft: SoftLabels | None = None) -> Tuned:
    """The model tuned on this material; `soft` are a teacher's labels of the train split and, after it, of its variants."""
    from metier.students.lm.tuning.soups import tune_several

    root = job.phases.folder

    def make(place: Path) -> Facts:
        asked = plan_of(job.settings, job.seed, is_varied=bool(material.variants))
        plan, recipe = in_passes(fitting_steps(asked, material), material), job.phases.recipe
        examples = (*material.train, *material.variants)
        made = tune_several(
            trimmed.folder,
            examples,
            material.tune,
            plan,
            place,
            shares=shares_of(material, len(job.train), job.settings.trainings),
            recipe=recipe,
            progress=job.progress,
            soft=soft,
        )
        return facts_of(made, root)

    return tuned_from(job.phases.once("tuning", make), root)


def facts_of(made: Tuned, root: Path) -> Facts:
    """A tuned model as `tuned_from` reads it, its files by their paths in the work folder `root`."""
    return {
        **vars(made),
        "folder": relative(made.folder, root),
        "adapter": relative(made.adapter, root) if made.adapter else None,
        "curve": [asdict(point) for point in made.curve],
    }


def tuned_from(facts: Facts, root: Path) -> Tuned:
    """What `facts_of` wrote down."""
    return Tuned(
        folder=root / facts["folder"],
        adapter=root / facts["adapter"] if facts["adapter"] else None,
        curve=epoch_points(facts["curve"]),
        best_epoch=facts["best_epoch"],
        wall_s=number(facts["wall_s"]),
        examples_per_s=number(facts["examples_per_s"]),
        tokens_per_s=number(facts["tokens_per_s"]),
        peak_memory_bytes=facts["peak_memory_bytes"],
        notes=tuple(facts["notes"]),
    )


def relative(path: Path, root: Path) -> str:
    """A path below the work folder as it is written down: the project may be moved before the next run."""
    return str(path.resolve().relative_to(root.resolve()))


def number(value: float | None) -> float:
    """A figure as it was before JSON, which knows no NaN."""
    return math.nan if value is None else value
