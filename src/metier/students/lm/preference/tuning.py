"""One pass of DPO over pairs, with low-rank changes that are merged at the end."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metier.errors import MissingExtra, NotEnoughData
from metier.progress import Progress, silent
from metier.students.exports import write_json
from metier.students.lm.coding import coder_for
from metier.students.lm.parts import PromptForm
from metier.students.lm.preference.pairing import Pair
from metier.students.lm.preference.plan import PreferencePlan
from metier.students.lm.preference.sequences import CodedPair, coded_pairs

_RECORD = "preferred.json"


@dataclass(frozen=True)
class Preferred:
    """The model after the pass: `folder` in Hugging Face layout (float32), `adapter` the pass's own changes alone, in
    peft's layout, to be put on the model it began from. `margins` in nats: by how much each step told its pairs apart
    better than the model it began from, before it learnt from them; `told_apart` is the share of pairs told apart better,
    among the last quarter of the steps."""

    folder: Path
    adapter: Path
    n_pairs: int
    n_left_out: int
    margins: tuple[float, ...]
    told_apart: float
    wall_s: float

    def story(self) -> str:
        """What was done, in a sentence."""
        left = f", {self.n_left_out} left out as too long or not different" if self.n_left_out else ""
        return (
            f"one pass of DPO over {self.n_pairs} pairs{left} in {self.wall_s:.0f} s; of the last quarter of its steps "
            f"{self.told_apart:.0%} of the pairs were told apart better than before"
        )


def prefer(
    folder: Path,
    pairs: Sequence[Pair],
    plan: PreferencePlan,
    work: Path,
    *,
    form: PromptForm,
    recipe: str,
    progress: Progress = silent,
) -> Preferred:
    """Tune the model in `folder` (Hugging Face layout) to write the chosen answers rather than the rejected ones.

    `work` is this pass's own folder: called again after a kill with the same arguments it goes on from the last checkpoint
    to the same weights, and gives back what is done. `recipe` names everything else that decides the result. Raises
    NotEnoughData where there are fewer than `plan.min_pairs` usable pairs, PassFailed where the loss is not a number or
    memory does not hold one pair, TrainingFailed where the disk is full, MissingExtra.
    """
    usable = coded_pairs(coder_for(folder, form), pairs, plan.max_tokens)
    if len(usable) < plan.min_pairs:
        raise NotEnoughData(
            f"{len(usable)} pairs of a right and a wrong answer are too few to learn from: {plan.min_pairs} are needed."
        )
    whole = _recipe(recipe, plan, usable)
    if (done := _read_record(work, whole)) is not None:
        return done
    try:
        from metier.students.lm.preference.running import clear, run_pass
    except ImportError:
        raise MissingExtra("train", "preference tuning") from None
    work.mkdir(parents=True, exist_ok=True)
    for name in ("model", "adapter"):
        shutil.rmtree(work / name, ignore_errors=True)
    ran = run_pass(folder, usable, plan, work, whole, progress)
    last = ran.told_apart[-max(1, len(ran.told_apart) // 4) :]
    facts = {
        "n_pairs": len(usable),
        "n_left_out": len(pairs) - len(usable),
        "margins": ran.margins,
        "told_apart": sum(last) / len(last),
        "wall_s": ran.wall_s,
    }
    write_json(work / _RECORD, {"recipe": whole, "facts": facts})
    clear(work)
    return _preferred(work, facts)


def _recipe(recipe: str, plan: PreferencePlan, pairs: Sequence[CodedPair]) -> str:
    shaping = {name: value for name, value in asdict(plan).items() if name not in ("threads", "checkpoint_every_s")}
    held = json.dumps([recipe, shaping, [[pair.prompt, pair.chosen, pair.rejected] for pair in pairs]])
    return hashlib.sha256(held.encode()).hexdigest()


def _read_record(work: Path, recipe: str) -> Preferred | None:
    path = work / _RECORD
    if not path.is_file():
        return None
    stored = json.loads(path.read_bytes())
    return _preferred(work, stored["facts"]) if stored["recipe"] == recipe else None


def _preferred(work: Path, facts: dict[str, Any]) -> Preferred:
    return Preferred(
        folder=work / "model",
        adapter=work / "adapter",
        n_pairs=facts["n_pairs"],
        n_left_out=facts["n_left_out"],
        margins=tuple(facts["margins"]),
        told_apart=facts["told_apart"],
        wall_s=facts["wall_s"],
    )
