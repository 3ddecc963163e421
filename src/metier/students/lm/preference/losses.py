"""The loss of a pair. Needs torch."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid


def pair_loss(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: float,
    reference_rejected: float,
    n_chosen: int,
    *,
    beta: float,
    sft_weight: float,
) -> tuple[Tensor, float]:
    """The loss of one pair of answers, and by how many nats it is told apart better than by the reference.

    Arguments are log-probabilities of whole answers. -log sigmoid(beta * margin) (Rafailov et al., 2023, eq. 7) plus
    `sft_weight` times the chosen answer's negative log-likelihood a token (Pang et al., 2024, eq. 2).
    """
    margin = (chosen - reference_chosen) - (rejected - reference_rejected)
    loss = -logsigmoid(beta * margin) - sft_weight * chosen / n_chosen
    return loss, float(margin.detach())
