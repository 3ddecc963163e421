"""The architectures that can be written as GGUF: what llama.cpp calls their parts and how it wants the weights.

Sources: llama.cpp's convert_hf_to_gguf.py (the rotary permutation of Llama's queries and keys, Gemma's norms as 1 + w, the
scaled frequencies of Llama 3) and the names of the `gguf` package.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.errors import ExportFailed

Array = npt.NDArray[Any]

# transformers' model_type -> llama.cpp's architecture.
ARCHITECTURES = {"gemma3_text": "gemma3", "llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
_GEMMA_PERIOD = 6
_LLAMA3 = "llama3"
_PLAIN, _LINEAR = ("default", None), "linear"


@dataclass(frozen=True)
class Shape:
    """What a config.json says of a model, defaults filled in; `rope`, `rope_local` as in transformers' rope_parameters."""

    architecture: str
    n_layers: int
    n_embedding: int
    n_feed_forward: int
    n_heads: int
    n_kv_heads: int
    head_size: int
    n_context: int
    norm_epsilon: float
    rope: Mapping[str, Any]
    rope_local: Mapping[str, Any] | None
    sliding_window: int | None
    is_tied: bool


def shape_of(config: Mapping[str, Any]) -> Shape:
    """The shape of the model that a config.json describes. Raises ExportFailed where llama.cpp could not run it."""
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        raise ExportFailed(f"models of type {kind!r} cannot be written as GGUF; supported: {', '.join(ARCHITECTURES)}")
    is_gemma = kind == "gemma3_text"
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    local = rope.get("sliding_attention")
    if "full_attention" in rope:
        rope = rope["full_attention"]
    rope.setdefault("rope_theta", config.get("rope_theta", 1_000_000.0 if is_gemma else 10_000.0))
    if is_gemma and local is None:
        local = {"rope_theta": config.get("rope_local_base_freq", 10_000.0)}
    if is_gemma:
        _check_gemma(config)
    elif config.get("use_sliding_window"):
        raise ExportFailed(
            f"{kind} with a sliding window cannot be written as GGUF: llama.cpp would attend to all of it"
        )
    rope_type = rope.get("rope_type", rope.get("type"))
    if rope_type not in (*_PLAIN, _LINEAR, _LLAMA3):
        raise ExportFailed(
            f"rotary scaling of type {rope_type!r} cannot be written; supported: default, linear, llama3"
        )
    n_heads = int(config["num_attention_heads"])
    n_embedding = int(config["hidden_size"])
    return Shape(
        architecture=ARCHITECTURES[kind],
        n_layers=int(config["num_hidden_layers"]),
        n_embedding=n_embedding,
        n_feed_forward=int(config["intermediate_size"]),
        n_heads=n_heads,
        n_kv_heads=int(config.get("num_key_value_heads") or n_heads),
        head_size=int(config.get("head_dim") or (256 if is_gemma else n_embedding // n_heads)),
        n_context=int(config["max_position_embeddings"]),
        norm_epsilon=float(config.get("rms_norm_eps", 1e-6)),
        rope={**rope, "rope_type": rope_type or "default"},
        rope_local=local,
        sliding_window=int(config.get("sliding_window") or 4096) if is_gemma else None,
        is_tied=bool(config.get("tie_word_embeddings", is_gemma)),
    )


def converted(name: str, weights: Array, shape: Shape) -> Array:
    """Weights as llama.cpp wants them, float32: `name` is transformers'."""
    if shape.architecture == "gemma3" and name.endswith("norm.weight"):
        return np.asarray(weights + 1.0, dtype=np.float32)
    if shape.architecture == "llama" and ".self_attn.q_proj." in name:
        return paired(weights, shape.n_heads)
    if shape.architecture == "llama" and ".self_attn.k_proj." in name:
        return paired(weights, shape.n_kv_heads)
    return weights


def paired(weights: Array, n_heads: int) -> Array:
    """Rows (n_heads * head_size, ...) with each head's two halves interleaved: llama.cpp turns neighbours, not halves."""
    halves = weights.reshape(n_heads, 2, weights.shape[0] // n_heads // 2, *weights.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weights.shape))


def frequency_factors(shape: Shape) -> Array | None:
    """What Llama 3 divides its rotary frequencies by, (head_size / 2,) float32; None for any other scaling."""
    rope = shape.rope
    if rope["rope_type"] != _LLAMA3:
        return None
    frequencies = 1.0 / float(rope["rope_theta"]) ** (np.arange(0, shape.head_size, 2) / shape.head_size)
    wavelengths = 2 * math.pi / frequencies
    low, high, factor = float(rope["low_freq_factor"]), float(rope["high_freq_factor"]), float(rope["factor"])
    original = float(rope["original_max_position_embeddings"])
    smooth = np.clip((original / wavelengths - low) / (high - low), 0.0, 1.0)
    factors: Array = (1.0 / ((1 - smooth) / factor + smooth)).astype(np.float32)
    return factors


def add_shape(writer: Any, shape: Shape) -> None:
    """Write the keys that describe the model into a `gguf.GGUFWriter`."""
    from gguf import RopeScalingType

    writer.add_context_length(shape.n_context)
    writer.add_embedding_length(shape.n_embedding)
    writer.add_block_count(shape.n_layers)
    writer.add_feed_forward_length(shape.n_feed_forward)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_rope_freq_base(float(shape.rope["rope_theta"]))
    if shape.architecture == "llama":
        writer.add_rope_dimension_count(shape.head_size)
    if shape.rope["rope_type"] == _LINEAR:
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(shape.rope["factor"]))
    if shape.rope_local is not None:
        writer.add_rope_freq_base_swa(float(shape.rope_local["rope_theta"]))
    if shape.sliding_window is not None:
        writer.add_sliding_window(shape.sliding_window)


def _check_gemma(config: Mapping[str, Any]) -> None:
    """Raise ExportFailed where a Gemma 3 departs from what llama.cpp takes for granted."""
    expected = [
        "full_attention" if (i + 1) % _GEMMA_PERIOD == 0 else "sliding_attention"
        for i in range(int(config["num_hidden_layers"]))
    ]
    if config.get("layer_types", expected) != expected:
        raise ExportFailed(f"Gemma 3 with layer_types other than one full in {_GEMMA_PERIOD} cannot be written as GGUF")
    head_size = config.get("head_dim") or 256
    if config.get("query_pre_attn_scalar", head_size) != head_size:
        raise ExportFailed("Gemma 3 whose query_pre_attn_scalar is not its head_dim cannot be written as GGUF")
    if config.get("final_logit_softcapping") or config.get("attn_logit_softcapping"):
        raise ExportFailed("Gemma 3 with capped logits cannot be written as GGUF")
