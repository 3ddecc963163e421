"""Several trainings that differ in their seeds, and the mean of their weights.

Models tuned from one base mostly lie in one valley of the loss, and their mean is often better than each (Wortsman et al.,
"Model soups", ICML 2022). A small train split makes trainings differ much; the mean costs nothing at run time.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from metier.progress import Progress
from metier.students import checkpoints
from metier.students.lm.parts import Encoded, Tuned
from metier.students.lm.tuning import ranks
from metier.students.lm.tuning.plan import SoftLabels, TuningPlan
from metier.students.lm.tuning.tune import ADAPTER, MODEL, answer_loss, device_of, tune

_MEAN, _RECORD = "mean", "mean.json"
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def tune_several(
    folder: Path,
    train: Sequence[Encoded],
    held: Sequence[Encoded],
    plan: TuningPlan,
    work: Path,
    *,
    shares: Sequence[Sequence[int]],
    recipe: str,
    progress: Progress,
    soft: SoftLabels | None = None,
) -> Tuned:
    """`tune` with seeds from the plan's on, one for each of `shares`, and the mean of the models' weights, unless its loss
    on the tune split `held` is higher than that of the best of them, which then is the result.

    A share is the places of the examples of `train` (and of their labels in `soft`) that a training reads. Each training
    goes on where it was killed, and is not done again once it is done. The curve and the best epoch are those of the best
    training, times are sums. Adapters are put together to one whose rank is the sum of theirs. Raises what `tune` raises.
    """
    n = len(shares)

    def train_on(share: Sequence[int], one: TuningPlan, place: Path, say: Progress) -> Tuned:
        read, labels = [train[at] for at in share], soft and soft.take(share)
        return tune(folder, read, held, one, place, recipe=recipe, progress=say, soft=labels)

    if n == 1:
        return train_on(shares[0], plan, work, progress)
    with ranks.joined(device_of(plan.device)):
        made = [
            train_on(share, replace(plan, seed=plan.seed + number), work / str(number), _numbered(progress, number, n))
            for number, share in enumerate(shares)
        ]
        if ranks.is_first():
            _mix(made, work)
        ranks.wait()
        mixed = _measured(held, plan, work)
    best = min(made, key=_tune_loss)
    figures = ", ".join(f"{_tune_loss(one):.4f}" for one in made)
    told = f"of {n} trainings with seeds of their own ({figures} nats a token on the tune split) the "
    is_better = not mixed > _tune_loss(best)
    kept = f"mean of the weights is kept ({mixed:.4f})" if is_better else f"best is kept: the mean has {mixed:.4f}"
    adapter = work / _MEAN / ADAPTER
    return replace(
        best,
        folder=work / _MEAN / MODEL if is_better else best.folder,
        adapter=best.adapter if not is_better else adapter if adapter.is_dir() else None,
        wall_s=sum(one.wall_s for one in made),
        examples_per_s=sum(one.examples_per_s for one in made) / n,
        tokens_per_s=sum(one.tokens_per_s for one in made) / n,
        peak_memory_bytes=max(one.peak_memory_bytes for one in made),
        notes=(*dict.fromkeys(note for one in made for note in one.notes), told + kept),
    )


def _mix(made: Sequence[Tuned], work: Path) -> None:
    """The mean of the models in `<work>/mean`, whole or not there."""
    target, part = work / _MEAN, work / f"{_MEAN}.part"
    if target.is_dir():
        return
    shutil.rmtree(part, ignore_errors=True)
    with checkpoints.room(work):
        shutil.copytree(made[0].folder, part / MODEL)
        for path in sorted((part / MODEL).glob("*.safetensors")):
            _write_mean(path, [one.folder / path.name for one in made])
        adapters = [one.adapter for one in made if one.adapter is not None]
        if len(adapters) == len(made):
            _join(adapters, part / ADAPTER)
        part.replace(target)


def _write_mean(target: Path, sources: Sequence[Path]) -> None:
    def mean(parts: Sequence[Tensor]) -> Tensor:
        return (sum(part.float() for part in parts) / len(parts)).to(parts[0].dtype)  # type: ignore[union-attr]

    _rewrite(target, sources, lambda _, parts: mean(parts))


def _join(adapters: Sequence[Path], target: Path) -> None:
    """One adapter that adds the mean of what these add: low-rank changes side by side, each at its share."""
    n = len(adapters)

    def side_by_side(name: str, parts: Sequence[Tensor]) -> Tensor:
        is_inner = ".lora_A." in name
        joined = torch.cat([part.float() if is_inner else part.float() / n for part in parts], dim=0 if is_inner else 1)
        return joined.to(parts[0].dtype)

    shutil.copytree(adapters[0], target)
    _rewrite(target / _WEIGHTS, [adapter / _WEIGHTS for adapter in adapters], side_by_side)
    config = json.loads((target / _CONFIG).read_text(encoding="utf-8"))
    # The scale, alpha / r, stays as it is.
    config["r"], config["lora_alpha"] = n * config["r"], n * config["lora_alpha"]
    (target / _CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")


def _rewrite(target: Path, sources: Sequence[Path], make: Callable[[str, Sequence[Tensor]], Tensor]) -> None:
    stored: list[Any] = [safe_open(path, framework="pt") for path in sources]
    names, metadata = list(stored[0].keys()), stored[0].metadata()
    tensors = {name: make(name, [one.get_tensor(name) for one in stored]).contiguous() for name in names}
    target.unlink()
    save_file(tensors, target, metadata=metadata)


def _measured(held: Sequence[Encoded], plan: TuningPlan, work: Path) -> float:
    """The mean's loss on the tune split; NaN without one."""
    record = work / _RECORD
    if not record.exists():
        loss = answer_loss(work / _MEAN / MODEL, held, plan)
        if ranks.is_first():
            part = work / f"{_RECORD}.part"
            part.write_text(json.dumps(None if math.isnan(loss) else loss), encoding="utf-8")
            part.replace(record)
        ranks.wait()
    found = json.loads(record.read_text(encoding="utf-8"))
    return math.nan if found is None else float(found)


def _tune_loss(one: Tuned) -> float:
    return one.curve[one.best_epoch - 1].tune_loss if one.curve and one.best_epoch else math.nan


def _numbered(progress: Progress, number: int, n: int) -> Progress:
    def say(description: str, done: int, total: int | None) -> None:
        progress(f"{description} ({number + 1} of {n})", done, total)

    return say
