from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from metier.progress import silent
from metier.students.lm.parts import Encoded, Tuned
from metier.students.lm.tuning import soups
from metier.students.lm.tuning.plan import SoftLabels, TuningPlan
from metier.students.lm.tuning.soups import tune_several
from metier.students.lm.tuning.tune import answer_loss, tune

LORA = TuningPlan(
    method="lora", epochs=2, rate=1e-2, rank=4, alpha=8, step_tokens=40, precision="float32", patience=0, seed=3
)
FULL = replace(LORA, method="full", rate=3e-3)
Models = dict[str, Path]


def several(folder: Path, examples: list[Encoded], plan: TuningPlan, work: Path, n: int = 2) -> Tuned:
    shares = [range(50)] * n
    return tune_several(folder, examples[:50], examples[50:], plan, work, shares=shares, recipe="r", progress=silent)


@pytest.mark.parametrize("plan", [LORA, FULL], ids=["lora", "full"])
def test_the_mean_of_the_weights_is_taken(
    models: Models, examples: list[Encoded], plan: TuningPlan, tmp_path: Path
) -> None:
    made = several(models["gemma"], examples, plan, tmp_path)
    alone = [tmp_path / str(number) / "model" / "model.safetensors" for number in range(2)]
    first, second, mean = (load_file(path) for path in (*alone, tmp_path / "mean" / "model" / "model.safetensors"))

    assert any(not torch.equal(first[name], second[name]) for name in first)
    for name, tensor in mean.items():
        torch.testing.assert_close(tensor, (first[name] + second[name]) / 2)
    assert "of 2 trainings with seeds of their own" in made.notes[-1]
    assert made.wall_s > 0


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # of peft with this transformers
@pytest.mark.parametrize("kind", ["gemma", "qwen"])
def test_the_joined_adapter_is_the_mean_model(
    models: Models, examples: list[Encoded], kind: str, tmp_path: Path
) -> None:
    several(models[kind], examples, LORA, tmp_path, n=3)
    ids = torch.tensor([examples[0].ids])
    base = AutoModelForCausalLM.from_pretrained(models[kind], dtype=torch.float32)
    with torch.no_grad():
        adapted = PeftModel.from_pretrained(base, tmp_path / "mean" / "adapter")(ids).logits
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "mean" / "model", dtype=torch.float32)(ids).logits
    torch.testing.assert_close(adapted, merged, rtol=1e-4, atol=1e-4)


def test_what_has_the_lower_loss_on_the_tune_split_is_kept(
    models: Models, examples: list[Encoded], tmp_path: Path
) -> None:
    made = several(models["llama"], examples, LORA, tmp_path)
    found = answer_loss(made.folder, examples[50:], LORA)
    for number in range(2):
        assert found <= answer_loss(tmp_path / str(number) / "model", examples[50:], LORA) * (1 + 1e-4)


def test_a_mean_that_is_worse_is_not_kept(models: Models, examples: list[Encoded], tmp_path: Path) -> None:
    several(models["llama"], examples, LORA, tmp_path)
    (tmp_path / "mean.json").write_text("99.0", encoding="utf-8")
    made = several(models["llama"], examples, LORA, tmp_path)

    assert made.folder.parent.name in ("0", "1")
    assert made.adapter == made.folder.parent / "adapter"
    assert "best is kept: the mean has 99.0000" in made.notes[-1]


def test_without_a_tune_split_the_mean_is_kept(models: Models, examples: list[Encoded], tmp_path: Path) -> None:
    made = tune_several(
        models["llama"], examples[:20], (), LORA, tmp_path, shares=[range(20)] * 2, recipe="r", progress=silent
    )

    assert made.folder == tmp_path / "mean" / "model"
    assert "(nan)" in made.notes[-1]
    assert math.isnan(made.curve[0].tune_loss)


def test_one_training_is_a_training(models: Models, examples: list[Encoded], tmp_path: Path) -> None:
    one = several(models["llama"], examples, LORA, tmp_path / "several", n=1)
    same = tune(models["llama"], examples[:50], examples[50:], LORA, tmp_path / "alone", recipe="r", progress=silent)

    assert [point.tune_loss for point in one.curve] == [point.tune_loss for point in same.curve]
    assert one.folder == tmp_path / "several" / "model"


def test_what_is_done_is_not_done_again(
    models: Models, examples: list[Encoded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(soups, "_mix", killed)
        with pytest.raises(Killed):
            several(models["llama"], examples, LORA, tmp_path)
    (tmp_path / "mean.part").mkdir()  # what a kill left of a mean
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    made = several(models["llama"], examples, LORA, tmp_path)

    assert len(before) == 2
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert (tmp_path / "mean" / "model").is_dir()
    assert made == several(models["llama"], examples, LORA, tmp_path)


def test_every_training_reads_its_own_share(models: Models, examples: list[Encoded], tmp_path: Path) -> None:
    shares = [range(20), [*range(10), *range(30, 50)]]
    train, held = examples[:50], examples[50:]
    soft = SoftLabels(
        tuple(np.array([[token] for token in one.ids[one.n_prompt :]]) for one in train),
        tuple(np.zeros((len(one.ids) - one.n_prompt, 1), np.float32) for one in train),
    )
    tune_several(models["llama"], train, held, LORA, tmp_path, shares=shares, recipe="r", progress=silent, soft=soft)
    for number, share in enumerate(shares):
        plan, own = replace(LORA, seed=LORA.seed + number), [train[place] for place in share]
        alone = tmp_path / f"alone {number}"
        tune(models["llama"], own, held, plan, alone, recipe="r", progress=silent, soft=soft.take(share))
        together, apart = (load_file(f / "model" / "model.safetensors") for f in (tmp_path / str(number), alone))
        assert all(torch.equal(together[name], tensor) for name, tensor in apart.items())
