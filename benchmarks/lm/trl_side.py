"""The TRL side of lm_tuning.py, in an environment of its own: SFTTrainer with LoRA on examples that are tokenised already.

    python trl_side.py JOB.json

JOB names the model's folder, the examples (token ids and prompt lengths), the settings and where the result goes: seconds
of every optimiser step, examples in each, peak memory; and, if asked for, the tuned model with the adapter merged in.
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
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class StepTimes(TrainerCallback):
    """Seconds between the beginning and the end of each optimiser step."""

    def __init__(self) -> None:
        self.taken_s: list[float] = []
        self._begun = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._begun = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.taken_s.append(time.perf_counter() - self._begun)


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    dataset = Dataset.from_list(
        [{"input_ids": ids, "labels": [-100] * n + ids[n:]} for ids, n in zip(job["ids"], job["n_prompt"], strict=True)]
    )
    times = StepTimes()
    config = SFTConfig(
        output_dir=job["work"],
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        seed=job["seed"],
        dataset_kwargs={"skip_prepare_dataset": True},
        **job["config"],
    )
    model: Any = job["folder"]
    if job["dtype"] is not None:
        model = AutoModelForCausalLM.from_pretrained(job["folder"], dtype=getattr(torch, job["dtype"]))
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=dataset,
        processing_class=AutoTokenizer.from_pretrained(job["folder"]),
        peft_config=LoraConfig(task_type="CAUSAL_LM", **job["lora"]),
        callbacks=[times],
    )
    trainer.train()
    result = {
        "step_s": times.taken_s,
        "examples_a_step": config.per_device_train_batch_size * config.gradient_accumulation_steps,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
    }
    if job["merged"] is not None:
        # Merged in float32: rounding the merged weights to bfloat16 would be held against the adapter.
        trainer.model.float().merge_and_unload().save_pretrained(job["merged"])
    Path(job["out"]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
