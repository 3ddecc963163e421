"""The preference phases: the tuned model learns from its own mistakes, and what it becomes is kept only where it helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from metier.artefacts.tasks import OutputKind
from metier.errors import NotEnoughData
from metier.students.lm.engine import LlamaEngine
from metier.students.lm.exporting import write_gguf
from metier.students.lm.parts import PromptForm, Tuned
from metier.students.lm.phases import Facts
from metier.students.lm.predictor import Asking
from metier.students.lm.preference import (
    Pair,
    PreferencePlan,
    Tally,
    affordable_pairs,
    collect_pairs,
    judge_of,
    keep_preference,
    prefer,
    tally,
    worth_it,
)
from metier.students.lm.training import Job, relative
from metier.students.lm.tuning.plan import PassFailed

# The build that is looked at: as good as the model itself, and fast enough to sample from.
_BUILD = "q8_0"
_DRAFT, _PREFERRED = "draft", "preferred-draft"
# Answers written side by side.
_PARALLEL = 4


@dataclass(frozen=True)
class Preference:
    """The model to go on with, the pass's own `adapter` where it is kept, and what was done, in a sentence."""

    folder: Path
    adapter: Path | None
    story: str


def learn_preferences(job: Job, asking: Asking, made: Tuned, kept: Sequence[int], n_seen: int) -> Preference:
    """Sample the tuned model on the train split, pair its mistakes with right answers, one pass of preference tuning.

    `kept` are the places of the train split that were learnt from, `n_seen` counts the examples seen in tuning, which
    bounds the pairs. Both models are judged by what their 8-bit builds answer to the tune split, asked as the specialist
    will be.
    """
    tuned, wanted = made.folder, job.settings.preference
    if wanted == "off":
        return Preference(tuned, None, "off")
    if job.task.kind is OutputKind.LABEL:
        return Preference(tuned, None, "not tried: the answer is a label")
    plan, max_pairs = PreferencePlan(max_tokens=job.n_context, seed=job.seed), affordable_pairs(n_seen)
    if max_pairs < plan.min_pairs:
        return Preference(tuned, None, f"not tried: {len(kept):,} examples are too few to learn preferences from")
    before = _tally(job, asking, tuned, _DRAFT)
    worth = worth_it(before)
    if wanted == "auto" and not worth.keep:
        return Preference(tuned, None, worth.reason)
    pairs, found = _pairs(job, asking, kept, max_pairs)
    if len(pairs) < plan.min_pairs:
        return Preference(tuned, None, f"not tried: {found}, and {plan.min_pairs} are needed")
    facts = job.phases.once("preference", lambda place: _prefer(job, asking.form, tuned, pairs, plan, place))
    if facts["folder"] is None:
        return Preference(tuned, None, f"not done: {facts['story']}")
    root = job.phases.folder
    decision = keep_preference(before, _tally(job, asking, root / facts["folder"], _PREFERRED))
    story = f"{found}; {facts['story']}; {decision.reason}"
    if not decision.keep:
        return Preference(tuned, None, story)
    return Preference(root / facts["folder"], root / facts["adapter"], story)


def _open_engine(job: Job, path: Path) -> LlamaEngine:
    """A build that is only looked at, on all cores."""
    return LlamaEngine(path, n_context=job.n_context, threads=0, parallel=_PARALLEL)


def _tally(job: Job, asking: Asking, model: Path, name: str) -> Tally:
    """The phase `name`: the model's 8-bit build in `<name>/model.gguf`, and what it answers to the tune split."""

    def make(place: Path) -> Facts:
        path = place / "model.gguf"
        write_gguf(model, path, _BUILD)
        job.progress("Looking at the tuned model's answers", 0, None)
        with _open_engine(job, path) as engine:
            answers = asking.write(engine, job.tune.inputs)
        return asdict(tally(judge_of(job.task), answers, job.tune.inputs, job.tune.labels))

    return Tally(**job.phases.once(name, make))


def _pairs(job: Job, asking: Asking, kept: Sequence[int], max_pairs: int) -> tuple[list[Pair], str]:
    def make(_: Path) -> Facts:
        learn = job.train.take(list(kept))
        path = job.phases.folder / _DRAFT / "model.gguf"
        with _open_engine(job, path) as engine:
            found = collect_pairs(
                engine,
                asking.form,
                learn.inputs,
                learn.labels,
                judge_of(job.task),
                max_pairs=max_pairs,
                max_tokens=asking.max_output_tokens,
                seed=job.seed,
                progress=job.progress,
            )
        return {"pairs": [asdict(pair) for pair in found.pairs], "found": found.told()}

    facts = job.phases.once("pairs", make)
    return [Pair(**pair) for pair in facts["pairs"]], facts["found"]


def _prefer(job: Job, form: PromptForm, tuned: Path, pairs: list[Pair], plan: PreferencePlan, place: Path) -> Facts:
    try:
        made = prefer(tuned, pairs, plan, place, form=form, recipe=job.phases.recipe, progress=job.progress)
    except (NotEnoughData, PassFailed) as problem:
        return {"folder": None, "adapter": None, "story": str(problem)}
    root = job.phases.folder
    return {
        "folder": relative(made.folder, root),
        "adapter": relative(made.adapter, root),
        "story": made.story(),
    }
