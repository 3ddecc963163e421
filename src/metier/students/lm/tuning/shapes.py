"""The shape of a decoder, read from its configuration: which networks the lean forward knows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Activation = Literal["gelu", "silu"]

_ACTIVATIONS: dict[str, Activation] = {"gelu_pytorch_tanh": "gelu", "silu": "silu"}


@dataclass(frozen=True)
class Shape:
    """Of the Gemma 3 and Llama families. `windows` (n_layers,) is what a layer sees of the past, None: everything;
    `norm_offset` is what is added to a norm's weight, `scale` multiplies attention scores, `embed_scale` embeddings."""

    n_layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    n_vocabulary: int
    longest: int
    eps: float
    scale: float
    embed_scale: float
    activation: Activation
    windows: tuple[int | None, ...]
    norm_offset: float
    has_head_norms: bool
    has_post_norms: bool
    is_tied: bool


def read_shape(folder: Path) -> Shape | None:
    """The shape of the model in `folder`, or None where the lean forward does not know its kind."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    reader = _READERS.get(config.get("model_type", ""))
    return None if reader is None else reader(config)


def _gemma3(config: dict[str, Any]) -> Shape | None:
    activation = _ACTIVATIONS.get(config.get("hidden_activation", ""))
    odd = ("attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention", "attention_bias")
    if activation is None or any(config.get(name) for name in odd):
        return None
    window = config["sliding_window"]
    kinds = config.get("layer_types") or []
    if len(kinds) != config["num_hidden_layers"]:
        return None
    width = config["hidden_size"]
    return _shape(
        config,
        activation=activation,
        scale=config["query_pre_attn_scalar"] ** -0.5,
        embed_scale=width**0.5,
        windows=tuple(window if kind == "sliding_attention" else None for kind in kinds),
        norm_offset=1.0,
        has_head_norms=True,
        has_post_norms=True,
        is_tied=config.get("tie_word_embeddings", True),
    )


def _llama(config: dict[str, Any]) -> Shape | None:
    activation = _ACTIVATIONS.get(config.get("hidden_act", ""))
    if activation is None or any(config.get(name) for name in ("attention_bias", "mlp_bias")):
        return None
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return _shape(
        config,
        activation=activation,
        scale=head_dim**-0.5,
        embed_scale=1.0,
        windows=(None,) * config["num_hidden_layers"],
        norm_offset=0.0,
        has_head_norms=False,
        has_post_norms=False,
        is_tied=config.get("tie_word_embeddings", False),
    )


def _shape(config: dict[str, Any], **rest: Any) -> Shape:
    heads = config["num_attention_heads"]
    return Shape(
        n_layers=config["num_hidden_layers"],
        width=config["hidden_size"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        hidden=config["intermediate_size"],
        n_vocabulary=config["vocab_size"],
        longest=config.get("max_position_embeddings", 2048),
        eps=config.get("rms_norm_eps", 1e-6),
        **rest,
    )


_READERS = {"gemma3_text": _gemma3, "llama": _llama}
