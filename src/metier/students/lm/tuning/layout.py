"""Writing a tuned model and its adapter in Hugging Face layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from metier.students.lm.tuning.weights import Stored


def write_model(source: Path, target: Path, changed: Mapping[str, Tensor]) -> None:
    """The model of `source` with some tensors changed, in the dtypes it had; tokenizer and configuration as they were."""
    for path in sorted(source.iterdir()):
        if path.is_file() and ".safetensors" not in path.name:
            shutil.copyfile(path, target / path.name)
    stored = Stored(source)
    tensors = {}
    for name in stored.names():
        tensor = stored.read(name)
        if name in changed:
            tensor = changed[name].detach().to("cpu", tensor.dtype)
        tensors[name] = tensor.contiguous()
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})


def write_adapter(
    target: Path, tensors: Mapping[str, Tensor], *, base: str, rank: int, alpha: float, modules: Collection[str],
    layers: Collection[int],
) -> None:  # fmt: skip
    """A LoRA adapter as peft reads it; `base` is the name or the folder of the model it changes."""
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "target_modules": sorted(modules),
        "layers_to_transform": sorted(layers),
        "use_rslora": False,
        "use_dora": False,
    }
    (target / "adapter_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    kept = {name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in tensors.items()}
    save_file(kept, target / "adapter_model.safetensors", metadata={"format": "pt"})
