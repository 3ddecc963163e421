"""Tune a model in Hugging Face layout on prompts and their answers. Needs torch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch

from metier.errors import BadInput, NotEnoughData
from metier.machine import usable_cores
from metier.progress import Progress
from metier.students import checkpoints
from metier.students.base import EpochPoint
from metier.students.lm.likelihood import has_bfloat16
from metier.students.lm.parts import Encoded, Tuned
from metier.students.lm.tuning import ranks
from metier.students.lm.tuning.engines import Engine
from metier.students.lm.tuning.general import GeneralEngine
from metier.students.lm.tuning.jobs import TuningJob
from metier.students.lm.tuning.launching import NotMet, processes_for, tune_together
from metier.students.lm.tuning.lean import LeanEngine
from metier.students.lm.tuning.loop import Material, Run, State
from metier.students.lm.tuning.memory import LastSaid, enough_memory, give_back, peak_bytes, reset_peak
from metier.students.lm.tuning.packs import answer_tokens, check
from metier.students.lm.tuning.plan import Precision, SoftLabels, TuningPlan
from metier.students.lm.tuning.shapes import read_shape
from metier.students.lm.tuning.workers import team

DONE = "tuned.json"
MODEL = "model"
ADAPTER = "adapter"
_MICRO_TOKENS = {"cpu": 512, "cuda": 16384}


def tune(
    folder: Path,
    train: Sequence[Encoded],
    tune: Sequence[Encoded],
    plan: TuningPlan,
    work: Path,
    *,
    recipe: str,
    progress: Progress,
    soft: SoftLabels | None = None,
) -> Tuned:
    """Tune the model in `folder`; the best state on the tune split is left in `work`, with its adapter for LoRA.

    `recipe` stands for everything that made the examples and the model: called again with the same recipe, plan and
    counts, a training that was killed goes on from its last checkpoint with the same losses, and one that is done gives
    its result back. Losses are nats per answer token; an epoch of the curve is a measurement of the tune split.
    Where the machine has several GPUs, or the plan asks for several processes, they are started here and share every step
    (see `launching`); under torchrun its processes do, and all give the same result.

    Raises BadInput on examples that cannot be learnt from, NotEnoughData without any, PassFailed where the loss stays no
    number after three lower rates or memory does not hold one example, TrainingFailed where it does not suffice elsewhere,
    the disk is full or a process was killed: the same call may then go on.
    """
    if not train:
        raise NotEnoughData("Tuning needs examples; the train split has none.")
    if soft is not None:
        _check_soft(soft, train)
    work.mkdir(parents=True, exist_ok=True)
    count = processes_for(plan, device_of(plan.device), train)
    full_recipe = _recipe(folder, train, tune, plan, recipe, soft, count)
    done = _read_done(work, full_recipe)
    if done is not None:
        return done
    check_all(folder, train, tune)
    give_back()
    said = LastSaid(progress, "Opening the model to tune")
    with enough_memory(said):
        notes = _train(TuningJob(folder, Material(train, tune, soft), plan, work, full_recipe), count, said)
    give_back()
    tuned = _read_done(work, full_recipe)
    assert tuned is not None, "what was just written is there"
    return replace(tuned, notes=(*tuned.notes, *notes))


def _train(job: TuningJob, count: int, progress: Progress) -> tuple[str, ...]:
    """Train in `count` processes; in this one alone where nobody asked for several and they do not find one another, with
    a note on that."""
    if count > 1:
        try:
            tune_together(job, count, progress)
            return ()
        except NotMet as problem:
            if job.plan.processes:
                raise
            note = f"One GPU of {count} was used: {problem}"
            train_here(job, progress)
            return (note,)
    train_here(job, progress)
    return ()


def train_here(job: TuningJob, progress: Progress) -> None:
    """Train in this process, and leave model, adapter and record in `work`; all that it held is free when it returns."""
    plan, material = job.plan, job.material
    device = device_of(plan.device)
    dtype = dtype_of(plan.precision, device)
    reset_peak(device)
    with (
        ranks.joined(device),
        _engine(job.folder, (*material.train, *material.tune), plan, dtype, device) as engine,
    ):
        micro_tokens = plan.micro_tokens or _MICRO_TOKENS.get(device.type, 512)
        run = Run(engine, material, plan, job.work, job.recipe, micro_tokens)
        state = run.train(progress)
        # Nobody reads the checkpoints any more once all are here; the peak is of all processes together.
        peak = int(ranks.added(peak_bytes(device)))
        if ranks.is_first():
            _write(engine, job, state, peak)
        ranks.wait()


def answer_loss(folder: Path, encoded: Sequence[Encoded], plan: TuningPlan) -> float:
    """Negative log-likelihood of the answers under the model in `folder`, nats per answer token; NaN of no examples."""
    if not encoded:
        return float("nan")
    device = device_of(plan.device)
    check_all(folder, encoded, ())
    with _engine(folder, encoded, plan, dtype_of(plan.precision, device), device) as engine:
        micro_tokens = plan.micro_tokens or _MICRO_TOKENS.get(device.type, 512)
        return engine.losses(encoded, micro_tokens) / sum(map(answer_tokens, encoded))


def device_of(name: str) -> torch.device:
    """The device called `name`; "auto" is the first GPU (of several processes: this one's), else the CPU."""
    if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
        return torch.device("cuda", ranks.local_place())
    if name == "auto":
        return torch.device("cpu")
    try:
        return torch.device(name)
    except RuntimeError as problem:
        raise BadInput(f"There is no device {name!r}; it is 'auto', 'cpu' or 'cuda'.") from problem


def dtype_of(precision: Precision, device: torch.device) -> torch.dtype:
    """What is computed in: "auto" is bfloat16 where the device multiplies it, elsewhere it is emulated and slow."""
    if precision == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    if precision not in ("bfloat16", "float32"):
        raise BadInput(f"There is no precision {precision!r}; it is 'auto', 'bfloat16' or 'float32'.")
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def check_all(folder: Path, train: Sequence[Encoded], tune: Sequence[Encoded]) -> None:
    """Raise BadInput where the model in `folder` cannot read an example."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    n_vocabulary = config.get("vocab_size") or 2**63
    longest = config.get("max_position_embeddings") or 2**31
    check(train, n_vocabulary, longest, "train")
    check(tune, n_vocabulary, longest, "tune")


def _check_soft(soft: SoftLabels, train: Sequence[Encoded]) -> None:
    if len(soft.tokens) != len(train):
        raise BadInput(f"{len(soft.tokens)} examples have soft labels; the train split has {len(train)}.")
    for place, (tokens, one) in enumerate(zip(soft.tokens, train, strict=True)):
        if len(tokens) != answer_tokens(one):
            raise BadInput(f"Example {place} has {answer_tokens(one)} answer tokens but soft labels for {len(tokens)}.")


@contextmanager
def _engine(
    folder: Path, encoded: Sequence[Encoded], plan: TuningPlan, dtype: torch.dtype, device: torch.device
) -> Iterator[Engine]:
    shape = read_shape(folder)
    threads = 1 if device.type == "cuda" else plan.threads or usable_cores()
    if shape is None:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            yield GeneralEngine(folder, plan, dtype, device)
        finally:
            torch.set_num_threads(before)
        return
    longest = max(len(one.ids) for one in encoded)
    with team(threads) as workers:
        yield LeanEngine(folder, shape, plan, longest, dtype, device, workers, threads)


def _recipe(
    folder: Path,
    train: Sequence[Encoded],
    tune: Sequence[Encoded],
    plan: TuningPlan,
    recipe: str,
    soft: SoftLabels | None,
    count: int,
) -> str:
    """Threads and processes are in it because sums are rounded in another order by another number of them."""
    asked = {**asdict(plan), "checkpoint_every_s": 0, "threads": plan.threads or usable_cores(), "processes": count}
    if count == 1:
        del asked["processes"]  # as in recipes from before there were several
    weight = None if soft is None else soft.weight
    return json.dumps([recipe, folder.name, len(train), len(tune), weight, asked], sort_keys=True)


def _write(engine: Engine, job: TuningJob, state: State, peak_memory_bytes: int) -> None:
    work, count = job.work, ranks.place()[1]
    has_adapter = job.plan.method == "lora"
    with checkpoints.room(work):
        parts = {name: work / f"{name}.part" for name in ((MODEL, ADAPTER) if has_adapter else (MODEL,))}
        for name, part in parts.items():
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(work / name, ignore_errors=True)
            part.mkdir()
        engine.write(job.folder, parts[MODEL], parts.get(ADAPTER))
        for name, part in parts.items():
            part.replace(work / name)
        learning_s = max(state.learning_s, 1e-9)
        summary = {
            "recipe": job.recipe,
            "curve": [asdict(point) for point in state.curve],
            "best_epoch": state.best,
            "wall_s": state.wall_s,
            "examples_per_s": state.examples_seen / learning_s,
            "tokens_per_s": state.tokens_seen / learning_s,
            "peak_memory_bytes": peak_memory_bytes,
            "notes": [*engine.notes, *state.notes, *([f"{count} processes shared every step."] if count > 1 else [])],
        }
        part = work / f"{DONE}.part"
        part.write_text(json.dumps(summary), encoding="utf-8")
        part.replace(work / DONE)
    for name in (checkpoints.STATE, checkpoints.BEST):
        (work / name).unlink(missing_ok=True)


def _read_done(work: Path, recipe: str) -> Tuned | None:
    path = work / DONE
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    if found.pop("recipe", None) != recipe or not (work / MODEL).is_dir():
        return None
    adapter = work / ADAPTER
    return Tuned(
        folder=work / MODEL,
        adapter=adapter if adapter.is_dir() else None,
        curve=tuple(EpochPoint(**point) for point in found.pop("curve")),
        notes=tuple(found.pop("notes")),
        **found,
    )
