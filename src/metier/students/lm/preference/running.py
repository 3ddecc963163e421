"""The pass itself: reference, steps, checkpoints, merge. Needs torch, transformers and peft."""

from __future__ import annotations

import math
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metier.machine import usable_cores
from metier.progress import Progress
from metier.students.checkpoints import optimiser_tensors, read, restore_optimiser, write
from metier.students.lm.likelihood import answer_logprobs, open_causal, without_bars
from metier.students.lm.preference.losses import pair_loss
from metier.students.lm.preference.plan import PreferencePlan
from metier.students.lm.preference.sequences import CodedPair
from metier.students.lm.tuning.memory import is_out_of_memory
from metier.students.lm.tuning.plan import PassFailed
from metier.students.lm.vocabulary.facts import FACTS_FILE

_CHECKPOINT = "checkpoint.safetensors"
_REFERENCE = "reference.safetensors"
# Files of a model's folder that the weights are not: the tokenizer, what llama.cpp must know of it, the chat template.
_BESIDE = ("tokenizer.json", "tokenizer_config.json", FACTS_FILE, "chat_template.jinja", "special_tokens_map.json")


@dataclass
class Run:
    """A pass under way, and what it has shown so far: of each step the mean margin in nats and the share told apart."""

    model: Any
    parameters: list[Tensor]
    optimiser: torch.optim.Optimizer
    step: int = 0
    margins: list[float] = field(default_factory=list)
    told_apart: list[float] = field(default_factory=list)
    before_s: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    @property
    def wall_s(self) -> float:
        return self.before_s + time.perf_counter() - self.started


def run_pass(
    folder: Path, pairs: Sequence[CodedPair], plan: PreferencePlan, work: Path, recipe: str, progress: Progress
) -> Run:
    """Learn from the pairs and leave `work/model` and `work/adapter`."""
    with _repeatable(plan), _enough_memory(pairs):
        run = _set_up(folder, plan)
        reference = _reference(run, pairs, work, recipe, progress)
        _resume(run, work, recipe)
        _learn(run, pairs, reference, plan, work, recipe, progress)
        _write(run, folder, work)
    return run


@contextmanager
def _enough_memory(pairs: Sequence[CodedPair]) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as problem:
        if not is_out_of_memory(problem):
            raise
        longest = max(pair.n_tokens for pair in pairs)
        raise PassFailed(f"the memory does not hold the model with one pair of up to {longest} tokens") from problem


def clear(work: Path) -> None:
    """Remove what only an unfinished pass needs."""
    for name in (_CHECKPOINT, _REFERENCE):
        (work / name).unlink(missing_ok=True)


def _set_up(folder: Path, plan: PreferencePlan) -> Run:
    from peft import LoraConfig, get_peft_model

    model, _ = open_causal(folder, plan.precision, plan.device)
    # Without dropout, in evaluation mode: the reference is then exactly where the pass begins.
    config = LoraConfig(r=plan.rank, lora_alpha=plan.rank, target_modules="all-linear", task_type="CAUSAL_LM")
    with _quiet():
        adapted: Any = get_peft_model(model, config).eval()
    parameters = [parameter for _, parameter in _named(adapted)]
    return Run(adapted, parameters, torch.optim.AdamW(parameters, lr=plan.rate, weight_decay=0.0))


def _named(model: Any) -> list[tuple[str, Tensor]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def _reference(run: Run, pairs: Sequence[CodedPair], work: Path, recipe: str, progress: Progress) -> Tensor:
    """(n, 2) what the model finds of chosen and rejected answers before it has learnt anything; computed once."""
    stored = read(work / _REFERENCE, recipe)
    if stored is not None:
        return stored[0]["logprobs"]
    found = []
    with torch.no_grad():
        for i, pair in enumerate(pairs):
            progress("Reading pairs", i, len(pairs))
            found.append(answer_logprobs(run.model, pair.prompt, (pair.chosen, pair.rejected)).cpu())
    progress("Reading pairs", len(pairs), len(pairs))
    logprobs = torch.stack(found)
    write(work / _REFERENCE, {"logprobs": logprobs}, {"recipe": recipe})
    return logprobs


def _learn(
    run: Run,
    pairs: Sequence[CodedPair],
    reference: Tensor,
    plan: PreferencePlan,
    work: Path,
    recipe: str,
    progress: Progress,
) -> None:
    order = np.random.default_rng(plan.seed).permutation(len(pairs))
    steps = [order[at : at + plan.step_pairs] for at in range(0, len(order), plan.step_pairs)]
    saved = time.perf_counter()
    while run.step < len(steps):
        progress("Preference tuning", run.step, len(steps))
        for group in run.optimiser.param_groups:
            group["lr"] = plan.rate * schedule(run.step, len(steps), plan.warm_up)
        _step(run, pairs, reference, steps[run.step], plan)
        run.step += 1
        if run.step < len(steps) and time.perf_counter() - saved >= plan.checkpoint_every_s:
            _save(run, work, recipe)
            saved = time.perf_counter()
    progress("Preference tuning", len(steps), len(steps))


def _step(run: Run, pairs: Sequence[CodedPair], reference: Tensor, places: Any, plan: PreferencePlan) -> None:
    margins = []
    for i in places:
        pair, (of_chosen, of_rejected) = pairs[i], reference[i].tolist()
        chosen, rejected = answer_logprobs(run.model, pair.prompt, (pair.chosen, pair.rejected))
        loss, margin = pair_loss(
            chosen,
            rejected,
            of_chosen,
            of_rejected,
            len(pair.chosen),
            beta=plan.beta,
            sft_weight=plan.sft_weight,
        )
        if not math.isfinite(float(loss.detach())):
            raise PassFailed(
                f"the loss is {float(loss.detach())} at step {run.step + 1}: the weights have run away, and want a lower "
                f"rate than {plan.rate:g}"
            )
        (loss / len(places)).backward()  # type: ignore[no-untyped-call]
        margins.append(margin)
    torch.nn.utils.clip_grad_norm_(run.parameters, plan.clip)
    run.optimiser.step()
    run.optimiser.zero_grad(set_to_none=True)
    run.margins.append(sum(margins) / len(margins))
    run.told_apart.append(sum(margin > 0 for margin in margins) / len(margins))


def schedule(step: int, total: int, warm_up: float) -> float:
    """Share of the top rate: linear up over the first `warm_up` of the steps, then half a cosine to zero."""
    rise = max(1, round(warm_up * total))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def _save(run: Run, work: Path, recipe: str) -> None:
    tensors = {f"lora.{name}": parameter for name, parameter in _named(run.model)}
    tensors |= optimiser_tensors(run.optimiser, run.parameters)
    state = {
        "recipe": recipe,
        "step": run.step,
        "margins": run.margins,
        "told_apart": run.told_apart,
        "wall_s": run.wall_s,
    }
    write(work / _CHECKPOINT, tensors, state)


def _resume(run: Run, work: Path, recipe: str) -> None:
    stored = read(work / _CHECKPOINT, recipe)
    if stored is None:
        return
    tensors, state = stored
    with torch.no_grad():
        for name, parameter in _named(run.model):
            parameter.copy_(tensors[f"lora.{name}"])
    restore_optimiser(run.optimiser, run.parameters, tensors)
    run.step, run.before_s = state["step"], state["wall_s"]
    run.margins, run.told_apart = state["margins"], state["told_apart"]


def _write(run: Run, folder: Path, work: Path) -> None:
    """The adapter, and the model with it merged in: in float32, since bfloat16 would round such small changes away."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with _quiet():
        run.model.save_pretrained(str(work / "adapter"), save_embedding_layers=False)
        plain: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        merged: Any = PeftModel.from_pretrained(plain, str(work / "adapter")).merge_and_unload()
        merged.save_pretrained(str(work / "model"))
    for name in _BESIDE:
        if (folder / name).is_file():
            shutil.copy2(folder / name, work / "model" / name)


@contextmanager
def _quiet() -> Iterator[None]:
    """peft asks transformers for what it will give up in a later version, and both draw bars."""
    with warnings.catch_warnings(), without_bars():
        warnings.simplefilter("ignore", FutureWarning)
        yield


@contextmanager
def _repeatable(plan: PreferencePlan) -> Iterator[None]:
    """Torch with the plan's seed and threads; puts its settings back."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        torch.set_num_threads(plan.threads or usable_cores())
        try:
            yield
        finally:
            torch.set_num_threads(threads)
