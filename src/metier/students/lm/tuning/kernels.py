"""The elementwise parts of a decoder and their derivatives: what they are, and how torch computes them anywhere.

Residuals are float32, all else is in the dtype of the computation. `fused` computes the same faster where it can.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import gelu, silu

from metier.students.lm.tuning.shapes import Activation


class Kernels(Protocol):
    """n places, d wide; `inverse` holds inverse root mean squares, which derivatives need."""

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """RMSNorm (Zhang & Sennrich, 2019, eq. 4) of float32 x (n, d): (n, d), and inverse (n,)."""
        ...

    def norm_backward(self, dy: Tensor, x: Tensor, weight: Tensor, inverse: Tensor, gradient: Tensor) -> Tensor:
        """Add the gradient by x to float32 `gradient` (n, d), and give it back."""
        ...

    def add_norm(self, x: Tensor, update: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """float32 x (n, d) plus the RMSNorm of `update` (n, d), and inverse (n,)."""
        ...

    def add_norm_backward(self, dy: Tensor, update: Tensor, weight: Tensor, inverse: Tensor) -> Tensor:
        """The gradient by `update` (n, d)."""
        ...

    def gate(self, both: Tensor, activation: Activation) -> Tensor:
        """activation(g) * u, where `both` (n, 2 f) holds g, then u."""
        ...

    def gate_backward(self, dy: Tensor, both: Tensor, activation: Activation) -> tuple[Tensor, Tensor]:
        """The gradient by `both` (n, 2 f), and `gate` itself again (n, f)."""
        ...

    def heads(
        self, flat: Tensor, begin: int, n_heads: int, weight: Tensor | None, eps: float, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """(h, n, d) of flat (n, w), whose columns from `begin` on hold the heads: RMSNorm of each where there is a weight
        (d,), then rotary positions (Su et al., 2021), halves paired as in transformers; cos and sin (n, d / 2). With it
        inverse (h, n), or None."""
        ...

    def heads_backward(
        self, dy: Tensor, flat: Tensor, begin: int, weight: Tensor | None, inverse: Tensor | None, cos: Tensor,
        sin: Tensor, gradient: Tensor, at: int,
    ) -> None:  # fmt: skip
        """Write the gradient by these columns of `flat` into the columns of `gradient` from `at` on."""
        ...

    def softmax(self, scores: Tensor, scale: float, low: Tensor, high: Tensor) -> Tensor:
        """Softmax of scores (k, g n, m) * scale over the places in [low, high) (n,) of each query, 0 elsewhere. May change
        `scores`."""
        ...

    def softmax_backward(self, dp: Tensor, p: Tensor, scale: float, low: Tensor, high: Tensor) -> Tensor:
        """The gradient by the scores. May change `dp`."""
        ...


class Plain:
    """The kernels in torch, on any device."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        inverse = _inverse(x, eps)
        return (x * inverse[:, None]).mul_(weight).to(self._dtype), inverse

    def norm_backward(self, dy: Tensor, x: Tensor, weight: Tensor, inverse: Tensor, gradient: Tensor) -> Tensor:
        return gradient.add_(_norm_backward(dy, x, weight, inverse))

    def add_norm(self, x: Tensor, update: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        inverse = _inverse(update, eps)
        return (update * inverse[:, None]).mul_(weight).add_(x), inverse

    def add_norm_backward(self, dy: Tensor, update: Tensor, weight: Tensor, inverse: Tensor) -> Tensor:
        return _norm_backward(dy, update, weight, inverse).to(self._dtype)

    def gate(self, both: Tensor, activation: Activation) -> Tensor:
        g, u = both.chunk(2, dim=-1)
        return (gelu(g, approximate="tanh") if activation == "gelu" else silu(g)).mul_(u)

    def gate_backward(self, dy: Tensor, both: Tensor, activation: Activation) -> tuple[Tensor, Tensor]:
        g, u = both.chunk(2, dim=-1)
        gradient = torch.empty_like(both)
        dg, du = gradient.chunk(2, dim=-1)
        if activation == "gelu":
            active = gelu(g, approximate="tanh")
            dg.copy_(torch.ops.aten.gelu_backward(dy * u, g, approximate="tanh"))
        else:
            active = silu(g)
            dg.copy_(torch.ops.aten.silu_backward(dy * u, g))
        torch.mul(dy, active, out=du)
        return gradient, active.mul_(u)

    def heads(
        self, flat: Tensor, begin: int, n_heads: int, weight: Tensor | None, eps: float, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        raw = _columns(flat, begin, n_heads, 2 * cos.shape[-1]).float()
        inverse = None
        if weight is not None:
            inverse = _inverse(raw, eps)
            raw = (raw * inverse[..., None]).mul_(weight)
        turned = _rotate(raw, cos, sin)
        found: Tensor = turned.to(self._dtype, memory_format=torch.contiguous_format)
        return found, inverse

    def heads_backward(
        self, dy: Tensor, flat: Tensor, begin: int, weight: Tensor | None, inverse: Tensor | None, cos: Tensor,
        sin: Tensor, gradient: Tensor, at: int,
    ) -> None:  # fmt: skip
        n_heads, _, d = dy.shape
        back = _rotate(dy.float(), cos, -sin)
        if weight is not None and inverse is not None:
            back = _norm_backward(back, _columns(flat, begin, n_heads, d).float(), weight, inverse)
        gradient[:, at : at + n_heads * d] = back.transpose(0, 1).flatten(1)

    def softmax(self, scores: Tensor, scale: float, low: Tensor, high: Tensor) -> Tensor:
        place = torch.arange(scores.shape[-1], device=scores.device)
        hidden = (place < low[:, None]) | (place >= high[:, None])
        by_query = scores.view(len(scores), -1, len(low), scores.shape[-1]) * scale
        p = by_query.float().masked_fill_(hidden, float("-inf")).softmax(-1)
        return p.to(scores.dtype).view(scores.shape)

    def softmax_backward(self, dp: Tensor, p: Tensor, scale: float, low: Tensor, high: Tensor) -> Tensor:  # noqa: ARG002
        gradient: Tensor = torch.ops.aten._softmax_backward_data(dp, p, -1, p.dtype)
        return gradient.mul_(scale)


@lru_cache
def fused() -> Kernels | None:
    """The kernels that numba compiles, or None where it is not installed."""
    try:
        from metier.students.lm.tuning.fused import Fused
    except ImportError:
        return None
    return Fused()


def kernels_for(device: torch.device, dtype: torch.dtype) -> Kernels:
    """The fastest kernels for a device and a dtype."""
    found = fused() if device.type == "cpu" and dtype == torch.bfloat16 else None
    return found or Plain(dtype)


def _inverse(x: Tensor, eps: float) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32)
    return torch.rsqrt(length.square() / x.shape[-1] + eps)


def _norm_backward(dy: Tensor, x: Tensor, weight: Tensor, inverse: Tensor) -> Tensor:
    scaled = dy * weight
    along = (scaled * x).sum(-1).mul_(inverse.pow(3)).div_(x.shape[-1])
    gradient: Tensor = scaled.float().mul_(inverse[..., None])
    gradient.addcmul_(x.float(), along[..., None].float(), value=-1)
    return gradient


def _columns(flat: Tensor, begin: int, n_heads: int, d: int) -> Tensor:
    return flat[:, begin : begin + n_heads * d].reshape(len(flat), n_heads, d).transpose(0, 1)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    turned = torch.empty_like(x)
    first, second = turned.chunk(2, dim=-1)
    torch.mul(a, cos, out=first).addcmul_(b, sin, value=-1)
    torch.mul(b, cos, out=second).addcmul_(a, sin)
    return turned
