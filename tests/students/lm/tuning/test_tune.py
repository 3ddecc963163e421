from __future__ import annotations

import gc
import math
import platform
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from metier.errors import BadInput, NotEnoughData
from metier.progress import silent
from metier.students.lm.parts import Encoded, Tuned
from metier.students.lm.tuning.lean import LeanEngine
from metier.students.lm.tuning.loop import Run
from metier.students.lm.tuning.memory import give_back
from metier.students.lm.tuning.plan import Method, SoftLabels, TuningPlan
from metier.students.lm.tuning.tune import answer_loss, tune

LORA = TuningPlan(method="lora", rate=1e-2, rank=4, alpha=4, step_tokens=40, precision="float32", patience=0)
FULL = replace(LORA, method="full", rate=3e-3)
Models = dict[str, Path]


def run(folder: Path, examples: list[Encoded], plan: TuningPlan, work: Path, soft: SoftLabels | None = None) -> Tuned:
    return tune(folder, examples[:50], examples[50:], plan, work, recipe="r", progress=silent, soft=soft)


def losses(tuned: Tuned) -> list[float]:
    return [loss for point in tuned.curve for loss in (point.train_loss, point.tune_loss)]


@pytest.mark.parametrize("kind", ["gemma", "llama", "tied llama", "qwen"])
@pytest.mark.parametrize("plan", [LORA, FULL], ids=["lora", "full"])
def test_tuning_lowers_the_loss_and_keeps_the_best(
    models: Models, examples: list[Encoded], plan: TuningPlan, kind: str, tmp_path: Path
) -> None:
    before = answer_loss(models[kind], examples[50:], plan)
    tuned = run(models[kind], examples, plan, tmp_path)
    best = tuned.curve[tuned.best_epoch - 1].tune_loss
    assert best == min(point.tune_loss for point in tuned.curve) < before
    assert answer_loss(tuned.folder, examples[50:], plan) == pytest.approx(best, rel=1e-4)
    assert tuned.examples_per_s > 0
    assert tuned.peak_memory_bytes > 0
    assert (tuned.adapter is not None) == (plan.method == "lora")


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # of peft with this transformers
@pytest.mark.parametrize("kind", ["gemma", "llama"])
def test_the_adapter_is_what_peft_reads(models: Models, examples: list[Encoded], kind: str, tmp_path: Path) -> None:
    tuned = run(models[kind], examples, replace(LORA, layers=2, epochs=1), tmp_path)
    assert tuned.adapter is not None
    ids = torch.tensor([examples[0].ids])
    base = AutoModelForCausalLM.from_pretrained(models[kind], dtype=torch.float32)
    with torch.no_grad():
        untuned = base(ids).logits
        adapted = PeftModel.from_pretrained(base, tuned.adapter)(ids).logits
        merged = AutoModelForCausalLM.from_pretrained(tuned.folder, dtype=torch.float32)(ids).logits
    torch.testing.assert_close(adapted, merged, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(untuned, merged, atol=1e-2)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_layers_below_those_asked_for_stay_as_they_were(
    models: Models, examples: list[Encoded], method: Method, tmp_path: Path
) -> None:
    tuned = run(models["gemma"], examples, replace(LORA, method=method, layers=1, epochs=1), tmp_path)
    before, after = (load_file(folder / "model.safetensors") for folder in (models["gemma"], tuned.folder))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys()
    assert changed == {
        f"model.layers.3.{part}.weight"
        for part in (
            *(f"self_attn.{p}_proj" for p in "qkvo"),
            *(f"mlp.{p}_proj" for p in ("gate", "up", "down")),
        )
    }


def test_a_small_cache_changes_nothing_but_the_time(models: Models, examples: list[Encoded], tmp_path: Path) -> None:
    plan = replace(LORA, layers=2, epochs=2)
    whole = run(models["gemma"], examples, plan, tmp_path / "whole")
    without = run(models["gemma"], examples, replace(plan, cache_gib=0.0), tmp_path / "without")
    assert losses(whole) == pytest.approx(losses(without), rel=1e-5)
    assert any("cache" in note for note in without.notes)


def test_a_seed_is_a_training(models: Models, examples: list[Encoded], tmp_path: Path) -> None:
    first, again, other = (
        run(models["gemma"], examples, replace(LORA, epochs=1, seed=seed), tmp_path / name)
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert losses(first) == losses(again)
    assert losses(first) != losses(other)
    assert (first.folder / "model.safetensors").read_bytes() == (again.folder / "model.safetensors").read_bytes()


def test_a_training_that_is_done_is_not_done_again(models: Models, examples: list[Encoded], tmp_path: Path) -> None:
    plan = replace(LORA, epochs=1)
    tuned = run(models["llama"], examples, plan, tmp_path)
    stamp = (tuned.folder / "model.safetensors").stat().st_mtime_ns
    assert run(models["llama"], examples, plan, tmp_path) == tuned
    assert (tuned.folder / "model.safetensors").stat().st_mtime_ns == stamp
    other = run(models["llama"], examples, replace(plan, rate=1e-3), tmp_path)
    assert losses(other) != losses(tuned)


def test_it_stops_where_the_tune_split_no_longer_gains(models: Models, examples: list[Encoded], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [Encoded(tuple(rng.integers(10, 100, 10).tolist()), 5) for _ in range(30)]
    plan = replace(FULL, epochs=30, patience=2, rate=1e-2)
    tuned = tune(models["gemma"], noise[:20], noise[20:], plan, tmp_path, recipe="r", progress=silent)
    assert len(tuned.curve) == tuned.best_epoch + 2 < 30


def test_the_tune_split_is_measured_as_often_as_asked(models: Models, examples: list[Encoded], tmp_path: Path) -> None:
    tuned = run(models["llama"], examples, replace(LORA, epochs=2, evaluations=3), tmp_path)
    assert [point.epoch for point in tuned.curve] == [1, 2, 3, 4, 5, 6]


def test_without_a_tune_split_the_last_state_is_kept(models: Models, examples: list[Encoded], tmp_path: Path) -> None:
    tuned = tune(models["llama"], examples, [], replace(LORA, epochs=2), tmp_path, recipe="r", progress=silent)
    assert tuned.best_epoch == 2
    assert all(math.isnan(point.tune_loss) for point in tuned.curve)


@pytest.mark.parametrize("kind", ["gemma", "qwen"])
def test_soft_labels_pull_towards_the_teacher(
    models: Models, examples: list[Encoded], kind: str, tmp_path: Path
) -> None:
    """A teacher that is sure of the right tokens teaches what the answers teach."""
    soft = SoftLabels(
        tuple(np.array(one.ids[one.n_prompt :])[:, None] for one in examples[:50]),
        tuple(np.full((len(one.ids) - one.n_prompt, 1), -1e-3, np.float32) for one in examples[:50]),
        weight=1.0,
    )
    plan = replace(LORA, epochs=2)
    taught = run(models[kind], examples, plan, tmp_path / "taught", soft)
    plain = run(models[kind], examples, plan, tmp_path / "plain")
    assert taught.curve[-1].tune_loss == pytest.approx(plain.curve[-1].tune_loss, abs=0.1)
    short = replace(soft, tokens=soft.tokens[:-1], logprobs=soft.logprobs[:-1])
    with pytest.raises(BadInput, match="49 examples have soft labels"):
        run(models[kind], examples, plan, tmp_path / "short", short)


def test_bfloat16_learns_as_float32_does(models: Models, examples: list[Encoded], tmp_path: Path) -> None:
    exact = run(models["gemma"], examples, LORA, tmp_path / "float32")
    rough = run(models["gemma"], examples, replace(LORA, precision="bfloat16"), tmp_path / "bfloat16")
    assert losses(rough) == pytest.approx(losses(exact), abs=0.15)


def test_what_cannot_be_tuned_on_is_refused(models: Models, examples: list[Encoded], tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="the train split has none"):
        tune(models["llama"], [], examples, LORA, tmp_path, recipe="r", progress=silent)
    with pytest.raises(BadInput, match="Example 0 of the tune split"):
        tune(models["llama"], examples, [Encoded((1, 100), 1)], LORA, tmp_path, recipe="r", progress=silent)
    with pytest.raises(BadInput, match="epochs is 0"):
        TuningPlan(epochs=0)


def test_what_a_training_held_is_given_back(models: Models, examples: list[Encoded], tmp_path: Path) -> None:
    run(models["gemma"], examples, replace(LORA, epochs=1), tmp_path)
    assert not [one for one in gc.get_objects() if type(one) in (LeanEngine, Run)]


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="the memory of glibc's malloc")
def test_what_a_thread_has_freed_goes_back_to_the_system() -> None:
    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()

    def fill() -> torch.Tensor:
        blocks = [torch.ones(16_384) for _ in range(4000)]  # 64 KiB each: too small for pages of their own
        return blocks[-1]

    with ThreadPoolExecutor(1) as thread:
        last = thread.submit(fill).result()  # keeps the end of the thread's memory in use
        before = resident()
        give_back()
        after = resident()
    assert last.sum() == 16_384
    assert after < before - 150 * 2**20
