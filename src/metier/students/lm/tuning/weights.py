"""Weights between the Hugging Face layout and the lean network's fused matrices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from metier.errors import BadArtefact
from metier.students.lm.tuning.block import Layer
from metier.students.lm.tuning.shapes import Shape

# A fused matrix and the parts it is made of, in the order of its rows.
PARTS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
FINAL_NORM = "model.norm.weight"


class Stored:
    """The tensors of a model folder, read one at a time."""

    def __init__(self, folder: Path) -> None:
        self._where: dict[str, Path] = {}
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as stored:
                self._where.update(dict.fromkeys(stored.keys(), path))
        if not self._where:
            raise BadArtefact(f"{folder} holds no .safetensors file: it is no model that can be tuned.")
        self._folder = folder
        self._open: dict[Path, Any] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def names(self) -> Iterator[str]:
        return iter(self._where)

    def read(self, name: str) -> Tensor:
        """Raises BadArtefact where the folder has no such tensor."""
        if name not in self._where:
            raise BadArtefact(f"{self._folder} has no tensor {name!r}: its weights do not fit its config.json.")
        path = self._where[name]
        if path not in self._open:
            self._open[path] = safe_open(path, framework="pt")
        tensor: Tensor = self._open[path].get_tensor(name)
        return tensor


def part_name(layer: int, part: str) -> str:
    return f"model.layers.{layer}.{part}.weight"


def part_rows(shape: Shape, matrix: str) -> dict[str, slice]:
    """Which rows of a fused matrix each part is."""
    kv = shape.kv_heads * shape.head_dim
    sizes = {
        "qkv": (shape.heads * shape.head_dim, kv, kv),
        "out": (shape.width,),
        "gate_up": (shape.hidden, shape.hidden),
        "down": (shape.width,),
    }[matrix]
    rows, begin = {}, 0
    for part, size in zip(PARTS[matrix], sizes, strict=True):
        rows[part] = slice(begin, begin + size)
        begin += size
    return rows


def read_matrix(stored: Stored, layer: int, matrix: str) -> Tensor:
    return torch.cat([stored.read(part_name(layer, part)) for part in PARTS[matrix]])


def read_layer(stored: Stored, shape: Shape, layer: int, dtype: torch.dtype, device: torch.device) -> Layer:
    """The weights of a layer, matrices in `dtype`."""

    def norm(name: str) -> Tensor:
        return stored.read(part_name(layer, name)).to(device, torch.float32) + shape.norm_offset

    def matrix(name: str) -> Tensor:
        return read_matrix(stored, layer, name).to(device, dtype)

    posts = (norm("post_attention_layernorm"), norm("post_feedforward_layernorm")) if shape.has_post_norms else None
    heads = torch.stack([norm("self_attn.q_norm"), norm("self_attn.k_norm")]) if shape.has_head_norms else None
    return Layer(
        qkv=matrix("qkv"),
        out=matrix("out"),
        gate_up=matrix("gate_up"),
        down=matrix("down"),
        attention_norm=norm("input_layernorm"),
        mlp_norm=norm("pre_feedforward_layernorm" if shape.has_post_norms else "post_attention_layernorm"),
        attention_post_norm=None if posts is None else posts[0],
        mlp_post_norm=None if posts is None else posts[1],
        head_norms=heads,
    )
