"""What the benchmarks beside TRL share: receipts, TRL's side in a process of its own, speeds, losses of answers."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.labs.sroie import labelled
from metier.machine import usable_cores
from metier.metrics.records import canonical
from metier.students.lm.parts import Encoded

ROOT = Path(__file__).resolve().parent.parent
SUFFIX = "\n\n### Answer\n"
SPEED_COLUMNS = "of single steps: 10th, 50th, 90th percentile | answer tokens/s | to TRL's best | to its defaults"


@dataclass(frozen=True)
class Speed:
    """Examples or pairs a second over all steps, and the 10th, 50th and 90th percentile of single steps."""

    per_s: float
    percentiles: tuple[float, float, float]
    n_steps: int
    n_seen: int
    peak_memory_bytes: int

    def cells(self, tokens: float, best: Speed, default: Speed) -> str:
        """The rate, and SPEED_COLUMNS; `tokens` are the answer tokens of an example or a pair."""
        low, middle, high = self.percentiles
        return (
            f"{self.per_s:.2f} | {low:.2f}, {middle:.2f}, {high:.2f} | {self.per_s * tokens:.0f} | "
            f"{self.per_s / best.per_s:.1f}× | {self.per_s / default.per_s:.1f}×"
        )


def percentiles_of(per_s: npt.ArrayLike) -> tuple[float, float, float]:
    low, middle, high = np.percentile(np.asarray(per_s), [10, 50, 90])
    return float(low), float(middle), float(high)


def receipts(train: int, held_out: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(text, record as JSON) of the train split and of the tune split, which nothing here is tuned on."""
    folder = Path(os.environ.get("METIER_DATA", "../shared/data")) / "sroie"
    if not folder.exists():
        raise SystemExit(f"{folder} is not there; set METIER_DATA to the folder that holds sroie")
    found: dict[str, list[tuple[str, str]]] = {"train": [], "tune": []}
    for chat in labelled(folder).chats:
        if chat["split"] in found:
            _, user, assistant = chat["messages"]
            found[chat["split"]].append((user["content"], canonical(json.loads(assistant["content"]))))
    return found["train"][:train], found["tune"][:held_out]


def answer_nats(folder: Path, encoded: Sequence[Encoded]) -> npt.NDArray[np.float64]:
    """(n,) negative log-likelihoods of whole answers, by transformers in float32."""
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    with torch.no_grad():
        for one in encoded:
            ids = torch.tensor(one.ids)
            logits = model(ids[None, :-1], logits_to_keep=len(one.ids) - one.n_prompt).logits[0]
            found.append(float(cross_entropy(logits, ids[one.n_prompt :], reduction="sum")))
    return np.array(found)


def run_trl(python: Path, work: Path, name: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """One training by lm/trl_side.py, which says what a job holds, in a process of its own; what it gives back."""
    path, out = work / f"{name}.job.json", work / f"{name}.json"
    path.write_text(json.dumps({**job, "work": str(work / name), "out": str(out), "seed": 0}))
    say(f"TRL: {name}")
    command = [str(python), str(ROOT / "benchmarks" / "lm" / "trl_side.py"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"TRL's side failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def best_settings(batch: int, a_step: int) -> dict[str, Any]:
    """What is quickest on a CPU whatever the trainer: no gradient checkpointing, batches of similar length."""
    return {
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": a_step // batch,
        "gradient_checkpointing": False,
        "bf16": True,
        "train_sampling_strategy": "group_by_length",
        "logging_steps": 1,
    }


def trl_speed(found: Mapping[str, Any]) -> Speed:
    """Of what `run_trl` gave, without the first step, in which torch warms up; what the reference of a preference pass
    takes by itself is shared out over the steps."""
    n = found["n_a_step"]
    step_s = np.array(found["step_s"][1:]) + n * found["reference_s_each"]
    return Speed(
        n * len(step_s) / float(step_s.sum()),
        percentiles_of(n / step_s),
        len(found["step_s"]),
        n * len(found["step_s"]),
        found["peak_memory_bytes"],
    )


def asked(description: str | None) -> argparse.Namespace:
    """The command line: `out`, `trl`, `quick`. Ends where there is no Python with TRL."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    parser.add_argument("--trl", type=Path, default=ROOT / ".venv-trl" / "bin" / "python", help="Python that has TRL")
    parser.add_argument("--quick", action="store_true", help="a few examples, to see that everything runs")
    given = parser.parse_args()
    if not given.trl.exists():
        raise SystemExit(
            f"{given.trl} is not there: make an environment with benchmarks/lm/trl.txt and name it with --trl"
        )
    return given


def write_figures(path: Path | None, figures: Mapping[str, Any]) -> None:
    """As JSON, with the machine's cores and the time."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {**figures, "cores": usable_cores(), "time": time.time()}
        path.write_text(json.dumps(whole, indent=1), encoding="utf-8")


def say(text: str) -> None:
    sys.stderr.write(f"  {time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()
