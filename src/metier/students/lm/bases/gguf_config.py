"""config.json of the model in a GGUF file.

transformers reads a GGUF file's configuration, too, but takes its own defaults for what it has no place for: the size of
Qwen3's heads, Gemma's scale of the attention, the scaling of rotary frequencies, which Llama 3 keeps as a tensor. A model
converted so is another one, or cannot be read at all; here everything comes from the file, or the file is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from metier.errors import BadInput
from metier.students.lm.bases.gguf_files import GgufHead
from metier.students.lm.bases.gguf_header import read_floats
from metier.students.lm.exporting.architectures import ARCHITECTURES, frequency_factors, shape_of

ROTARY_FACTORS = "rope_freqs.weight"
_OUTPUT = "output.weight"
# What llama.cpp takes where a file is silent (src/llama-model.cpp).
_THETA, _GEMMA_THETA, _GEMMA_LOCAL_THETA = 10_000.0, 1_000_000.0, 10_000.0
_GEMMA_PERIOD = 6
_LAYERS_OF_GEMMA_27B = 62
# Of Llama 3's scaling a file keeps the factors that come out, not what they come from; all published models have these.
_LOW, _HIGH = 1.0, 4.0
_CONTEXTS = tuple(2**n for n in range(6, 18))
_TOLERANCE = 1e-3


def config_fields(head: GgufHead) -> dict[str, Any]:
    """The fields of transformers' configuration of the model, `model_type` among them.

    Raises BadInput where the file lacks one that is needed, or asks for something that cannot be tuned as it is served.
    """
    get = _Values(head)
    n_heads, n_embedding, n_layers = (
        get.whole("attention.head_count"),
        get.whole("embedding_length"),
        get.whole("block_count"),
    )
    head_size = int(get("attention.key_length", n_embedding // n_heads))
    model_type = next(kind for kind, name in ARCHITECTURES.items() if name == head.architecture)
    fields: dict[str, Any] = {
        "model_type": model_type,
        "vocab_size": len(head.facts.tokens),
        "hidden_size": n_embedding,
        "intermediate_size": get.whole("feed_forward_length"),
        "num_hidden_layers": n_layers,
        "num_attention_heads": n_heads,
        "num_key_value_heads": int(get("attention.head_count_kv", n_heads)),
        "head_dim": head_size,
        "max_position_embeddings": get.whole("context_length"),
        "rms_norm_eps": float(get("attention.layer_norm_rms_epsilon")),
        "tie_word_embeddings": _OUTPUT not in head.header.tensors,
    }
    if int(get("rope.dimension_count", head_size)) != head_size:
        raise get.refused(f"turns {get('rope.dimension_count')} of {head_size} numbers of a head")
    rope = _rope(head, get, fields)
    if head.architecture != "gemma3":
        return {**fields, "rope_parameters": rope}
    local = {"rope_type": "default", "rope_theta": float(get("rope.freq_base_swa", _GEMMA_LOCAL_THETA))}
    if get("attention.sliding_window_pattern", _GEMMA_PERIOD) != _GEMMA_PERIOD:
        raise get.refused("has other layers with a sliding window than Gemma 3")
    return {
        **fields,
        "rope_parameters": {"full_attention": rope, "sliding_attention": local},
        "sliding_window": get.whole("attention.sliding_window"),
        "query_pre_attn_scalar": n_embedding // n_heads if n_layers == _LAYERS_OF_GEMMA_27B else head_size,
        "final_logit_softcapping": get("final_logit_softcapping", None),
    }


class _Values:
    """The file's keys of its architecture."""

    _NEEDED = object()

    def __init__(self, head: GgufHead) -> None:
        self._head = head

    def __call__(self, name: str, default: Any = _NEEDED) -> Any:
        found = self._head.header.values.get(f"{self._head.architecture}.{name}", default)
        if found is self._NEEDED:
            raise BadInput(f"{self._head.header.path} lacks the key {self._head.architecture}.{name}; it is not whole.")
        if isinstance(found, list):  # a number for every layer
            if len(set(found)) != 1:
                raise self.refused(f"has layers with different {name}")
            return found[0]
        return found

    def whole(self, name: str) -> int:
        return int(self(name))

    def refused(self, what: str) -> BadInput:
        return BadInput(
            f"{self._head.header.path} ({self._head.architecture}) {what}, which cannot be tuned and served here. "
            "Take another base."
        )


def _rope(head: GgufHead, get: _Values, fields: Mapping[str, Any]) -> dict[str, Any]:
    theta = float(get("rope.freq_base", _GEMMA_THETA if head.architecture == "gemma3" else _THETA))
    kind = get("rope.scaling.type", "none")
    factor = float(get("rope.scaling.factor", get("rope.scale_linear", 1.0)))
    if kind not in ("none", "linear"):
        raise get.refused(f"scales its rotary frequencies in the way '{kind}'")
    if ROTARY_FACTORS in head.header.tensors:
        return _llama3(head, get, {**fields, "rope_parameters": {"rope_theta": theta}})
    if factor not in (0.0, 1.0):  # llama.cpp takes 0 for none
        return {"rope_type": "linear", "rope_theta": theta, "factor": factor}
    return {"rope_type": "default", "rope_theta": theta}


def _llama3(head: GgufHead, get: _Values, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The scaling of which the file's factors come out."""
    factors = read_floats(head.header, ROTARY_FACTORS)
    rope = {**fields["rope_parameters"], "rope_type": "llama3", "low_freq_factor": _LOW, "high_freq_factor": _HIGH}
    for context in _CONTEXTS:
        tried = {**rope, "factor": float(factors.max()), "original_max_position_embeddings": context}
        found = frequency_factors(shape_of({**fields, "rope_parameters": tried}))
        if found is not None and found.shape == factors.shape and np.allclose(found, factors, rtol=_TOLERANCE):
            return tried
    raise get.refused("scales its rotary frequencies by factors that are not those of Llama 3")
