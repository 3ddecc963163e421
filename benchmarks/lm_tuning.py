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

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metier.labs.sroie import labelled
from metier.machine import usable_cores
from metier.metrics.records import canonical
from metier.students.lm.bases import find_base
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.plan import TuningPlan

ROOT = Path(__file__).resolve().parent.parent
SUFFIX = "\n\n### Answer\n"
FOUR = 4  # examples in an optimiser step
RANK = 32
RATE = 1e-3


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
    """One way of tuning: examples/s over all steps, and the 10th, 50th and 90th percentile of single steps."""

    name: str
    examples_per_s: float
    percentiles: tuple[float, float, float]
    n_steps: int
    n_examples: int
    peak_memory_bytes: int
    held_out_loss: float


def receipts(sizes: Sizes) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(text, record as JSON) of the train split and of the tune split, which nothing here is tuned on."""
    folder = Path(os.environ.get("METIER_DATA", "../shared/data")) / "sroie"
    if not folder.exists():
        raise SystemExit(f"{folder} is not there; set METIER_DATA to the folder that holds sroie")
    found: dict[str, list[tuple[str, str]]] = {"train": [], "tune": []}
    for chat in labelled(folder).chats:
        if chat["split"] in found:
            _, user, assistant = chat["messages"]
            found[chat["split"]].append((user["content"], canonical(json.loads(assistant["content"]))))
    return found["train"][: sizes.train], found["tune"][: sizes.held_out]


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
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    total, tokens = 0.0, 0
    with torch.no_grad():
        for one in encoded:
            ids = torch.tensor(one.ids)
            size = len(one.ids) - one.n_prompt
            logits = model(ids[None, :-1], logits_to_keep=size).logits[0]
            total += float(cross_entropy(logits, ids[one.n_prompt :], reduction="sum"))
            tokens += size
    return total / tokens


def by_trl(
    python: Path, folder: Path, encoded: Sequence[Encoded], work: Path, name: str, config: dict[str, Any],
    lora: dict[str, Any], dtype: str | None, merged: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """One training of SFTTrainer in a process of its own."""
    job, out = work / f"{name}.job.json", work / f"{name}.json"
    job.write_text(
        json.dumps(
            {
                "folder": str(folder),
                "ids": [one.ids for one in encoded],
                "n_prompt": [one.n_prompt for one in encoded],
                "work": str(work / name),
                "out": str(out),
                "merged": None if merged is None else str(merged),
                "config": config,
                "lora": lora,
                "dtype": dtype,
                "seed": 0,
            }
        )
    )
    say(f"TRL: {name}")
    command = [str(python), str(ROOT / "benchmarks" / "lm" / "trl_side.py"), str(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"TRL's side failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def best_settings(batch: int) -> dict[str, Any]:
    return {
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": FOUR // batch,
        "gradient_checkpointing": False,
        "bf16": True,
        "train_sampling_strategy": "group_by_length",
        "learning_rate": RATE,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 3,
        "logging_steps": 1,
    }


def trl_sides(
    python: Path, folder: Path, train: Sequence[Encoded], held: Sequence[Encoded], sizes: Sizes, work: Path
) -> tuple[list[Side], dict[int, float]]:
    """Its defaults, then its best, and examples/s of every batch size that was tried."""
    default = by_trl(python, folder, train, work, "defaults", {"max_steps": sizes.default_steps}, {}, None)
    lora = {"r": RANK, "lora_alpha": RANK, "target_modules": "all-linear"}
    tried = {}
    for batch in sizes.batches:
        asked = {
            **best_settings(batch),
            "gradient_accumulation_steps": 1,
            "max_steps": 1 + max(1, sizes.probed // batch),
        }
        found = by_trl(python, folder, train, work, f"batch-{batch}", asked, lora, "bfloat16")
        tried[batch] = batch / float(np.median(found["step_s"][1:]))
    batch = max(tried, key=lambda size: tried[size])
    merged = work / "trl-merged"
    asked = {**best_settings(batch), "num_train_epochs": sizes.epochs}
    best = by_trl(python, folder, train, work, "best", asked, lora, "bfloat16", merged)
    loss = held_out_loss(merged, held)
    return [
        side_of("TRL, its defaults", default, math.nan),
        side_of(f"TRL, best CPU settings (batch of {batch})", best, loss),
    ], tried


def side_of(name: str, found: dict[str, Any], loss: float) -> Side:
    step_s = np.array(found["step_s"][1:])
    n = found["examples_a_step"]
    low, middle, high = np.percentile(n / step_s, [10, 50, 90])
    return Side(
        name,
        n * len(step_s) / float(step_s.sum()),
        (float(low), float(middle), float(high)),
        len(found["step_s"]),
        n * len(found["step_s"]),
        found["peak_memory_bytes"],
        loss,
    )


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

    # No tune split: what the training ends with is kept, as TRL keeps it (ours is the mean of the last weights).
    tuned = tune(trimmed.folder, train, [], plan, work / f"{name}-tuned", recipe="benchmark", progress=progress)
    restored = work / f"{name}-restored"
    restore(tuned.folder, base, restored)
    step_s = np.diff([stamps[step] for step in sorted(stamps)])
    n_steps = len(step_s)
    low, middle, high = np.percentile(FOUR / step_s, [10, 50, 90])
    return Side(
        f"metier, {name}",
        tuned.examples_per_s,
        (float(low), float(middle), float(high)),
        n_steps,
        len(train) * sizes.epochs,
        tuned.peak_memory_bytes,
        held_out_loss(restored, held),
    )


def plans(train: Sequence[Encoded], sizes: Sizes) -> dict[str, TuningPlan]:
    tokens = sum(len(one.ids) - one.n_prompt for one in train)
    common = {"epochs": sizes.epochs, "rate": RATE, "rank": RANK, "alpha": float(RANK), "warm_up": 0.06, "patience": 0}
    step_tokens = max(1, round(tokens * FOUR / len(train)))
    return {
        name: TuningPlan(layers=layers, step_tokens=step_tokens, **common)  # type: ignore[arg-type]
        for name, layers in (("every layer", 0), ("the upper half", 9))
    }


def table(sides: Sequence[Side], before: float, tokens: float, tried: dict[int, float], held: int) -> str:
    """Markdown; speeds beside those of each TRL side."""
    default, best = sides[0], sides[1]
    lines = [
        "| | examples/s | of single steps: 10th, 50th, 90th percentile | answer tokens/s | to TRL's best | to its defaults "
        "| held-out loss | peak memory, GiB | steps | examples seen |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for side in sides:
        low, middle, high = side.percentiles
        loss = "not measured" if math.isnan(side.held_out_loss) else f"{side.held_out_loss:.4f}"
        lines.append(
            f"| {side.name} | {side.examples_per_s:.2f} | {low:.2f}, {middle:.2f}, {high:.2f} | "
            f"{side.examples_per_s * tokens:.0f} | {side.examples_per_s / best.examples_per_s:.1f}× | "
            f"{side.examples_per_s / default.examples_per_s:.1f}× | {loss} | {side.peak_memory_bytes / 2**30:.1f} | "
            f"{side.n_steps} | {side.n_examples} |"
        )
    sizes = ", ".join(f"{batch}: {speed:.2f}" for batch, speed in tried.items())
    return "\n".join(
        [
            *lines,
            "",
            f"Held-out loss: nats per answer token on {held} other receipts, float32, whole vocabulary (ours with the "
            f"trimmed rows put back); before tuning {before:.4f}. TRL's examples/s by batch size: {sizes}.",
        ]
    )


def say(text: str) -> None:
    sys.stderr.write(f"  {time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    parser.add_argument("--trl", type=Path, default=ROOT / ".venv-trl" / "bin" / "python", help="Python that has TRL")
    parser.add_argument("--quick", action="store_true", help="a few examples, to see that everything runs")
    given = parser.parse_args()
    if not given.trl.exists():
        raise SystemExit(
            f"{given.trl} is not there: make an environment with benchmarks/lm/trl.txt and name it with --trl"
        )
    sizes = QUICK if given.quick else Sizes()
    train_pairs, held_pairs = receipts(sizes)
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
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        figures = {
            "sides": [vars(side) for side in sides],
            "loss_before": before,
            "trl_examples_per_s_by_batch": tried,
            "answer_tokens_an_example": tokens,
            "cores": usable_cores(),
            "time": time.time(),
        }
        given.out.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    sys.stdout.write(table(sides, before, tokens, tried, len(held)) + "\n")


if __name__ == "__main__":
    main()
