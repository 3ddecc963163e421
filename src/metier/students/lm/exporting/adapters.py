"""A LoRA adapter alone: as peft writes it, and as a GGUF file that llama.cpp puts on top of its base."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.errors import ExportFailed, MissingExtra
from metier.students.exports import write_json
from metier.students.lm.exporting.architectures import Shape, paired, shape_of
from metier.students.lm.exporting.builds import About, read_config, read_tensors, tensor_names, written

Array = npt.NDArray[Any]
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_MATRICES = (".lora_A.weight", ".lora_B.weight")


def copy_adapter(adapter: Path, target: Path, *, base: str, revision: str = "") -> int:
    """Copy an adapter in peft's layout to the folder `target`, the two files it consists of; their size in bytes.

    `base` is what others load the base model by: a path, or a name on the hub, with its commit `revision` where known.
    It stands in the copy in place of the folder that was tuned. Raises ExportFailed for an adapter that holds anything but
    low-rank matrices, such as embeddings: it would not fit that base where a vocabulary was cut.
    """
    config = _config_of(adapter)
    for key, _ in read_tensors(adapter / _WEIGHTS):
        if not key.endswith(_MATRICES):
            raise ExportFailed(f"the adapter in {adapter} holds more than low-rank changes of the layers: {key}")
    target.mkdir(parents=True, exist_ok=True)
    part = target / f"{_WEIGHTS}.part"
    shutil.copyfile(adapter / _WEIGHTS, part)
    part.replace(target / _WEIGHTS)
    write_json(target / _CONFIG, {**config, "base_model_name_or_path": base, "revision": revision or None})
    return sum((target / name).stat().st_size for name in (_WEIGHTS, _CONFIG))


def write_adapter_gguf(adapter: Path, folder: Path, target: Path, *, about: About | None = None) -> int:
    """Write peft's LoRA adapter in `adapter` for the model in `folder` to `target`; the file's size in bytes.

    Matrices are 16-bit floats. The file works on any build of that very model, with the same vocabulary. Raises
    MissingExtra, and ExportFailed for adapters that llama.cpp cannot apply (DoRA, embeddings, trained biases).
    """
    try:
        import gguf
    except ImportError:
        raise MissingExtra("train", "writing a GGUF file") from None
    config = _config_of(adapter)
    shape = shape_of(read_config(folder))
    tensors = _tensors(adapter, shape)
    ranks = {weights.shape[0] for name, weights in tensors.items() if name.endswith(".lora_a")}
    with written(target) as part:
        writer = gguf.GGUFWriter(part, shape.architecture)
        try:
            writer.add_type(gguf.GGUFType.ADAPTER)
            writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
            if about is not None and about.name:
                writer.add_name(about.name)
            writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, _alpha(config, ranks))
            for name, weights in tensors.items():
                writer.add_tensor(name, np.ascontiguousarray(weights, dtype=np.float16))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()
    return target.stat().st_size


def _tensors(adapter: Path, shape: Shape) -> dict[str, Array]:
    names = tensor_names(shape)
    found: dict[str, Array] = {}
    for key, weights in read_tensors(adapter / _WEIGHTS):
        stem, dot, rest = key.removeprefix(_PREFIX).partition(".lora_")
        if not dot or rest not in ("A.weight", "B.weight"):
            raise ExportFailed(f"llama.cpp has no place for this part of the adapter: {key}")
        # A maps the input down and B up to the output, whose rows are ordered as the matrix' own.
        if rest.startswith("B") and shape.architecture == "llama":
            if stem.endswith(".q_proj"):
                weights = paired(weights, shape.n_heads)
            elif stem.endswith(".k_proj"):
                weights = paired(weights, shape.n_kv_heads)
        found[f"{names(f'{stem}.weight')}.lora_{rest[0].lower()}"] = weights
    if not found:
        raise ExportFailed(f"the adapter in {adapter} holds no weights")
    return found


def _alpha(config: Mapping[str, Any], ranks: set[int]) -> float:
    """What llama.cpp divides by each matrix' rank. Rank-stabilised LoRA divides by its root (Kalajdzievski 2023)."""
    alpha = float(config["lora_alpha"])
    if not config.get("use_rslora"):
        return alpha
    if len(ranks) > 1:
        raise ExportFailed("a rank-stabilised adapter with several ranks cannot be written as GGUF")
    return alpha * math.sqrt(next(iter(ranks)))


def _config_of(adapter: Path) -> dict[str, Any]:
    for name in (_CONFIG, _WEIGHTS):
        if not (adapter / name).is_file():
            raise ExportFailed(f"no LoRA adapter in {adapter}: {name} is missing")
    config: dict[str, Any] = json.loads((adapter / _CONFIG).read_bytes())
    if config.get("use_dora") or config.get("peft_type", "LORA") != "LORA" or config.get("alpha_pattern"):
        raise ExportFailed("only plain LoRA adapters can be written as GGUF: no DoRA, no other peft type, one alpha")
    return config
