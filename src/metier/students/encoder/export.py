"""The trained network as ONNX, in float32 or, where it costs no accuracy, with int8 weights. Needs torch and onnx."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import binom

from metier.students.encoder.network import Encoder
from metier.students.encoder.runtime import Session

OPSET = 18
FLOAT32_FILE = "model.float32.onnx"
INT8_FILE = "model.int8.onnx"

# int8 may lose this share of the tune items net: a tenth of a point, below what a tune split of some thousands can see.
MAX_NET_LOSS = 0.001
_SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Precision:
    """The form that is kept, and why."""

    name: str
    reason: str


def write_onnx(encoder: Encoder, path: Path) -> None:
    """Write the encoder with free batch size and length: input_ids, attention_mask (n, length) int64 -> features (n, w)."""
    encoder = encoder.eval()
    example = (torch.ones(2, 7, dtype=torch.long), torch.ones(2, 7, dtype=torch.long))
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            encoder,
            example,
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=["features"],
            dynamic_shapes=({0: batch, 1: length}, {0: batch, 1: length}),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def write_int8(source: Path, target: Path) -> None:
    """Weights of matrix products and embeddings as int8 with a scale per channel; activations are scaled as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )


def choose_precision(right_float32: npt.NDArray[np.bool_], right_int8: npt.NDArray[np.bool_]) -> Precision:
    """int8 unless the tune split, paired item by item, speaks against it.

    It is refused where it loses more than MAX_NET_LOSS of the items net, or where the items that only float32 answers
    rightly outnumber the others beyond chance (exact one-sided McNemar, p <= 0.05).
    """
    n = len(right_float32)
    if n == 0:
        return Precision("float32", "no tune split to show that int8 costs nothing")
    lost = int((right_float32 & ~right_int8).sum())
    won = int((~right_float32 & right_int8).sum())
    p_value = float(binom.sf(lost - 1, lost + won, 0.5)) if lost + won else 1.0
    seen = f"of {n} tune items int8 lost {lost} and won {won} against float32"
    if lost - won > MAX_NET_LOSS * n:
        return Precision("float32", f"{seen}: a net loss above {MAX_NET_LOSS:.1%}")
    if p_value <= _SIGNIFICANCE:
        return Precision("float32", f"{seen}: more than chance (exact McNemar, one-sided p = {p_value:.3f})")
    return Precision("int8", f"{seen}: no loss of accuracy above {MAX_NET_LOSS:.1%} (one-sided p = {p_value:.2f})")


def features_from(path: Path, sequences: Sequence[Sequence[int]], alone: bool) -> npt.NDArray[np.float32]:
    """(n, width) features of an exported network, as at answering time but on all cores."""
    return Session.open(path, threads=0, alone=alone).features(sequences)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters print and warn about their own insides; nothing in it is for a user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root", "")]
    levels: list[Any] = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
