"""How fast is a language model tuned, beside TRL's SFTTrainer with LoRA, on the same receipts?

    python benchmarks/lm_tuning.py --out lm-tuning.json [--trl .venv-trl/bin/python] [--quick]

Both sides tune Gemma 3 270M on the same sroie receipts (text to record), see the same examples as many times, take as many
optimiser steps of as many examples, with the same rank and rate. TRL runs twice: with its defaults (a few steps, for their
speed), and with the best settings found for a CPU: weights in bfloat16, no gradient checkpointing, loss on answers only,
batches of similar length, the fastest of several batch sizes (tried first, a step to warm up and some to measure).
Examples/s are those of the training steps, TRL's without its first, in which torch warms up, ours with everything: the
first step, the one pass through frozen layers. Spread is over the steps.
The held-out loss is measured for both by transformers in float32 on the whole vocabulary, for ours with the trimmed rows
put back, in nats per token of the answers as the original tokenizer writes them.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
from metier.students.lm.bases import find_base
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.plan import TuningPlan

FOUR = 4  # examples in an optimiser step
RANK = 32
RATE = 1e-3
# What was to be reached.
LEAST_TO_BEST, LEAST_TO_DEFAULTS, MOST_EXCESS_LOSS, MOST_GIB = 6.0, 10.0, 0.02, 5.0


@dataclass(frozen=True)
class Sizes:
    """A quarter of an hour on two cores, of which TRL's best run takes six minutes, its defaults five."""

    train: int = 24
    held_out: int = 24
    epochs: int = 2
    probed: int = 4
    default_steps: int = 3  # of eight examples each
    batches: tuple[int, ...] = (1, 2, 4)


QUICK = Sizes(train=8, held_out=2, epochs=1, probed=1, default_steps=2, batches=(1,))


@dataclass(frozen=True)
class Side:
    """One way of tuning."""

    name: str
    speed: Speed
    held_out_loss: float


def encode(folder: Path, pairs: Sequence[tuple[str, str]]) -> list[Encoded]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    begin, end = (tokenizer.token_to_id(token) for token in ("<bos>", "<eos>"))
    found = []
    for text, answer in pairs:
        prompt = [begin, *tokenizer.encode(text + SUFFIX, add_special_tokens=False).ids]
        answered = [*tokenizer.encode(answer, add_special_tokens=False).ids, end]
        found.append(Encoded((*prompt, *answered), len(prompt)))
    return found


def held_out_loss(folder: Path, encoded: Sequence[Encoded]) -> float:
    """Nats per answer token, by transformers in float32."""
    return float(answer_nats(folder, encoded).sum()) / sum(len(one.ids) - one.n_prompt for one in encoded)


def by_trl(
    python: Path, folder: Path, encoded: Sequence[Encoded], work: Path, name: str, config: dict[str, Any],
    lora: dict[str, Any], dtype: str | None, merged: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """One training of SFTTrainer."""
    job = {
        "trainer": "sft",
        "folder": str(folder),
        "rows": [
            {"input_ids": one.ids, "labels": [-100] * one.n_prompt + list(one.ids[one.n_prompt :])} for one in encoded
        ],
        "config": config,
        "lora": lora,
        "dtype": dtype,
        "rates": None,
        "merged": None if merged is None else str(merged),
    }
    return run_trl(python, work, name, job)


def settings_of(batch: int, a_step: int = FOUR) -> dict[str, Any]:
    rates = {"learning_rate": RATE, "lr_scheduler_type": "cosine", "warmup_steps": 3}
    return {**best_settings(batch, a_step), **rates}


def trl_sides(
    python: Path, folder: Path, train: Sequence[Encoded], held: Sequence[Encoded], sizes: Sizes, work: Path
) -> tuple[list[Side], dict[int, float]]:
    """Its defaults, then its best, and examples/s of every batch size that was tried."""
    default = by_trl(python, folder, train, work, "defaults", {"max_steps": sizes.default_steps}, {}, None)
    lora = {"r": RANK, "lora_alpha": RANK, "target_modules": "all-linear"}
    tried = {}
    for batch in sizes.batches:
        settings = {**settings_of(batch, batch), "max_steps": 1 + max(1, sizes.probed // batch)}
        found = by_trl(python, folder, train, work, f"batch-{batch}", settings, lora, "bfloat16")
        tried[batch] = batch / float(np.median(found["step_s"][1:]))
    batch = max(tried, key=lambda size: tried[size])
    merged = work / "trl-merged"
    settings = {**settings_of(batch), "num_train_epochs": sizes.epochs}
    found = by_trl(python, folder, train, work, "best", settings, lora, "bfloat16", merged)
    return [
        Side("TRL, its defaults", trl_speed(default), math.nan),
        Side(f"TRL, best CPU settings (batch of {batch})", trl_speed(found), held_out_loss(merged, held)),
    ], tried


def our_side(
    base: Path, pairs: Sequence[tuple[str, str]], held: Sequence[Encoded], sizes: Sizes, work: Path, plan: TuningPlan,
    name: str,
) -> Side:  # fmt: skip
    from metier.students.lm.tuning.tune import tune
    from metier.students.lm.vocabulary import restore, trim

    say(f"metier: {name}")
    trimmed = trim(base, [text + SUFFIX + answer for text, answer in pairs], work / f"{name}-trimmed")
    train = encode(trimmed.folder, pairs)
    stamps: dict[int, float] = {}

    def progress(description: str, done: int, total: int | None) -> None:  # noqa: ARG001
        if description.startswith("Tuning"):
            stamps.setdefault(done, time.perf_counter())

    # No tune split: what the training ends with is kept, as TRL keeps it.
    tuned = tune(trimmed.folder, train, [], plan, work / f"{name}-tuned", recipe="benchmark", progress=progress)
    restored = work / f"{name}-restored"
    restore(tuned.folder, base, restored)
    step_s = np.diff([stamps[step] for step in sorted(stamps)])
    speed = Speed(
        tuned.examples_per_s,
        percentiles_of(FOUR / step_s),
        len(step_s),
        len(train) * sizes.epochs,
        tuned.peak_memory_bytes,
    )
    return Side(f"metier, {name}", speed, held_out_loss(restored, held))


def plans(train: Sequence[Encoded], sizes: Sizes) -> dict[str, TuningPlan]:
    tokens = sum(len(one.ids) - one.n_prompt for one in train)
    common = {"epochs": sizes.epochs, "rate": RATE, "rank": RANK, "alpha": float(RANK), "warm_up": 0.06, "patience": 0}
    step_tokens = max(1, round(tokens * FOUR / len(train)))
    return {
        name: TuningPlan(layers=layers, step_tokens=step_tokens, **common)  # type: ignore[arg-type]
        for name, layers in (("every layer", 0), ("the upper half", 9))
    }


def reached(side: Side, best: Side, default: Side) -> str:
    """A side of ours against what it has to reach."""
    speed, usual = side.speed.per_s / best.speed.per_s, side.speed.per_s / default.speed.per_s
    excess = side.held_out_loss - best.held_out_loss
    targets = (
        (f"{speed:.1f}× TRL's best (≥ {LEAST_TO_BEST:g}×)", speed >= LEAST_TO_BEST),
        (f"{usual:.1f}× its defaults (≥ {LEAST_TO_DEFAULTS:g}×)", usual >= LEAST_TO_DEFAULTS),
        (f"a held-out loss {excess:+.4f} to its best's (≤ +{MOST_EXCESS_LOSS:g})", excess <= MOST_EXCESS_LOSS),
        (
            f"{side.speed.peak_memory_bytes / 2**30:.1f} GiB (≤ {MOST_GIB:g})",
            side.speed.peak_memory_bytes <= MOST_GIB * 2**30,
        ),
    )
    return (
        f"- {side.name}: " + "; ".join(f"{told}: {'reached' if is_so else 'missed'}" for told, is_so in targets) + "."
    )


def table(sides: Sequence[Side], before: float, tokens: float, tried: dict[int, float], held: int) -> str:
    """Markdown; speeds beside those of each TRL side."""
    default, best = sides[0].speed, sides[1].speed
    lines = [
        f"| | examples/s | {SPEED_COLUMNS} | held-out loss | peak memory, GiB | steps | examples seen |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for side in sides:
        loss = "not measured" if math.isnan(side.held_out_loss) else f"{side.held_out_loss:.4f}"
        lines.append(
            f"| {side.name} | {side.speed.cells(tokens, best, default)} | {loss} | "
            f"{side.speed.peak_memory_bytes / 2**30:.1f} | {side.speed.n_steps} | {side.speed.n_seen} |"
        )
    sizes = ", ".join(f"{batch}: {speed:.2f}" for batch, speed in tried.items())
    return "\n".join(
        [
            *lines,
            "",
            f"Held-out loss: nats per answer token on {held} other receipts, float32, whole vocabulary (ours with the "
            f"trimmed rows put back); before tuning {before:.4f}. TRL's examples/s by batch size: {sizes}.",
            "",
            *(reached(side, sides[1], sides[0]) for side in sides[2:]),
        ]
    )


def main() -> None:
    given = asked(__doc__)
    sizes = QUICK if given.quick else Sizes()
    train_pairs, held_pairs = receipts(sizes.train, sizes.held_out)
    base = find_base("gemma3-270m", accepted=("gemma",)).folder
    train, held = encode(base, train_pairs), encode(base, held_pairs)
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as name:
        work = Path(name)
        before = held_out_loss(base, held)
        ours = [
            our_side(base, train_pairs, held, sizes, work, plan, called) for called, plan in plans(train, sizes).items()
        ]
        theirs, tried = trl_sides(given.trl, base, train, held, sizes, work)
    sides = [*theirs, *ours]
    tokens = sum(len(one.ids) - one.n_prompt for one in train) / len(train)
    figures = {
        "sides": [asdict(side) for side in sides],
        "loss_before": before,
        "trl_examples_per_s_by_batch": tried,
        "answer_tokens_an_example": tokens,
    }
    write_figures(given.out, figures)
    sys.stdout.write(table(sides, before, tokens, tried, len(held)) + "\n")


if __name__ == "__main__":
    main()
