"""The tensors that are tuned: whole matrices, or low-rank changes of them (LoRA: Hu et al., 2021)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from metier.students.lm.tuning.block import ALL, Layer
from metier.students.lm.tuning.shapes import Shape
from metier.students.lm.tuning.weights import PARTS, Stored, part_name, part_rows, read_matrix

Gradients = dict[str, Tensor]
Add = Callable[[str, Tensor], None]


class Masters(Protocol):
    """What is tuned of the layers from `first` up."""

    tensors: dict[str, Tensor]

    def reset(self) -> None: ...

    def refresh(self, layer: int, weights: Layer) -> None:
        """Write what the tensors say into the weights of a layer that are computed with."""
        ...

    def collect(self, layer: int, matrix: str, dy: Tensor, x: Tensor, rows: slice, add: Add) -> None:
        """Turn the gradient of what a matrix gave into that of the tensors."""
        ...

    def parts(self) -> dict[str, Tensor]:
        """The tuned matrices under their names in the Hugging Face layout, float32."""
        ...


class FullMasters:
    """Every matrix of the layers, in float32."""

    def __init__(self, stored: Stored, shape: Shape, first: int, device: torch.device) -> None:
        self._stored, self._shape, self._first, self._device = stored, shape, first, device
        self.tensors: dict[str, Tensor] = {
            f"{i}.{matrix}": self._read(i, matrix) for i in range(first, shape.n_layers) for matrix in PARTS
        }

    def _read(self, layer: int, matrix: str) -> Tensor:
        return read_matrix(self._stored, layer, matrix).to(self._device, torch.float32)

    def reset(self) -> None:
        for name, tensor in self.tensors.items():
            layer, matrix = name.split(".")
            tensor.copy_(self._read(int(layer), matrix))

    def refresh(self, layer: int, weights: Layer) -> None:
        for matrix in PARTS:
            getattr(weights, matrix).copy_(self.tensors[f"{layer}.{matrix}"])

    def collect(self, layer: int, matrix: str, dy: Tensor, x: Tensor, rows: slice, add: Add) -> None:
        gradient = dy.t() @ x
        if rows != ALL:
            whole = gradient.new_zeros(self.tensors[f"{layer}.{matrix}"].shape)
            whole[rows] = gradient
            gradient = whole
        add(f"{layer}.{matrix}", gradient)

    def parts(self) -> dict[str, Tensor]:
        found = {}
        for name, tensor in self.tensors.items():
            layer, matrix = name.split(".")
            for part, rows in part_rows(self._shape, matrix).items():
                found[part_name(int(layer), part)] = tensor[rows]
        return found


class LoraMasters:
    """For every part of every matrix A (r, in) and B (out, r): what is computed with is W + alpha / r B A, merged once a
    step, so a step costs no more than with W alone."""

    def __init__(
        self, stored: Stored, shape: Shape, first: int, device: torch.device, rank: int, alpha: float, seed: int
    ) -> None:
        self._stored, self._shape, self._first, self._device = stored, shape, first, device
        self._seed, self._scale, self._rank = seed, alpha / rank, rank
        self._bases = {
            (i, m): read_matrix(stored, i, m).to(device) for i in range(first, shape.n_layers) for m in PARTS
        }
        self._rows = {matrix: part_rows(shape, matrix) for matrix in PARTS}
        self._working: dict[str, Tensor] = {}
        self.tensors: dict[str, Tensor] = {}
        for (layer, matrix), base in self._bases.items():
            for part, rows in self._rows[matrix].items():
                a, b = lora_names(layer, part)
                self.tensors[a] = torch.empty(rank, base.shape[1], device=device)
                self.tensors[b] = torch.empty(rows.stop - rows.start, rank, device=device)
        self.reset()

    def reset(self) -> None:
        generator = torch.Generator().manual_seed(self._seed)
        for name, tensor in self.tensors.items():
            if name.endswith("lora_B.weight"):
                tensor.zero_()
            else:  # Kaiming's uniform with slope sqrt(5), as peft begins
                bound = 1 / math.sqrt(tensor.shape[1])
                tensor.copy_(torch.empty(tensor.shape).uniform_(-bound, bound, generator=generator))

    def refresh(self, layer: int, weights: Layer) -> None:
        for matrix, all_rows in self._rows.items():
            target: Tensor = getattr(weights, matrix)
            for part, rows in all_rows.items():
                target[rows] = self._merged(layer, part, self._bases[layer, matrix][rows])
                for name in lora_names(layer, part):
                    self._working[name] = self.tensors[name].to(target.dtype)

    def _merged(self, layer: int, part: str, base: Tensor) -> Tensor:
        a, b = (self.tensors[name] for name in lora_names(layer, part))
        return torch.addmm(base.float(), b, a, alpha=self._scale)

    def collect(self, layer: int, matrix: str, dy: Tensor, x: Tensor, rows: slice, add: Add) -> None:
        begin = rows.start or 0
        stop = self._bases[layer, matrix].shape[0] if rows.stop is None else rows.stop
        for part, mine in self._rows[matrix].items():
            if mine.start < begin or mine.stop > stop:
                continue
            name_a, name_b = lora_names(layer, part)
            a, b = self._working[name_a], self._working[name_b]
            d_part = dy[:, mine.start - begin : mine.stop - begin]
            add(name_b, (d_part.t() @ (x @ a.t())).mul_(self._scale))
            add(name_a, ((d_part @ b).t() @ x).mul_(self._scale))

    def parts(self) -> dict[str, Tensor]:
        return {
            part_name(layer, part): self._merged(layer, part, base[rows])
            for (layer, matrix), base in self._bases.items()
            for part, rows in self._rows[matrix].items()
        }


def lora_names(layer: int, part: str) -> tuple[str, str]:
    """A's name and B's in peft's layout."""
    stem = f"base_model.model.model.layers.{layer}.{part}"
    return f"{stem}.lora_A.weight", f"{stem}.lora_B.weight"
