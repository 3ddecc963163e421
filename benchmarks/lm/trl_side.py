"""The TRL side of lm_tuning.py and lm_preference.py, in an environment of its own: SFTTrainer or DPOTrainer with LoRA.

    python trl_side.py JOB.json

The job: `trainer` (sft or dpo), the model's `folder`, `rows` (the examples' columns, tokenised already), `config` and
`lora` (settings), the weights' `dtype` (null: the trainer loads the model as it does by default), `rates` (of each step;
null: the trainer's schedule), `seed`, `work`, `merged` (where the tuned model is wanted, or null) and `out`,
where the result goes: seconds of every optimiser step, examples in each, seconds an example that the reference took by
itself, peak memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer


class Steps(TrainerCallback):
    """Seconds between the beginning and the end of each optimiser step; the rates where they are given."""

    def __init__(self, rates: list[float] | None) -> None:
        self.taken_s: list[float] = []
        self._rates = rates
        self._begun = 0.0

    def on_step_begin(self, *_: Any, optimizer: Any, **__: Any) -> None:
        if self._rates is not None:
            for group in optimizer.param_groups:
                group["lr"] = self._rates[len(self.taken_s)]
        self._begun = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.taken_s.append(time.perf_counter() - self._begun)


class PairTrainer(DPOTrainer):
    """DPOTrainer on pairs that are tokenised already, and what the reference took where it is computed beforehand."""

    reference_s = 0.0

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, *given: Any) -> Dataset:
        begun = time.perf_counter()
        found = super()._precompute_ref_logps(*given)
        self.reference_s = time.perf_counter() - begun
        return found


TRAINERS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "sft": (SFTConfig, SFTTrainer, {"dataset_kwargs": {"skip_prepare_dataset": True}}),
    # The pairs' lengths are a column that the trainer would remove, and group_by_length goes by it.
    "dpo": (DPOConfig, PairTrainer, {"remove_unused_columns": False}),
}


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    config_of, trainer_of, always = TRAINERS[job["trainer"]]
    steps = Steps(job["rates"])
    config = config_of(
        output_dir=job["work"],
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        seed=job["seed"],
        **always,
        **job["config"],
    )
    model: Any = job["folder"]
    if job["dtype"] is not None:
        model = AutoModelForCausalLM.from_pretrained(job["folder"], dtype=getattr(torch, job["dtype"]))
    trainer = trainer_of(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(job["rows"]),
        processing_class=AutoTokenizer.from_pretrained(job["folder"]),
        peft_config=LoraConfig(task_type="CAUSAL_LM", **job["lora"]),
        callbacks=[steps],
    )
    trainer.train()
    result = {
        "step_s": steps.taken_s,
        "n_a_step": config.per_device_train_batch_size * config.gradient_accumulation_steps,
        "reference_s_each": getattr(trainer, "reference_s", 0.0) / len(job["rows"]),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
    }
    if job["merged"] is not None:
        write_merged(trainer, job["folder"], Path(job["work"]) / "adapter", job["merged"])
    Path(job["out"]).write_text(json.dumps(result))


def write_merged(trainer: Any, folder: str, adapter: Path, target: str) -> None:
    """The adapter on the model as it is stored, in float32: that training rounded it is not held against the adapter."""
    trainer.model.save_pretrained(str(adapter), save_embedding_layers=False)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    PeftModel.from_pretrained(plain, str(adapter)).merge_and_unload().save_pretrained(target)


if __name__ == "__main__":
    main()
