"""The elementwise parts of a decoder and their derivatives in torch, in few passes. Residuals and norms are float32."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import gelu, silu

from metier.students.lm.tuning.shapes import Activation


def norm(x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """RMSNorm (Zhang & Sennrich, 2019, eq. 4) of the last dimension: x (n, d) -> (n, d) in `dtype`, and the inverse
    root mean squares (n, 1) that its derivative needs."""
    inverse = _inverse(x, eps)
    y: Tensor = (x * inverse).mul_(weight).to(dtype)
    return y, inverse


def norm_backward(dy: Tensor, x: Tensor, weight: Tensor, inverse: Tensor) -> Tensor:
    """float32 gradient by x (n, d)."""
    scaled = dy * weight
    along = (scaled * x).sum(-1, keepdim=True).mul_(inverse.pow(3)).div_(x.shape[-1])
    return scaled.mul_(inverse).addcmul_(x.float(), along, value=-1)


def _inverse(x: Tensor, eps: float) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    return length.square_().div_(x.shape[-1]).add_(eps).rsqrt_()


def gate(both: Tensor, activation: Activation) -> Tensor:
    """activation(g) * u, where `both` (n, 2 f) holds g, then u."""
    g, u = both.chunk(2, dim=-1)
    return (gelu(g, approximate="tanh") if activation == "gelu" else silu(g)).mul_(u)


def gate_backward(dy: Tensor, both: Tensor, activation: Activation) -> tuple[Tensor, Tensor]:
    """The gradient by `both` (n, 2 f), and `gate` itself again (n, f)."""
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


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (Su et al., 2021) of x (n, h, d), halves paired as in transformers; cos, sin (n, 1, d / 2).

    With -sin it is the derivative as well: a rotation's transpose is the rotation back.
    """
    a, b = x.chunk(2, dim=-1)
    turned = torch.empty_like(x)
    first, second = turned.chunk(2, dim=-1)
    torch.mul(a, cos, out=first).addcmul_(b, sin, value=-1)
    torch.mul(b, cos, out=second).addcmul_(a, sin)
    return turned


def probabilities(scores: Tensor, scale: float, mask: Tensor) -> Tensor:
    """Softmax of scores (k, g, n, m) * scale + mask (n, m) over the last dimension, in the dtype of the scores."""
    return torch.add(mask, scores, alpha=scale).softmax(-1).to(scores.dtype)


def probabilities_backward(dp: Tensor, p: Tensor, scale: float) -> Tensor:
    """The gradient by the scores."""
    gradient: Tensor = torch.ops.aten._softmax_backward_data(dp, p, -1, p.dtype)
    return gradient.mul_(scale)
