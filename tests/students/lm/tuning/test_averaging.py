"""The mean of a training's last weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metier.students.lm.tuning.averaging import Average, is_averaged


class Engine:
    """Masters, and what was computed with last."""

    def __init__(self) -> None:
        self.masters: dict[str, Tensor] = {"a": torch.zeros(2), "b": torch.zeros(1)}
        self.refresh()

    def refresh(self) -> None:
        self.used = {name: master.clone() for name, master in self.masters.items()}


def set_to(engine: Engine, value: float) -> None:
    for master in engine.masters.values():
        master.fill_(value)
    engine.refresh()


def test_the_mean_is_in_place_for_a_while() -> None:
    engine = Engine()
    average = Average(engine)  # type: ignore[arg-type]
    for n, value in enumerate((1.0, 2.0, 6.0), start=1):
        set_to(engine, value)
        average.add(n)
    with average.in_place():
        assert torch.allclose(engine.used["a"], torch.full((2,), 3.0))
        assert torch.allclose(engine.used["b"], torch.full((1,), 3.0))
    assert engine.used["a"].tolist() == [6.0, 6.0]
    assert engine.masters["a"].tolist() == [6.0, 6.0]


def test_without_a_mean_the_masters_stay() -> None:
    engine = Engine()
    set_to(engine, 4.0)
    with Average(engine).in_place():  # type: ignore[arg-type]
        assert engine.used["a"].tolist() == [4.0, 4.0]


def test_a_mean_goes_on_where_it_was_stored() -> None:
    engine = Engine()
    whole, first = Average(engine), Average(engine)  # type: ignore[arg-type]
    for n in (1, 2):
        set_to(engine, float(n))
        whole.add(n)
        first.add(n)
    second = Average(engine)  # type: ignore[arg-type]
    second.restore({name: tensor.clone() for name, tensor in first.tensors().items()})
    set_to(engine, 9.0)
    whole.add(3)
    second.add(3)
    assert all(torch.equal(whole.tensors()[name], tensor) for name, tensor in second.tensors().items())
    second.restore({})
    assert second.tensors() == {}


@pytest.mark.parametrize(
    ("total", "share", "first"),
    [(600, 0.6, 241), (1000, 0.25, 751), (150, 0.6, 101), (150, 1.0, 101), (12, 0.6, None), (600, 0.0, None)],
)
def test_the_mean_begins_when_the_weights_have_settled(total: int, share: float, first: int | None) -> None:
    steps = [step for step in range(1, total + 1) if is_averaged(step, total, share)]
    assert steps == ([] if first is None else list(range(first, total + 1)))
