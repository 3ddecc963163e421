"""A decoder that reads packs and gives the logits of answer tokens only, with gradients for the layers that are tuned."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from metier.students.lm.tuning import block, rotary
from metier.students.lm.tuning.attention import View, view_of
from metier.students.lm.tuning.block import Collect, Layer, Turn
from metier.students.lm.tuning.kernels import Kernels, kernels_for
from metier.students.lm.tuning.losses import Teacher, hard_loss, loss_and_gradient
from metier.students.lm.tuning.packs import Pack
from metier.students.lm.tuning.shapes import Shape
from metier.students.lm.tuning.weights import EMBEDDING, FINAL_NORM, HEAD, Stored, read_layer

_ROWS = 16  # answer rows come in multiples of it, as places do: see packs.FILL
_MOST_LOGITS = 16_000_000  # at once: 64 MB of float32


@dataclass
class Network:
    """The weights as the computation reads them; `turns` holds (cos, sin) of all positions for each layer."""

    shape: Shape
    layers: list[Layer]
    embedding: Tensor
    head: Tensor
    final_norm: Tensor
    turns: list[rotary.Table]
    kernels: Kernels

    @property
    def device(self) -> torch.device:
        return self.embedding.device


def read_network(folder: Path, shape: Shape, longest: int, dtype: torch.dtype, device: torch.device) -> Network:
    """The model of `folder` in `dtype`, ready for sequences of up to `longest` tokens."""
    stored = Stored(folder)
    embedding = stored.read(EMBEDDING).to(device, dtype)
    # Tied, unless the head is stored of its own.
    head = embedding if shape.is_tied or HEAD not in stored else stored.read(HEAD).to(device, dtype)
    return Network(
        shape,
        [read_layer(stored, shape, i, dtype, device) for i in range(shape.n_layers)],
        embedding,
        head,
        stored.read(FINAL_NORM).to(device, torch.float32) + shape.norm_offset,
        rotary.tables(folder, longest, device),
        kernels_for(device, dtype),
    )


class Reading:
    """A pack on its way through the network."""

    def __init__(self, network: Network, pack: Pack) -> None:
        device = network.device
        self._network = network
        self._pack = pack
        self.rows = torch.from_numpy(np.pad(pack.rows, (0, -len(pack.rows) % _ROWS), mode="edge")).to(device)
        self.targets = torch.from_numpy(pack.targets).to(device)
        self._positions = torch.from_numpy(pack.positions).to(device)
        self._turns: dict[int, Turn] = {}
        self._views: dict[tuple[int | None, bool], View] = {}

    def turn(self, layer: int) -> Turn:
        table = self._network.turns[layer]
        if id(table) not in self._turns:
            self._turns[id(table)] = Turn(*(t[self._positions] for t in table))
        return self._turns[id(table)]

    def view(self, layer: int) -> View:
        """The top layer answers for the rows alone: no other place of it is read."""
        shape = self._network.shape
        is_top = layer == shape.n_layers - 1
        window = shape.windows[layer]
        longest = max(end - begin for begin, end in pairwise(self._pack.bounds))
        key = (None if window is None or longest <= window else window, is_top)
        if key not in self._views:
            rows = self.rows if is_top else None
            self._views[key] = view_of(self._pack.bounds, key[0], rows, self._network.device)
        return self._views[key]

    @torch.no_grad()
    def lower(self, end: int) -> Tensor:
        """What layers below `end` make of the pack: (n, width) float32; `end` 0: the embeddings."""
        network = self._network
        ids = torch.from_numpy(self._pack.ids).to(network.device)
        x = network.embedding[ids].float().mul_(_in(network.shape.embed_scale, network.embedding.dtype))
        return self._through(x, 0, end)

    @torch.no_grad()
    def loss(self, x: Tensor, begin: int) -> float:
        """Negative log-likelihood of the answers in nats, summed, from what layers below `begin` gave."""
        network = self._network
        y = self._through(x, begin, network.shape.n_layers)
        normed, _ = network.kernels.norm(y, network.final_norm, network.shape.eps)
        loss = 0.0
        for part in _parts(normed, network.head):
            targets = self.targets[part]
            loss += hard_loss(linear(normed[part], network.head)[: len(targets)], targets)
        return loss

    @torch.no_grad()
    def logits(self, x: Tensor, begin: int) -> Tensor:
        """(a, v) in float32."""
        network = self._network
        y = self._through(x, begin, network.shape.n_layers)
        normed, _ = network.kernels.norm(y, network.final_norm, network.shape.eps)
        return linear(normed, network.head)[: len(self.targets)].float()

    @torch.no_grad()
    def learn(self, x: Tensor, begin: int, teacher: Teacher | None, share: float, collect: list[Collect]) -> float:
        """Forward and backward from layer `begin` up. The gradients of `share` times the loss go to `collect`, one a layer
        from `begin`; returned is the negative log-likelihood of the answers in nats, summed."""
        network, shape = self._network, self._network.shape
        kept = []
        for i in range(begin, shape.n_layers):
            x, saved = block.forward(network.layers[i], shape, network.kernels, x, self.turn(i), self.view(i))
            kept.append(saved)
        loss, dx = self._head(x, teacher, share)
        for i in range(shape.n_layers - 1, begin - 1, -1):
            saved = kept.pop()
            assert saved is not None
            d_below = block.backward(
                network.layers[i],
                shape,
                network.kernels,
                saved,
                dx,
                self.turn(i),
                self.view(i),
                collect[i - begin],
                i > begin,
            )
            if d_below is not None:
                dx = d_below
        return loss

    def _head(self, y: Tensor, teacher: Teacher | None, share: float) -> tuple[float, Tensor]:
        network = self._network
        normed, inverse = network.kernels.norm(y, network.final_norm, network.shape.eps)
        loss, gradients = 0.0, []
        for part in _parts(normed, network.head):
            one, targets = None if teacher is None else teacher.take(part), self.targets[part]
            logits = linear(normed[part], network.head)
            value, d_real = loss_and_gradient(logits[: len(targets)], targets, one, share)
            d_logits = torch.nn.functional.pad(d_real, (0, 0, 0, len(logits) - len(targets)))
            gradients.append(d_logits @ network.head)
            loss += value
        return loss, network.kernels.norm_backward(
            torch.cat(gradients), y, network.final_norm, inverse, torch.zeros_like(y)
        )

    def _through(self, x: Tensor, begin: int, end: int) -> Tensor:
        network = self._network
        for i in range(begin, end):
            x, _ = block.forward(
                network.layers[i], network.shape, network.kernels, x, self.turn(i), self.view(i), keep=False
            )
        return x


def _in(value: float, dtype: torch.dtype) -> float:
    """As the pretrained model multiplies: with the factor rounded to the dtype of its embeddings."""
    return float(torch.tensor(value, dtype=dtype))


def _parts(rows: Tensor, head: Tensor) -> list[slice]:
    size = max(1, _MOST_LOGITS // len(head))
    return [slice(begin, begin + size) for begin in range(0, len(rows), size)]
