"""The compiled kernels against torch's in float32: no further apart than bfloat16's rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from metier.students.lm.tuning.kernels import Kernels, Plain, fused
from metier.students.lm.tuning.shapes import Activation

N, D = 70, 64
ROUNDING = 2**-8
PLAIN = Plain(torch.float32)


@pytest.fixture(scope="module")
def compiled() -> Kernels:
    found = fused()
    if found is None:
        pytest.skip("numba is not installed: torch's kernels serve")
    return found


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def close(found: Tensor, wanted: Tensor) -> None:
    scale = float(wanted.abs().max())
    torch.testing.assert_close(found.float(), wanted.float(), rtol=0, atol=ROUNDING * scale)


def rough(*size: int, scale: float = 1.0) -> Tensor:
    return (torch.randn(size) * scale).bfloat16()


def test_norms(compiled: Kernels) -> None:
    x, weight, dy, update = torch.randn(N, D) * 3, torch.rand(D) + 0.5, rough(N, D), rough(N, D, scale=5)
    y, inverse = PLAIN.norm(x, weight, 1e-6)
    found, found_inverse = compiled.norm(x, weight, 1e-6)
    close(found, y)
    torch.testing.assert_close(found_inverse, inverse)
    start = torch.randn(N, D)
    close(
        compiled.norm_backward(dy, x, weight, inverse, start.clone()),
        PLAIN.norm_backward(dy, x, weight, inverse, start.clone()),
    )
    added, inverse = PLAIN.add_norm(x, update.float(), weight, 1e-6)
    close(compiled.add_norm(x, update, weight, 1e-6)[0], added)
    close(
        compiled.add_norm_backward(x, update, weight, inverse),
        PLAIN.add_norm_backward(x, update.float(), weight, inverse),
    )


@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_gates(compiled: Kernels, activation: Activation) -> None:
    both, dy = rough(N, 2 * D, scale=4), rough(N, D)
    close(compiled.gate(both, activation), PLAIN.gate(both.float(), activation))
    found = compiled.gate_backward(dy, both, activation)
    wanted = PLAIN.gate_backward(dy.float(), both.float(), activation)
    close(found[0], wanted[0])
    close(found[1], wanted[1])


@pytest.mark.parametrize("is_normed", [True, False])
def test_heads(compiled: Kernels, is_normed: bool) -> None:
    flat, angle, dy = rough(N, 96), torch.rand(N, 8) * 6, rough(3, N, 16)
    cos, sin = angle.cos(), angle.sin()
    weight = torch.rand(16) + 0.5 if is_normed else None
    wanted, inverse = PLAIN.heads(flat.float(), 16, 3, weight, 1e-6, cos, sin)
    close(compiled.heads(flat, 16, 3, weight, 1e-6, cos, sin)[0], wanted)
    found_gradient, gradient = torch.zeros(N, 96, dtype=torch.bfloat16), torch.zeros(N, 96)
    compiled.heads_backward(dy, flat, 16, weight, inverse, cos, sin, found_gradient, 32)
    PLAIN.heads_backward(dy.float(), flat.float(), 16, weight, inverse, cos, sin, gradient, 32)
    close(found_gradient, gradient)
    assert not gradient[:, :32].any()


def test_softmax_sees_what_it_may(compiled: Kernels) -> None:
    scores = rough(2, 4 * N, N, scale=4)
    low, high = torch.arange(N).sub(20).clamp(0), torch.arange(N) + 1
    wanted = PLAIN.softmax(scores.float(), 0.5, low, high)
    close(compiled.softmax(scores.clone(), 0.5, low, high), wanted)
    p, dp = wanted.bfloat16(), rough(2, 4 * N, N)
    found = compiled.softmax_backward(dp.clone(), p, 0.5, low, high)
    close(found, PLAIN.softmax_backward(dp.float(), p.float(), 0.5, low, high))


def test_a_value_that_is_no_number_stays_none(compiled: Kernels) -> None:
    x = torch.randn(N, D)
    x[3, 5] = math.nan
    y, _ = compiled.norm(x, torch.ones(D), 1e-6)
    assert y[3].isnan().all()
    assert not y[:3].isnan().any()
    assert compiled.gate(x.bfloat16(), "gelu")[3].isnan().any()
