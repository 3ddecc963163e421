"""Fine-tuning on the CPU: what makes it fast and what makes it repeatable. Needs torch.

Fast: batches of similar length, bfloat16 matrix products where the processor has them, only the embedding rows in use,
a head that starts from class means. Repeatable: order and dropout depend on seed, epoch and step alone, so a training
that was killed goes on from its last checkpoint to the same weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from metier.errors import TrainingFailed
from metier.machine import multiplies_bfloat16, usable_cores
from metier.progress import Progress
from metier.students import checkpoints
from metier.students.base import EpochPoint
from metier.students.encoder.network import CosineHead, Encoder, UsedRows, depth_of, n_layers_of, seed_dropout
from metier.students.encoder.tokens import by_length, padded, shuffled_by_length

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

_WINDOW = 16  # batches sorted by length together: padding is about 2% then, and batches still vary
_MIN_STEPS = 40  # an epoch: few examples come in smaller batches, or the weights would hardly move
_MIN_BATCH = 16
_EVAL_TOKENS = 4096
_EVAL_ROWS = 256
_CLIP = 1.0
_BETAS = (0.9, 0.98)
_EPSILON = 1e-6


@dataclass(frozen=True)
class Plan:
    """What the training does. Rates are those of the last layer and of the head at the top of the schedule."""

    epochs: int
    batch_size: int
    rate: float
    head_rate: float
    layer_decay: float
    warm_up: float
    weight_decay: float
    label_smoothing: float
    scale: float
    patience: int
    checkpoint_every_s: float
    threads: int
    seed: int


@dataclass(frozen=True)
class Material:
    """Token ids and class places of both splits, and the number of classes."""

    train_ids: Sequence[Sequence[int]]
    train_y: IntArray
    tune_ids: Sequence[Sequence[int]]
    tune_y: IntArray
    n_classes: int


@dataclass(frozen=True)
class Trained:
    """The network with the weights of the best epoch on the tune split, ready for export."""

    encoder: Encoder
    prototypes: FloatArray
    curve: tuple[EpochPoint, ...]
    best_epoch: int
    wall_s: float


@dataclass
class _Run:
    """One training under way."""

    encoder: Encoder
    head: CosineHead
    rows: UsedRows
    optimiser: torch.optim.Optimizer
    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    top_rates: tuple[float, ...]
    started: float
    saved: float
    before_s: float = 0.0
    step: int = 0
    epoch_loss: float = 0.0
    curve: tuple[EpochPoint, ...] = ()
    best_epoch: int = 0

    @property
    def wall_s(self) -> float:
        return self.before_s + time.perf_counter() - self.started


@contextmanager
def deterministic(seed: int, threads: int) -> Iterator[None]:
    """Torch with a seed and so many threads (0: a thread for each core this process may use); puts its settings back."""
    state, before = torch.get_rng_state(), torch.get_num_threads()
    torch.manual_seed(seed)
    torch.set_num_threads(threads or usable_cores())
    try:
        yield
    finally:
        torch.set_rng_state(state)
        torch.set_num_threads(before)


def train(body: nn.Module, material: Material, plan: Plan, folder: Path, recipe: str, progress: Progress) -> Trained:
    """Fine-tune `body`. Raises TrainingFailed where the loss is not a number."""
    with deterministic(plan.seed, plan.threads):
        run = _set_up(body, material, plan)
        _resume(run, folder, recipe)
        _train_epochs(run, material, plan, folder, recipe, progress)
        _bring_back_best(run, folder, recipe)
        run.rows.use_full()
        run.encoder.eval()
        prototypes = normalize(run.head.prototypes.detach(), dim=-1).numpy()
        return Trained(run.encoder, prototypes, run.curve, run.best_epoch, run.wall_s)


@torch.no_grad()
def features_of(encoder: nn.Module, sequences: Sequence[Sequence[int]]) -> Tensor:
    """(n, width) features in evaluation mode."""
    mode = encoder.training
    encoder.eval()
    parts, places = [], []
    for batch in by_length(sequences, _EVAL_TOKENS, _EVAL_ROWS):
        ids, mask = padded([sequences[i] for i in batch])
        with _precision():
            parts.append(encoder(torch.from_numpy(ids), torch.from_numpy(mask)))
        places.append(batch)
    encoder.train(mode)
    if not parts:
        return torch.zeros(0, 0)
    found = torch.cat(parts)
    ordered = torch.empty_like(found)
    ordered[torch.from_numpy(np.concatenate(places))] = found
    return ordered


def _set_up(body: nn.Module, material: Material, plan: Plan) -> _Run:
    started = time.perf_counter()
    encoder = Encoder(body)
    head = CosineHead(_class_means(encoder, material), plan.scale)
    rows = UsedRows(body, material.train_ids)
    encoder.train()
    n_layers = n_layers_of(body)
    names, parameters, groups = [], [], []
    for name, parameter in encoder.named_parameters():
        # A pooler is a head of the pretraining; mean pooling leaves it without a gradient.
        if "pooler" in name or not parameter.requires_grad:
            continue
        rate = plan.rate * plan.layer_decay ** depth_of(name, n_layers)
        groups.append(_group(parameter, rate, plan.weight_decay))
        names.append(f"encoder.{name}")
        parameters.append(parameter)
    groups.append(_group(head.prototypes, plan.head_rate, plan.weight_decay))
    optimiser = torch.optim.AdamW(groups, betas=_BETAS, eps=_EPSILON, fused=True)
    top_rates = tuple(float(group["lr"]) for group in groups)
    return _Run(
        encoder=encoder,
        head=head,
        rows=rows,
        optimiser=optimiser,
        names=(*names, "head.prototypes"),
        parameters=(*parameters, head.prototypes),
        top_rates=top_rates,
        started=started,
        saved=started,
    )


def _group(parameter: nn.Parameter, rate: float, weight_decay: float) -> dict[str, Any]:
    return {"params": [parameter], "lr": rate, "weight_decay": weight_decay if parameter.ndim > 1 else 0.0}


def _class_means(encoder: Encoder, material: Material) -> Tensor:
    features = normalize(features_of(encoder, material.train_ids), dim=-1)
    means = torch.zeros(material.n_classes, features.shape[1])
    means.index_add_(0, torch.from_numpy(material.train_y), features)
    return normalize(means, dim=-1)


def _train_epochs(run: _Run, material: Material, plan: Plan, folder: Path, recipe: str, progress: Progress) -> None:
    lengths = np.fromiter(map(len, material.train_ids), dtype=np.int64, count=len(material.train_ids))
    batch_size = min(plan.batch_size, max(_MIN_BATCH, len(lengths) // _MIN_STEPS))
    steps = math.ceil(len(lengths) / batch_size)
    total = steps * plan.epochs
    while run.step < total and not _has_stalled(run, plan):
        epoch, done = divmod(run.step, steps)
        order = np.random.default_rng([plan.seed, epoch])
        batches = shuffled_by_length(lengths, batch_size, _WINDOW, order)
        for batch in batches[done:]:
            progress("Training encoder", run.step, total)
            run.epoch_loss += _train_step(run, material, plan, batch, total)
            if run.step % steps and time.perf_counter() - run.saved > plan.checkpoint_every_s:
                _save(run, folder, recipe)
        _close_epoch(run, material, epoch + 1, len(batches), folder, recipe)
    progress("Training encoder", total, total)


def _has_stalled(run: _Run, plan: Plan) -> bool:
    """Early stop: `patience` epochs in a row without a better tune split; asked between epochs only."""
    return plan.patience > 0 and len(run.curve) - run.best_epoch >= plan.patience


def _train_step(run: _Run, material: Material, plan: Plan, batch: IntArray, total: int) -> float:
    for group, rate in zip(run.optimiser.param_groups, run.top_rates, strict=True):
        group["lr"] = rate * _schedule(run.step, total, plan.warm_up)
    ids, mask = padded([material.train_ids[i] for i in batch])
    seed_dropout(run.encoder, plan.seed, run.step)
    with _precision():
        features = run.encoder(torch.from_numpy(run.rows.place[ids]), torch.from_numpy(mask))
    logits = run.head(features)
    loss = cross_entropy(logits, torch.from_numpy(material.train_y[batch]), label_smoothing=plan.label_smoothing)
    value = float(loss.item())
    if not math.isfinite(value):
        raise TrainingFailed(
            f"The loss is {value} at step {run.step + 1} of {total}: the weights have run away. "
            f"Train with a lower rate than {plan.rate:g}, or with a longer warm_up than {plan.warm_up:g}."
        )
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(run.parameters, _CLIP)
    run.optimiser.step()
    run.optimiser.zero_grad(set_to_none=True)
    run.step += 1
    return value


def _schedule(step: int, total: int, warm_up: float) -> float:
    """Share of the top rate: linear up over the first `warm_up` of the steps, then half a cosine to zero."""
    rise = max(1, round(warm_up * total))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def _close_epoch(run: _Run, material: Material, epoch: int, n_batches: int, folder: Path, recipe: str) -> None:
    loss, accuracy = _tune_figures(run, material)
    point = EpochPoint(epoch, run.epoch_loss / max(n_batches, 1), loss, accuracy, run.wall_s)
    best = run.curve[run.best_epoch - 1] if run.best_epoch else None
    run.curve, run.epoch_loss = (*run.curve, point), 0.0
    if best is None or _rank(point) > _rank(best):
        run.best_epoch = epoch
        checkpoints.write(folder / checkpoints.BEST, _weights(run), {"recipe": recipe, "epoch": epoch})
    _save(run, folder, recipe)


def _rank(point: EpochPoint) -> tuple[float, float]:
    """Better tune accuracy first, then lower tune loss; without a tune split the later epoch."""
    if math.isnan(point.tune_accuracy):
        return (float(point.epoch), 0.0)
    return (point.tune_accuracy, -point.tune_loss if math.isfinite(point.tune_loss) else -math.inf)


def _tune_figures(run: _Run, material: Material) -> tuple[float, float]:
    if not len(material.tune_ids):
        return math.nan, math.nan
    run.rows.use_full()
    with torch.no_grad():
        logits = run.head(features_of(run.encoder, material.tune_ids))
    run.rows.use_small()
    y = torch.from_numpy(material.tune_y)
    known = y >= 0
    loss = float(cross_entropy(logits[known], y[known])) if bool(known.any()) else math.nan
    return loss, int((logits.argmax(dim=1) == y).sum()) / len(y)


def _weights(run: _Run) -> dict[str, Tensor]:
    return dict(zip(run.names, run.parameters, strict=True))


def _save(run: _Run, folder: Path, recipe: str) -> None:
    state = {
        "recipe": recipe,
        "step": run.step,
        "epoch_loss": run.epoch_loss,
        "best_epoch": run.best_epoch,
        "wall_s": run.wall_s,
        "curve": [vars(point) for point in run.curve],
    }
    checkpoints.write(
        folder / checkpoints.STATE,
        {**_weights(run), **checkpoints.optimiser_tensors(run.optimiser, run.parameters)},
        state,
    )
    run.saved = time.perf_counter()


def _resume(run: _Run, folder: Path, recipe: str) -> None:
    found = checkpoints.read(folder / checkpoints.STATE, recipe)
    if found is None:
        return
    tensors, state = found
    _put_weights(run, tensors)
    checkpoints.restore_optimiser(run.optimiser, run.parameters, tensors)
    run.step, run.epoch_loss, run.best_epoch = state["step"], state["epoch_loss"], state["best_epoch"]
    run.before_s = state["wall_s"]
    run.curve = tuple(EpochPoint(**point) for point in state["curve"])


def _bring_back_best(run: _Run, folder: Path, recipe: str) -> None:
    found = checkpoints.read(folder / checkpoints.BEST, recipe)
    if found is not None and found[1]["epoch"] == run.best_epoch:
        _put_weights(run, found[0])


def _put_weights(run: _Run, tensors: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in zip(run.names, run.parameters, strict=True):
            parameter.copy_(tensors[name])


def _precision() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=multiplies_bfloat16())
