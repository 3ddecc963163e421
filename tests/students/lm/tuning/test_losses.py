from __future__ import annotations

import numpy as np
import pytest
import torch

from metier.errors import BadInput
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.losses import Teacher, hard_loss, loss_and_gradient, teacher_of
from metier.students.lm.tuning.packs import pack
from metier.students.lm.tuning.plan import SoftLabels


def whole_loss(logits: torch.Tensor, targets: torch.Tensor, teacher: Teacher | None) -> torch.Tensor:
    """The loss as its definition says, for autograd."""
    logp = logits.log_softmax(-1)
    hard = -logp.gather(-1, targets[:, None]).sum()
    if teacher is None:
        return hard
    t = teacher.probabilities
    mine = logp.gather(-1, teacher.tokens)
    rest, mine_rest = 1 - t.sum(-1), 1 - mine.exp().sum(-1)
    kl = (t * (t.log() - mine)).sum() + (rest * (rest.log() - mine_rest.log())).sum()
    return (1 - teacher.weight) * hard + teacher.weight * kl


@pytest.mark.parametrize("weight", [None, 0.0, 0.3, 1.0])
def test_the_gradient_is_that_of_the_definition(weight: float | None) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 20, generator=generator).requires_grad_()
    targets = torch.randint(20, (6,), generator=generator)
    teacher = None
    if weight is not None:
        top = torch.randn(6, 20, generator=generator).softmax(-1).topk(4)
        teacher = Teacher(top.indices, top.values, weight)
    value, gradient = loss_and_gradient(logits.detach(), targets, teacher, 0.5)
    (wanted,) = torch.autograd.grad(0.5 * whole_loss(logits, targets, teacher), logits)
    torch.testing.assert_close(gradient, wanted, rtol=1e-5, atol=1e-6)
    assert value == pytest.approx(hard_loss(logits.detach(), targets), rel=1e-6)


def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    p = logits.softmax(-1)
    teacher = Teacher(torch.tensor([[0, 1]]), p[:, :2], weight=1.0)
    _, gradient = loss_and_gradient(logits, torch.tensor([3]), teacher, 1.0)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-6)


def test_rows_with_fewer_tokens_are_filled_with_nothing() -> None:
    train = [Encoded((1, 2, 3), 1), Encoded((1, 2), 1)]
    soft = SoftLabels(
        (np.array([[3, 4], [5, 6]]), np.array([[7]])),
        (np.log(np.array([[0.5, 0.25], [0.5, 0.25]], np.float32)), np.log(np.array([[0.5]], np.float32))),
    )
    teacher = teacher_of(soft, pack(train, [0, 1]), torch.device("cpu"))
    assert teacher is not None
    assert teacher.tokens.shape == (3, 2)
    assert teacher.probabilities[2].tolist() == [0.5, 0.0]


def test_rows_without_an_opinion_follow_their_answers_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(5, 9, generator=generator), torch.tensor([1, 2, 3, 4, 0])
    train = [Encoded((8, 1, 2, 3), 1), Encoded((8, 4, 0), 1)]
    top = torch.randn(3, 9, generator=generator).softmax(-1).topk(4)
    soft = SoftLabels(
        (top.indices.numpy(), np.empty((2, 0), np.int64)), (top.values.log().numpy(), np.empty((2, 0), np.float32)), 0.7
    )
    teacher = teacher_of(soft, pack(train, [0, 1]), torch.device("cpu"))
    _, gradient = loss_and_gradient(logits, targets, teacher, 1.0)
    heard = loss_and_gradient(logits[:3], targets[:3], Teacher(top.indices, top.values, 0.7), 1.0)[1]
    alone = loss_and_gradient(logits[3:], targets[3:], None, 1.0)[1]
    torch.testing.assert_close(gradient, torch.cat([heard, alone]))
    nobody = teacher_of(soft, pack(train, [1]), torch.device("cpu"))
    torch.testing.assert_close(loss_and_gradient(logits[3:], targets[3:], nobody, 1.0)[1], alone)


def test_soft_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInput, match="weight"):
        SoftLabels((), (), weight=2.0)
    with pytest.raises(BadInput, match="Soft labels 0"):
        SoftLabels((np.zeros((2, 3), np.int64),), (np.zeros((2, 2), np.float32),))
