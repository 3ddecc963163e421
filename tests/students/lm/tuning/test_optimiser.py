from __future__ import annotations

import pytest
import torch

from metier.students.lm.tuning.optimiser import Optimiser, schedule


def test_the_rate_rises_then_falls_to_a_tenth() -> None:
    rates = [schedule(step, 100, 0.1) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)
    assert schedule(0, 1, 0.0) == pytest.approx(0.1)


def test_a_step_is_that_of_adamw() -> None:
    master, wanted = torch.ones(5), torch.ones(5, requires_grad=True)
    gradient = torch.arange(5.0)
    Optimiser({"x": master}, weight_decay=0.1, clip=100.0).step({"x": gradient.clone()}, 0.01, 0.5)
    reference = torch.optim.AdamW([wanted], lr=0.01, weight_decay=0.1)
    wanted.grad = gradient * 0.5
    reference.step()
    torch.testing.assert_close(master, wanted.detach())


def test_gradients_are_cut_to_a_norm_and_no_number_is_no_step() -> None:
    master = torch.zeros(2)
    optimiser = Optimiser({"x": master}, weight_decay=0.0, clip=1.0)
    assert optimiser.step({"x": torch.tensor([30.0, 40.0])}, 0.1, 1.0) == pytest.approx(50.0)
    moved = master.clone()
    optimiser.step({"x": torch.tensor([float("nan"), 1.0])}, 0.1, 1.0)
    assert torch.equal(master, moved)
    assert all(torch.isfinite(tensor).all() for tensor in optimiser.tensors().values())
