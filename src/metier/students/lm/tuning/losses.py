"""Loss of answer tokens and its gradient by the logits: cross-entropy, and the divergence from a teacher's top tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metier.students.lm.tuning.packs import Pack
from metier.students.lm.tuning.plan import SoftLabels

_LEAST = 1e-6  # a probability below it counts as it: the rest's logarithm stays finite


@dataclass(frozen=True)
class Teacher:
    """The teacher's opinion of the rows of a pack: tokens (a, k), probabilities (a, k), weight in [0, 1]."""

    tokens: Tensor
    probabilities: Tensor
    weight: float

    def take(self, rows: slice) -> Teacher:
        return Teacher(self.tokens[rows], self.probabilities[rows], self.weight)


def teacher_of(soft: SoftLabels | None, pack: Pack, device: torch.device) -> Teacher | None:
    """The rows of `soft` for a pack of the train split; rows narrower than the widest are filled with nothing."""
    if soft is None:
        return None
    widest = max(soft.tokens[i].shape[1] for i in pack.examples)

    def filled(parts: list[np.ndarray], value: float) -> np.ndarray:
        return np.concatenate([np.pad(p, ((0, 0), (0, widest - p.shape[1])), constant_values=value) for p in parts])

    tokens = filled([soft.tokens[i] for i in pack.examples], 0)
    logprobs = filled([soft.logprobs[i] for i in pack.examples], -np.inf)
    probabilities = torch.from_numpy(np.exp(logprobs.astype(np.float32)))
    return Teacher(torch.from_numpy(tokens.astype(np.int64)).to(device), probabilities.to(device), soft.weight)


def hard_loss(logits: Tensor, targets: Tensor) -> float:
    """Negative log-likelihood of `targets` (a,) in nats, summed; logits (a, v)."""
    return float(torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum"))


def loss_and_gradient(logits: Tensor, targets: Tensor, teacher: Teacher | None, share: float) -> tuple[float, Tensor]:
    """Cross-entropy in nats summed over the rows, and `share` times the gradient of the whole loss by the logits (a, v)
    in their dtype.

    The whole loss is (1 - w) cross-entropy + w KL(teacher || student), the latter over the teacher's k tokens and all
    others as one more outcome (Hinton et al., 2015, eq. 1, cut to the top k). Of rows on which the teacher has no opinion
    it is the cross-entropy.
    """
    p = logits.float().softmax(-1)
    row = torch.arange(len(targets), device=targets.device)
    loss = -float(p[row, targets].clamp_min(1e-38).log().sum())
    if teacher is None:
        p[row, targets] -= 1
        return loss, p.mul_(share).to(logits.dtype)
    mass = teacher.probabilities.sum(-1, keepdim=True).clamp_max(1)
    rest = 1 - mass
    mine = p.gather(-1, teacher.tokens).where(teacher.probabilities > 0, 0.0)
    mine_rest = (1 - mine.sum(-1, keepdim=True)).clamp_min(_LEAST)
    # d KL / d z_j = p_j - t_j for the teacher's tokens and p_j - t_r p_j / p_r for all others.
    others = p * (1 - rest / mine_rest)
    top = p.gather(-1, teacher.tokens) - teacher.probabilities
    listed = teacher.probabilities > 0
    kl = others.scatter(-1, teacher.tokens, torch.where(listed, top, others.gather(-1, teacher.tokens)))
    p[row, targets] -= 1
    hard = torch.where(listed.any(-1, keepdim=True), 1 - teacher.weight, 1.0)
    return loss, p.mul_(hard).add_(kl, alpha=teacher.weight).mul_(share).to(logits.dtype)
