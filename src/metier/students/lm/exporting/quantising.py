"""Which precision each tensor of a build gets, and the numbers in that precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.errors import BadInput

Array = npt.NDArray[Any]

# Build -> (type of the matrices, type of the embedding, which Gemma and SmolLM2 use for their output too).
BUILDS = {
    "f32": ("F32", "F32"),
    "f16": ("F16", "F16"),
    "bf16": ("BF16", "BF16"),
    "q8_0": ("Q8_0", "Q8_0"),
    "q4_0": ("Q4_0", "Q8_0"),
    "q4_1": ("Q4_1", "Q8_0"),
    "q4": ("Q4_1", "Q8_0"),
}
# The 4-bit build that the student takes keeps these finer: on receipts Gemma 3 270M loses 0.10 nats a token so, 0.20 with
# all matrices as Q4_1 and 0.37 as Q4_0.
_FINER = {"q4": {"ffn_down": "Q8_0", "attn_v": "Q8_0"}}
# general.file_type, enum llama_ftype of llama.cpp.
_FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "BF16": 32}
_EMBEDDINGS = ("token_embd.weight", "output.weight")


def types_of(quantisation: str) -> tuple[str, str]:
    """The types of a build's matrices and of its embedding. Raises BadInput for a build that is not offered."""
    if quantisation not in BUILDS:
        raise BadInput(f"no quantisation {quantisation!r}; choose from {', '.join(BUILDS)}")
    return BUILDS[quantisation]


def file_type(quantisation: str) -> int:
    return _FILE_TYPES[types_of(quantisation)[0]]


def type_of(name: str, shape: Sequence[int], quantisation: str) -> str:
    """The type of a tensor, named as GGUF names it. Norms, biases and what no block of 32 divides stay as they are."""
    matrix, embedding = types_of(quantisation)
    if len(shape) < 2:
        return "F32"
    part = name.split(".")[-2]
    kind = embedding if name in _EMBEDDINGS else _FINER.get(quantisation, {}).get(part, matrix)
    if kind.startswith("Q") and shape[-1] % 32:
        return "F16"
    return kind


def in_type(weights: Array, kind: str) -> Array:
    """The weights (rows, columns) float32 in a GGML type: as numbers, or as bytes (rows, bytes a row) where blocks are."""
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    if kind == "F32":
        return np.ascontiguousarray(weights, dtype=np.float32)
    if kind == "F16":
        return np.ascontiguousarray(weights, dtype=np.float16)
    return quantize(np.ascontiguousarray(weights, dtype=np.float32), GGMLQuantizationType[kind])
