"""How fast is a pass of preference tuning, beside TRL's DPOTrainer with LoRA, and what do both learn from the same pairs?

    python benchmarks/lm_preference.py --out lm-preference.json [--trl .venv-trl/bin/python] [--quick]

Both sides begin with the same model, Gemma 3 270M that has been tuned for a minute on sroie receipts (text to record), as
the product's pass begins with a tuned model: ours with the vocabulary trimmed, TRL's with the whole one. Both learn, in
one pass, from the same pairs of the true record and a wrong one (see lm_wrong_records.py), as many in a step, by the same
loss (DPO's and the chosen answer's negative log-likelihood, both at weight 1), with the same beta, rank and rates; the
reference is the model that both begin with, its weights frozen, in both.
TRL runs twice: with its defaults but batches of four for eight (two steps, for their speed), and with the best settings
found for a CPU: weights in bfloat16, no gradient checkpointing, batches of similar length, and the fastest of several batch
sizes, then of a reference computed in the steps and one computed before them (each is tried on pairs of middling length, a
step to warm up and some to measure). Eager attention, which ours uses, made TRL no faster than torch's own.
Pairs/s count what the reference takes: ours, computed before the steps, is shared out over them. TRL's are without its
first step, in which torch warms up, ours with everything. Spread is over the steps.
What was learnt is measured for both by transformers in float32 on the whole vocabulary, for ours with the trimmed rows put
back, on pairs made in the same way of receipts that nothing here was tuned on, one of each.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lm_beside_trl import (
    SPEED_COLUMNS,
    SUFFIX,
    Speed,
    answer_nats,
    asked,
    best_settings,
    percentiles_of,
    receipts,
    run_trl,
    say,
    trl_speed,
    write_figures,
)
from lm_wrong_records import pairs_of
from metier.progress import silent
from metier.statistics.bootstrap import mean_interval
from metier.statistics.intervals import Interval, proportion
from metier.statistics.paired import paired_bootstrap
from metier.students.lm.bases import find_base
from metier.students.lm.coding import coder_for
from metier.students.lm.parts import Encoded, PromptForm
from metier.students.lm.preference import Pair, PreferencePlan, prefer
from metier.students.lm.preference.running import schedule
from metier.students.lm.preference.sequences import CodedPair, coded_pairs
from metier.students.lm.tuning.memory import give_back, peak_bytes, reset_peak
from metier.students.lm.tuning.plan import TuningPlan
from metier.students.lm.tuning.tune import tune
from metier.students.lm.vocabulary import restore, trim
from metier.students.lm.vocabulary.records import VOCABULARY_FILE

FORM = PromptForm("", SUFFIX, "<eos>", is_baked=True)
# The product's plan but for smaller steps: with this few pairs there would be two.
PLAN = PreferencePlan(step_pairs=4)


@dataclass(frozen=True)
class Sizes:
    """Receipts, of each a pair, and how far TRL is tried: thirteen minutes on two cores, of which TRL takes ten."""

    train: int = 16
    epochs: int = 2  # of the tuning that comes before
    held_out: int = 20
    probed: int = 1  # pairs a setting is measured on, at least one step
    default_steps: int = 2
    default_batch: int = 4
    batches: tuple[int, ...] = (1, 2)


QUICK = Sizes(train=8, epochs=1, held_out=4, default_batch=1, batches=(1,))


@dataclass(frozen=True)
class Start:
    """What both sides begin with: `trimmed` and, of the same weights, `whole`, which was cut from `base`."""

    base: Path
    trimmed: Path
    whole: Path


@dataclass(frozen=True)
class Found:
    """What a model finds of n held-out pairs: (n,) DPO's losses and margins in nats, both against the start, and whether
    the chosen answer is likelier than the rejected one; nats per token of the chosen answers."""

    losses: npt.NDArray[np.float64]
    margins: npt.NDArray[np.float64]
    is_likelier: npt.NDArray[np.bool_]
    nats_a_token: float


class HeldOut:
    """Pairs that nothing is tuned on, and what the start finds of them."""

    def __init__(self, pairs: Sequence[Pair], start: Start) -> None:
        coded = coded_pairs(coder_for(start.base, FORM), pairs, PLAN.max_tokens)
        self.companies = [json.loads(pair.chosen)["company"] for pair in pairs]
        self._answers = [
            Encoded((*pair.prompt, *answer), len(pair.prompt))
            for pair in coded
            for answer in (pair.chosen, pair.rejected)
        ]
        self._n_chosen = sum(len(pair.chosen) for pair in coded)
        self._start = self._nats(start.whole)
        self.before = self._found(self._start)

    def of(self, folder: Path) -> Found:
        """What the model in `folder` finds."""
        return self._found(self._nats(folder))

    def _nats(self, folder: Path) -> npt.NDArray[np.float64]:
        return answer_nats(folder, self._answers).reshape(-1, 2)

    def _found(self, nats: npt.NDArray[np.float64]) -> Found:
        gained = self._start - nats
        margins = gained[:, 0] - gained[:, 1]
        return Found(
            np.logaddexp(0.0, -PLAN.beta * margins),
            margins,
            nats[:, 0] < nats[:, 1],
            float(nats[:, 0].sum()) / self._n_chosen,
        )


@dataclass(frozen=True)
class Side:
    """One way of preference tuning; `found` is None where nothing was measured."""

    name: str
    speed: Speed
    found: Found | None


@dataclass(frozen=True)
class Setting:
    """What TRL is tried with."""

    batch: int
    is_beforehand: bool = False

    def __str__(self) -> str:
        when = "before" if self.is_beforehand else "in"
        return f"batch of {self.batch}, reference {when} the steps"

    def job(self, a_step: int, length: Mapping[str, Any]) -> dict[str, Any]:
        """What it adds to a job, for steps of `a_step` pairs and so much training."""
        config = {
            **best_settings(self.batch, a_step),
            **length,
            "beta": PLAN.beta,
            "loss_type": ["sigmoid", "sft"],
            "loss_weights": [1.0, PLAN.sft_weight],
            "learning_rate": PLAN.rate,
            "max_grad_norm": PLAN.clip,
            "max_length": None,
            "precompute_ref_log_probs": self.is_beforehand,
        }
        return {"config": config, "dtype": "bfloat16"}


def start_of(base: Path, pairs: Sequence[Pair], epochs: int, work: Path) -> Start:
    say("tuning the model that both begin with")
    texts = [pair.input + SUFFIX + answer for pair in pairs for answer in (pair.chosen, pair.rejected)]
    trimmed = trim(base, texts, work / "trimmed").folder
    encoded = coder_for(trimmed, FORM).encode([pair.input for pair in pairs], [pair.chosen for pair in pairs])
    tokens = sum(len(one.ids) - one.n_prompt for one in encoded)
    plan = TuningPlan(epochs=epochs, patience=0, step_tokens=tokens * 4 // len(encoded))
    tuned = tune(trimmed, encoded, [], plan, work / "start", recipe="benchmark", progress=silent)
    restore(tuned.folder, base, work / "start-whole")
    return Start(base, tuned.folder, work / "start-whole")


def our_side(start: Start, pairs: Sequence[Pair], held: HeldOut, work: Path) -> Side:
    say("metier")
    stamps: dict[tuple[str, int], float] = {}
    peak = 0

    def progress(description: str, done: int, total: int | None) -> None:
        nonlocal peak
        stamps.setdefault((description, done), time.perf_counter())
        if done == total:
            peak = peak_bytes(torch.device("cpu"))  # later the changes are merged, which is not counted for TRL either

    give_back()
    reset_peak(torch.device("cpu"))
    made = prefer(start.trimmed, pairs, PLAN, work / "ours", form=FORM, recipe="benchmark", progress=progress)
    reference_s = stamps["Reading pairs", len(pairs)] - stamps["Reading pairs", 0]
    n_steps = len(made.margins)
    step_s = np.diff([stamps["Preference tuning", step] for step in range(n_steps + 1)])
    n = np.array([len(pairs[at : at + PLAN.step_pairs]) for at in range(0, len(pairs), PLAN.step_pairs)])
    step_s += reference_s / len(pairs) * n
    shutil.copyfile(start.trimmed / VOCABULARY_FILE, made.folder / VOCABULARY_FILE)
    restore(made.folder, start.base, work / "ours-whole")
    speed = Speed(len(pairs) / float(step_s.sum()), percentiles_of(n / step_s), n_steps, len(pairs), peak)
    return Side("metier", speed, held.of(work / "ours-whole"))


def trl_sides(
    python: Path, start: Start, pairs: Sequence[CodedPair], held: HeldOut, sizes: Sizes, work: Path
) -> tuple[list[Side], dict[Setting, float]]:
    """Its defaults, then its best, and pairs/s of every setting that was tried."""
    job = {"trainer": "dpo", "folder": str(start.whole), "rates": None, "merged": None}
    usual = {"per_device_train_batch_size": sizes.default_batch, "max_steps": sizes.default_steps}
    loaded = {"rows": rows(pairs), "config": usual, "lora": {}, "dtype": None}
    default = run_trl(python, work, "defaults", {**job, **loaded})
    job["lora"] = {"r": PLAN.rank, "lora_alpha": PLAN.rank, "target_modules": "all-linear"}
    tried: dict[Setting, float] = {}

    def fastest(settings: Sequence[Setting]) -> Setting:
        for one in settings:
            if one not in tried:
                steps = 1 + max(1, sizes.probed // one.batch)
                some = rows(middling(pairs, one.batch * steps))
                asked_for = one.job(one.batch, {"max_steps": steps})
                tried[one] = trl_speed(run_trl(python, work, str(one), {**job, "rows": some, **asked_for})).per_s
        return max(settings, key=lambda one: tried[one])

    best = fastest([Setting(batch) for batch in sizes.batches])
    best = fastest([best, replace(best, is_beforehand=True)])
    n_steps = -(-len(pairs) // PLAN.step_pairs)
    job |= {
        "rows": rows(pairs),
        "rates": [PLAN.rate * schedule(step, n_steps, PLAN.warm_up) for step in range(n_steps)],
        "merged": str(work / "trl-whole"),
    }
    found = run_trl(python, work, "best", {**job, **best.job(PLAN.step_pairs, {"num_train_epochs": 1})})
    return [
        Side(f"TRL, its defaults, batch of {sizes.default_batch}", trl_speed(default), None),
        Side(f"TRL, best CPU settings ({best})", trl_speed(found), held.of(work / "trl-whole")),
    ], tried


def rows(pairs: Sequence[CodedPair]) -> list[dict[str, Any]]:
    """The columns that DPOTrainer makes of texts, and the length that batches are grouped by."""
    return [
        {
            "prompt_ids": pair.prompt,
            "chosen_ids": pair.chosen,
            "rejected_ids": pair.rejected,
            "length": pair.n_tokens,
        }
        for pair in pairs
    ]


def middling(pairs: Sequence[CodedPair], n: int) -> list[CodedPair]:
    """The `n` pairs about the median length, so that settings tried on several of them are tried on the same work."""
    ordered = sorted(pairs, key=lambda pair: pair.n_tokens)
    first = max(0, (len(ordered) - n) // 2)
    return ordered[first : first + n]


def table(sides: Sequence[Side], held: HeldOut, tokens: float, tried: Mapping[Setting, float]) -> str:
    """Markdown; speeds beside those of each TRL side, what was learnt beside the start's."""
    default, best = sides[0].speed, sides[1].speed
    lines = [
        f"| | pairs/s | {SPEED_COLUMNS} | peak memory, GiB | steps | pairs seen |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {side.name} | {side.speed.cells(tokens, best, default)} | {side.speed.peak_memory_bytes / 2**30:.1f} | "
        f"{side.speed.n_steps} | {side.speed.n_seen} |"
        for side in sides
    ]
    lines += [
        "",
        "| held-out pairs | n | DPO loss | margin above 0 | margin, nats | chosen likelier than rejected "
        "| chosen answer, nats per token |",
        "|---|---|---|---|---|---|---|",
        row("before, both", held.before, held.companies),
    ]
    learnt = {side.name: side.found for side in sides if side.found is not None}
    lines += [row(name, found, held.companies) for name, found in learnt.items()]
    theirs, ours = learnt.values()
    difference = paired_bootstrap(ours.losses, theirs.losses, groups=held.companies)
    settings = "; ".join(f"{setting}: {speed:.2f}" for setting, speed in tried.items())
    return "\n".join(
        [
            *lines,
            "",
            "Held-out: float32, whole vocabulary (ours with the trimmed rows put back), one pair a receipt of other "
            "companies, 95% intervals over companies. Margin: by how many nats more than before the chosen answer is "
            f"likelier than the rejected one. DPO loss, ours less TRL's best, paired: {told(difference, 4)}. "
            f"TRL's pairs/s by setting: {settings}.",
        ]
    )


def row(name: str, found: Found, companies: Sequence[str]) -> str:
    intervals = [
        told(mean_interval(found.losses, companies), 4),
        told(proportion(found.margins > 0, companies), 2),
        told(mean_interval(found.margins, companies), 2),
        told(proportion(found.is_likelier, companies), 2),
    ]
    return f"| {name} | {len(companies)} | {' | '.join(intervals)} | {found.nats_a_token:.4f} |"


def told(interval: Interval, digits: int) -> str:
    return f"{interval.estimate:.{digits}f} ({interval.lower:.{digits}f} to {interval.upper:.{digits}f})"


def main() -> None:
    given = asked(__doc__)
    sizes = QUICK if given.quick else Sizes()
    train, other = receipts(sizes.train, sizes.held_out)
    pairs = pairs_of(train)
    base = find_base("gemma3-270m", accepted=("gemma",)).folder
    coded = coded_pairs(coder_for(base, FORM), pairs, PLAN.max_tokens)
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as name:
        work = Path(name)
        start = start_of(base, pairs, sizes.epochs, work)
        held = HeldOut(pairs_of(other), start)
        ours = our_side(start, pairs, held, work)
        theirs, tried = trl_sides(given.trl, start, coded, held, sizes, work)
    sides = [*theirs, ours]
    tokens = sum(len(pair.chosen) + len(pair.rejected) for pair in coded) / len(coded)
    figures = {
        "sides": [{"name": side.name, "speed": asdict(side.speed), "held_out": kept(side.found)} for side in sides],
        "held_out_before": kept(held.before),
        "held_out_companies": held.companies,
        "trl_pairs_per_s_by_setting": {str(setting): speed for setting, speed in tried.items()},
        "answer_tokens_a_pair": tokens,
    }
    write_figures(given.out, figures)
    sys.stdout.write(table(sides, held, tokens, tried) + "\n")


def kept(found: Found | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "dpo_losses": found.losses.tolist(),
        "margins": found.margins.tolist(),
        "is_likelier": found.is_likelier.tolist(),
        "nats_a_token": found.nats_a_token,
    }


if __name__ == "__main__":
    main()
