"""The network that is trained: a pretrained encoder, mean pooling, and a cosine head. Needs torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from metier.errors import BadInput

_BYTE = 256


class SeededDropout(nn.Module):
    """Dropout with its own random bytes: about ten times as fast on a CPU as torch's, and the same for the same seed.

    The rate is rounded to 1/256. `reseed` before every step makes a training that goes on after a kill the same.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.threshold = round(p * _BYTE)
        self.generator = np.random.default_rng(0)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.threshold == 0:
            return x
        drawn = torch.from_numpy(np.frombuffer(bytearray(self.generator.bytes(x.numel())), dtype=np.uint8))
        kept = (drawn >= self.threshold).view(x.shape).to(x.dtype)
        return x * (kept * (_BYTE / (_BYTE - self.threshold)))


def seed_dropout(module: nn.Module, seed: int, step: int) -> None:
    """Draw every dropout mask of the next forward pass from (seed, step) alone."""
    generator = np.random.default_rng([seed, step])
    for part in module.modules():
        if isinstance(part, SeededDropout):
            part.generator = generator


class Encoder(nn.Module):
    """Token ids (n, length) and mask (n, length) to features (n, width): the mean of the last layer's tokens."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        _replace_dropouts(body)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(torch.float32)
        mean: Tensor = (hidden.float() * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1.0)
        return mean


class CosineHead(nn.Module):
    """Logits (n, k): `scale` times the cosine of the features with a prototype of each class.

    Prototypes start as the class means of the pretrained features (Snell et al. 2017's prototypical classifier), so the
    first step already answers well and the encoder is not torn by a random head.
    """

    def __init__(self, prototypes: Tensor, scale: float) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(prototypes.clone())
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * normalize(features, dim=-1) @ normalize(self.prototypes, dim=-1).T


class UsedRows:
    """Only the embedding rows of tokens in the training texts are trained: others would never have a gradient.

    The optimiser then updates some thousand rows rather than the whole vocabulary at every step.
    """

    def __init__(self, body: Any, sequences: Iterable[Iterable[int]]) -> None:
        self.body = body
        table = self.body.get_input_embeddings()
        used = sorted({i for sequence in sequences for i in sequence} | {0})
        self.used = torch.tensor(used, dtype=torch.long)
        self.place = np.zeros(table.num_embeddings, dtype=np.int64)
        self.place[used] = np.arange(len(used))
        weight = table.weight.detach().clone()
        self.full = nn.Embedding(weight.shape[0], weight.shape[1], _weight=weight, _freeze=True)
        small = weight[self.used].clone()
        self.small = nn.Embedding(small.shape[0], small.shape[1], _weight=small)
        self.body.set_input_embeddings(self.small)

    def use_full(self) -> None:
        """Write the trained rows back into the whole table and use it: for texts with any token."""
        with torch.no_grad():
            self.full.weight[self.used] = self.small.weight
        self.body.set_input_embeddings(self.full)

    def use_small(self) -> None:
        """Back to training: ids must be mapped by `place`."""
        self.body.set_input_embeddings(self.small)


def depth_of(name: str, n_layers: int) -> int:
    """How far below the head a parameter lies: 0 in the last layer, n_layers in the embeddings."""
    for part in name.split("."):
        if part.isdigit():
            return n_layers - 1 - int(part)
    return n_layers


def n_layers_of(body: nn.Module) -> int:
    """The number of layers, from the model's configuration."""
    count = getattr(getattr(body, "config", None), "num_hidden_layers", None)
    if not isinstance(count, int):
        raise BadInput(
            f"base_model of the kind {type(body).__name__} names no num_hidden_layers; give a BERT-like encoder."
        )
    return count


def _replace_dropouts(body: nn.Module) -> None:
    for part in list(body.modules()):
        for name, child in list(part.named_children()):
            if isinstance(child, nn.Dropout):
                # Dropout on attention weights costs time and, measured on clinc150, brings nothing to short texts.
                in_attention = name == "dropout" and hasattr(part, "query")
                setattr(part, name, SeededDropout(0.0 if in_attention else child.p))
