"""Prompt baking: whether the frontier prompt's instructions may be dropped from what the specialist reads."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metier.progress import Progress, silent
from metier.statistics.bootstrap import bootstrap_interval, ratio
from metier.students.lm.coding import Coder, coder_for, fitting
from metier.students.lm.parts import Encoded, PromptForm
from metier.students.lm.prompts import has_instructions
from metier.students.lm.tuning.plan import TuningPlan

FloatArray = npt.NDArray[np.float64]

# Nats an answer token: what a tuning may differ by without anybody seeing it in the answers.
LOSS_MARGIN = 0.02
_LEVEL = 0.90  # two-sided, so that each bound is a one-sided test at 5%
# Instructions shorter than this share of the prompt cost so little that they stay without a question.
_LEAST_SHARE = 0.05
# Both probes together, with what they are measured on, cost this share of a tuning in the baked form, in tokens read.
_COST_SHARE = 0.25
_LEAST_PROBE = 32
_MOST_PROBE = 256
# Tune items that the forms are compared on: more would cost more than they tell.
_MOST_JUDGED = 128
# Reading a token to learn from it, forward and backward, costs this many times reading it to judge.
_LEARNING_COST = 3.0


@dataclass(frozen=True)
class Baking:
    """Whether the instructions are dropped, why, and how many tokens a call that saves (mean; 0 where they stay)."""

    bake: bool
    reason: str
    tokens_saved: float


@dataclass(frozen=True)
class Probe:
    """What the two forms are compared on: inputs and answers of both splits, and which of the tune split's inputs belong
    together (`groups`, None: each stands alone)."""

    train_inputs: Sequence[str]
    train_answers: Sequence[str]
    tune_inputs: Sequence[str]
    tune_answers: Sequence[str]
    groups: Sequence[str] | None = None


def decide_baking(
    folder: Path,
    full: PromptForm,
    baked: PromptForm,
    probe: Probe,
    plan: TuningPlan,
    work: Path,
    *,
    max_tokens: int,
    recipe: str,
    progress: Progress = silent,
) -> Baking:
    """Tune the model in `folder` for a short while in either form, and compare what both make of the tune split.

    The instructions are dropped where the loss of the baked form is, with 95% confidence, higher by no more than
    `LOSS_MARGIN` nats an answer token. Both probes together cost a quarter of the tuning that `plan` asks for (more only
    where that buys fewer than 32 examples); an early comparison favours the instructions, since what they say has to be
    learnt otherwise, so it errs on the side of keeping them. No probe is made where there are no instructions, or where
    they are under 5% of the prompt. Examples longer than `max_tokens` in the full form take no part. `work` is this
    decision's own folder, of which nothing remains; after a kill, a probe that was done is not made again.
    """
    if not has_instructions(full, baked):
        why = full.notes[-1] if full.notes else "the prompt holds no instructions"
        return Baking(True, f"nothing to drop: {why}", 0.0)
    coders = coder_for(folder, full), coder_for(folder, baked)
    saved, share = tokens_saved(*coders, probe.tune_inputs or probe.train_inputs)
    if share < _LEAST_SHARE:
        return Baking(False, f"the instructions stay: they are {share:.1%} of the prompt's tokens", 0.0)
    learn = _fitting_places(coders[0], probe.train_inputs, probe.train_answers, max_tokens)
    judged = _fitting_places(coders[0], probe.tune_inputs, probe.tune_answers, max_tokens)
    rng = np.random.default_rng(plan.seed)
    judged = _drawn(rng, judged, _MOST_JUDGED)
    n_probe = probe_size(len(learn), len(judged), plan.epochs, share)
    if len(learn) < _LEAST_PROBE or len(judged) < 2:
        few = f"{len(learn)} train and {len(judged)} tune examples are too few to compare the two forms"
        return Baking(False, f"the instructions stay: {few}", 0.0)
    chosen = _drawn(rng, learn, n_probe)
    n_answer = np.array([len(one.ids) - one.n_prompt for one in _encoded(coders[0], probe, judged, "tune")])
    losses = []
    for name, coder in zip(("full", "baked"), coders, strict=True):
        train, tune = _encoded(coder, probe, chosen, "train"), _encoded(coder, probe, judged, "tune")
        losses.append(_probed(folder, train, tune, plan, work / name, f"{recipe}-{name}", progress))
    groups = None if probe.groups is None else [probe.groups[i] for i in judged]
    decided = by_losses(losses[0], losses[1], n_answer, groups, saved)
    shutil.rmtree(work, ignore_errors=True)
    return replace(decided, reason=f"{decided.reason}, after {n_probe} examples in either form")


def probe_size(n_train: int, n_judged: int, epochs: int, share_saved: float) -> int:
    """Examples of each probe, for both together to cost a quarter of a tuning in the baked form, judging included.

    `share_saved` in [0, 1) is the share of the full prompt's tokens that are instructions.
    """
    both = 1 + 1 / (1 - share_saved)  # what an example costs in both forms, in those of the baked one
    afforded = _COST_SHARE * epochs * n_train / both - n_judged / _LEARNING_COST
    return min(n_train, _MOST_PROBE, max(_LEAST_PROBE, int(afforded)))


def by_losses(
    full: FloatArray,
    baked: FloatArray,
    n_answer: npt.NDArray[np.int64],
    groups: Sequence[str] | None,
    saved: float,
    *,
    margin: float = LOSS_MARGIN,
) -> Baking:
    """Decide by the negative log-likelihoods (n,) in nats of the same answers, of `n_answer` (n,) tokens, in either form.

    The upper end of a cluster bootstrap's 90% interval of the difference an answer token must not exceed `margin`.
    """
    if groups is None:
        codes = np.arange(len(full))
    else:
        codes = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)[1]
    sums = np.zeros((int(codes.max(initial=-1)) + 1, 2))
    np.add.at(sums, codes, np.stack([baked - full, n_answer], axis=1))
    found = bootstrap_interval(sums, ratio, n=len(full), level=_LEVEL)
    told = f"without them the tune split's loss differs by {found.estimate:+.4f} nats an answer token"
    bounds = f"90% interval {found.lower:+.4f} to {found.upper:+.4f}, margin {margin:g}, n = {found.n}"
    if found.upper <= margin:
        return Baking(True, f"the instructions are dropped: {told} ({bounds})", saved)
    return Baking(False, f"the instructions stay: {told} ({bounds})", 0.0)


def tokens_saved(full: Coder, baked: Coder, inputs: Sequence[str]) -> tuple[float, float]:
    """The tokens that the baked form saves a call, mean over `inputs`, and their share of the full prompts' tokens."""
    long = np.array([len(ids) for ids in full.prompts(inputs)], dtype=np.float64)
    short = np.array([len(ids) for ids in baked.prompts(inputs)], dtype=np.float64)
    if not len(long):
        return 0.0, 0.0
    saved = float((long - short).mean())
    return saved, saved / float(long.mean())


def _drawn(rng: np.random.Generator, places: Sequence[int], most: int) -> list[int]:
    return sorted(int(i) for i in rng.permutation(np.asarray(places, dtype=np.int64))[:most])


def _fitting_places(coder: Coder, inputs: Sequence[str], answers: Sequence[str], max_tokens: int) -> list[int]:
    return fitting(coder.encode(inputs, answers), max_tokens)[0]


def _encoded(coder: Coder, probe: Probe, places: Sequence[int], split: str) -> list[Encoded]:
    inputs, answers = (
        (probe.train_inputs, probe.train_answers) if split == "train" else (probe.tune_inputs, probe.tune_answers)
    )
    return coder.encode([inputs[i] for i in places], [answers[i] for i in places])


def _probed(
    folder: Path,
    train: Sequence[Encoded],
    tune: Sequence[Encoded],
    plan: TuningPlan,
    work: Path,
    recipe: str,
    progress: Progress,
) -> FloatArray:
    """(n,) negative log-likelihoods of the tune split's answers in nats, after one pass over `train`."""
    from metier.students.lm.likelihood import negative_loglikelihoods
    from metier.students.lm.tuning.tune import tune as run

    # Smaller steps than the plan's: a probe has few examples to take them from.
    short = replace(plan, epochs=1, evaluations=1, patience=0, step_tokens=max(1, plan.step_tokens // 4))
    made = run(folder, train, (), short, work, recipe=recipe, progress=progress)
    return negative_loglikelihoods(made.folder, tune, plan.precision, plan.device)
