"""Cosines and sines of rotary positions, as transformers computes them for a model's configuration."""

from __future__ import annotations

import inspect
from pathlib import Path

import torch
from torch import Tensor

Table = tuple[Tensor, Tensor]


def tables(folder: Path, n_positions: int, device: torch.device) -> list[Table]:
    """For each layer (cos, sin), (n_positions, head_dim / 2) float32 each; layers of one kind share theirs."""
    from transformers import AutoConfig
    from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = AutoConfig.from_pretrained(folder)
    maker = Gemma3RotaryEmbedding if config.model_type == "gemma3_text" else LlamaRotaryEmbedding
    rotary = maker(config)
    positions = torch.arange(n_positions)[None]
    like = torch.zeros(1, dtype=torch.float32)
    by_kind = "layer_type" in inspect.signature(rotary.forward).parameters
    kinds = list(config.layer_types) if by_kind else [""] * config.num_hidden_layers
    found: dict[str, Table] = {}
    for kind in dict.fromkeys(kinds):
        cos, sin = rotary(like, positions, kind) if by_kind else rotary(like, positions)
        half = cos.shape[-1] // 2
        found[kind] = (cos[0, :, :half].contiguous().to(device), sin[0, :, :half].contiguous().to(device))
    return [found[kind] for kind in kinds]
