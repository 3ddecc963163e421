"""The operations of `kernels` on a CPU in bfloat16, each in one pass: compiled by numba, where that is installed.

torch walks through memory once for every product and sum and converts between formats as it goes; together that took more
time than the matrix products. Arrays of bfloat16 are read as their 16 bits; computed is in float32. No compiler is needed
on the machine: numba brings its own, and keeps what it compiled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from metier.students.lm.tuning.shapes import Activation

F32, I32, U16, U32 = np.float32, np.int32, np.uint16, np.uint32
# Not among them: that no value is "not a number". A loss that is none must be seen.
_FAST = {"nsz", "arcp", "contract", "afn", "reassoc"}


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    options: dict[str, Any] = {"nogil": True, "fastmath": _FAST, "error_model": "numpy"}
    try:
        made: Callable[..., Any] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        made = numba.njit(**options)(function)
    return made


_inlined = numba.njit(inline="always")


@_inlined
def _up(bits: Any) -> Any:
    return U32(U32(bits) << U32(16)).view(F32)


@_inlined
def _down(value: Any) -> Any:
    """To the nearest, ties to even."""
    bits = F32(value).view(U32)
    return U16((bits + U32(0x7FFF) + ((bits >> U32(16)) & U32(1))) >> U32(16))


@_inlined
def _exp(x: Any) -> Any:
    """e^x as 2^k 2^f with f in [-0.5, 0.5], the latter by its Taylor series to the fifth power: within 4e-6 of itself."""
    t = min(max(x * F32(1.4426950408889634), F32(-126.0)), F32(126.0))
    k = np.floor(t + F32(0.5))
    f = t - k
    p = F32(0.0013333558)
    p = p * f + F32(0.009618129)
    p = p * f + F32(0.05550411)
    p = p * f + F32(0.24022651)
    p = p * f + F32(0.6931472)
    p = p * f + F32(1.0)
    return p * I32(I32(I32(k) + I32(127)) << I32(23)).view(F32)


# gelu by tanh (Hendrycks & Gimpel, 2016) is z sigmoid(z (A + B z^2)); silu is z sigmoid(z).
_A = F32(2 * math.sqrt(2 / math.pi))
_B = F32(2 * math.sqrt(2 / math.pi) * 0.044715)


def _gate(both: Any, a: Any, b: Any, y: Any) -> None:
    n, width = y.shape
    for i in range(n):
        g, u, row = both[i, :width], both[i, width:], y[i]
        for j in range(width):
            z = _up(g[j])
            s = F32(1) / (F32(1) + _exp(-z * (a + b * z * z)))
            row[j] = _down(z * s * _up(u[j]))


def _gate_backward(dy: Any, both: Any, a: Any, b: Any, gradient: Any, y: Any) -> None:
    n, width = y.shape
    for i in range(n):
        g, up, d_row, row = both[i, :width], both[i, width:], dy[i], y[i]
        dg, du = gradient[i, :width], gradient[i, width:]
        for j in range(width):
            z, u, d = _up(g[j]), _up(up[j]), _up(d_row[j])
            s = F32(1) / (F32(1) + _exp(-z * (a + b * z * z)))
            active = z * s
            row[j] = _down(active * u)
            du[j] = _down(d * active)
            dg[j] = _down(d * u * (s + active * (F32(1) - s) * (a + F32(3) * b * z * z)))


def _norm(x: Any, weight: Any, eps: Any, y: Any, inverse: Any) -> None:
    n, d = x.shape
    for i in range(n):
        total = F32(0)
        for j in range(d):
            total += x[i, j] * x[i, j]
        r = F32(1) / np.sqrt(total / F32(d) + eps)
        inverse[i] = r
        for j in range(d):
            y[i, j] = _down(x[i, j] * r * weight[j])


def _norm_backward(dy: Any, x: Any, weight: Any, inverse: Any, gradient: Any) -> None:
    n, d = x.shape
    for i in range(n):
        total = F32(0)
        for j in range(d):
            total += _up(dy[i, j]) * weight[j] * x[i, j]
        r = inverse[i]
        along = total * r * r * r / F32(d)
        for j in range(d):
            gradient[i, j] += _up(dy[i, j]) * weight[j] * r - x[i, j] * along


def _add_norm(x: Any, update: Any, weight: Any, eps: Any, y: Any, inverse: Any) -> None:
    n, d = x.shape
    for i in range(n):
        total = F32(0)
        for j in range(d):
            value = _up(update[i, j])
            total += value * value
        r = F32(1) / np.sqrt(total / F32(d) + eps)
        inverse[i] = r
        for j in range(d):
            y[i, j] = x[i, j] + _up(update[i, j]) * r * weight[j]


def _add_norm_backward(dy: Any, update: Any, weight: Any, inverse: Any, gradient: Any) -> None:
    n, d = dy.shape
    for i in range(n):
        total = F32(0)
        for j in range(d):
            total += dy[i, j] * weight[j] * _up(update[i, j])
        r = inverse[i]
        along = total * r * r * r / F32(d)
        for j in range(d):
            gradient[i, j] = _down(dy[i, j] * weight[j] * r - _up(update[i, j]) * along)


def _heads(flat: Any, begin: int, weight: Any, eps: Any, cos: Any, sin: Any, y: Any, inverse: Any) -> None:
    """Normalised where there are inverses to fill, then turned; (n, …) -> (h, n, d)."""
    n_heads, n, d = y.shape
    half = d // 2
    first_weight, second_weight = weight[:half], weight[half:]
    for h in range(n_heads):
        for i in range(n):
            whole = flat[i, begin + h * d : begin + (h + 1) * d]
            first, second, c, s = whole[:half], whole[half:], cos[i], sin[i]
            to_first, to_second = y[h, i, :half], y[h, i, half:]
            r = F32(1)
            if inverse.shape[0] > 0:
                total = F32(0)
                for j in range(d):
                    value = _up(whole[j])
                    total += value * value
                r = F32(1) / np.sqrt(total / F32(d) + eps)
                inverse[h, i] = r
            for j in range(half):
                a = _up(first[j]) * r * first_weight[j]
                b = _up(second[j]) * r * second_weight[j]
                to_first[j] = _down(a * c[j] - b * s[j])
                to_second[j] = _down(b * c[j] + a * s[j])


def _heads_backward(
    dy: Any, flat: Any, begin: int, weight: Any, inverse: Any, cos: Any, sin: Any, gradient: Any, at: int
) -> None:
    n_heads, n, d = dy.shape
    half = d // 2
    back = np.empty(d, dtype=F32)
    first_back, second_back = back[:half], back[half:]
    first_weight, second_weight = weight[:half], weight[half:]
    for h in range(n_heads):
        for i in range(n):
            first, second, c, s = dy[h, i, :half], dy[h, i, half:], cos[i], sin[i]
            into = gradient[i, at + h * d : at + (h + 1) * d]
            for j in range(half):
                a, b = _up(first[j]), _up(second[j])
                first_back[j] = (a * c[j] + b * s[j]) * first_weight[j]
                second_back[j] = (b * c[j] - a * s[j]) * second_weight[j]
            if inverse.shape[0] == 0:
                for j in range(d):
                    into[j] = _down(back[j])
            else:
                raw = flat[i, begin + h * d : begin + (h + 1) * d]
                total = F32(0)
                for j in range(d):
                    total += back[j] * _up(raw[j])
                r = inverse[h, i]
                along = total * r * r * r / F32(d)
                for j in range(d):
                    into[j] = _down(back[j] * r - _up(raw[j]) * along)


def _largest(values: Any) -> Any:
    top = F32(-3e38)
    for j in range(values.shape[0]):
        top = max(top, values[j])
    return top


# Only here may it be taken for granted that every value is a number, or the search would go one by one: a score that is
# none comes from a residual that is none, and that is seen.
_largest = numba.njit(nogil=True, fastmath=True)(_largest)


def _softmax(scores: Any, scale: Any, low: Any, high: Any) -> None:
    rows, m = scores.shape
    n = low.shape[0]
    buffer = np.empty(m, dtype=F32)
    for i in range(rows):
        begin, end = low[i % n], high[i % n]
        seen = scores[i, begin:end]
        kept = buffer[: end - begin]
        for j in range(seen.shape[0]):
            kept[j] = _up(seen[j]) * scale
        top = _largest(kept)
        total = F32(0)
        for j in range(kept.shape[0]):
            value = _exp(kept[j] - top)
            kept[j] = value
            total += value
        share = F32(1) / total
        for j in range(kept.shape[0]):
            seen[j] = _down(kept[j] * share)
        scores[i, :begin] = U16(0)
        scores[i, end:] = U16(0)


def _softmax_backward(dp: Any, p: Any, scale: Any, low: Any, high: Any) -> None:
    rows = p.shape[0]
    n = low.shape[0]
    for i in range(rows):
        begin, end = low[i % n], high[i % n]
        mine, probabilities = dp[i, begin:end], p[i, begin:end]
        total = F32(0)
        for j in range(mine.shape[0]):
            total += _up(mine[j]) * _up(probabilities[j])
        for j in range(mine.shape[0]):
            mine[j] = _down((_up(mine[j]) - total) * _up(probabilities[j]) * scale)
        dp[i, :begin] = U16(0)
        dp[i, end:] = U16(0)


_gate, _gate_backward = _compiled(_gate), _compiled(_gate_backward)
_norm, _norm_backward = _compiled(_norm), _compiled(_norm_backward)
_add_norm, _add_norm_backward = _compiled(_add_norm), _compiled(_add_norm_backward)
_heads, _heads_backward = _compiled(_heads), _compiled(_heads_backward)
_softmax, _softmax_backward = _compiled(_softmax), _compiled(_softmax_backward)
_NONE = np.empty((0, 0), dtype=F32)


class Fused:
    """See `kernels.Kernels`, which says what each gives."""

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        y, inverse = torch.empty(x.shape, dtype=torch.bfloat16), torch.empty(len(x))
        _norm(_floats(x), weight.numpy(), F32(eps), _bits(y), inverse.numpy())
        return y, inverse

    def norm_backward(self, dy: Tensor, x: Tensor, weight: Tensor, inverse: Tensor, gradient: Tensor) -> Tensor:
        _norm_backward(_bits(dy), _floats(x), weight.numpy(), inverse.numpy(), _floats(gradient))
        return gradient

    def add_norm(self, x: Tensor, update: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        y, inverse = torch.empty(x.shape), torch.empty(len(x))
        _add_norm(_floats(x), _bits(update), weight.numpy(), F32(eps), y.numpy(), inverse.numpy())
        return y, inverse

    def add_norm_backward(self, dy: Tensor, update: Tensor, weight: Tensor, inverse: Tensor) -> Tensor:
        gradient = torch.empty(dy.shape, dtype=torch.bfloat16)
        _add_norm_backward(_floats(dy), _bits(update), weight.numpy(), inverse.numpy(), _bits(gradient))
        return gradient

    def gate(self, both: Tensor, activation: Activation) -> Tensor:
        y = torch.empty(len(both), both.shape[1] // 2, dtype=torch.bfloat16)
        _gate(_bits(both), *_factors(activation), _bits(y))
        return y

    def gate_backward(self, dy: Tensor, both: Tensor, activation: Activation) -> tuple[Tensor, Tensor]:
        gradient, y = torch.empty_like(both), torch.empty_like(dy)
        _gate_backward(_bits(dy), _bits(both), *_factors(activation), _bits(gradient), _bits(y))
        return gradient, y

    def heads(
        self, flat: Tensor, begin: int, n_heads: int, weight: Tensor | None, eps: float, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        d = 2 * cos.shape[-1]
        y = torch.empty(n_heads, len(flat), d, dtype=torch.bfloat16)
        inverse = None if weight is None else torch.empty(n_heads, len(flat))
        factors = np.ones(d, dtype=F32) if weight is None else weight.numpy()
        filled = _NONE if inverse is None else inverse.numpy()
        _heads(_bits(flat), begin, factors, F32(eps), cos.numpy(), sin.numpy(), _bits(y), filled)
        return y, inverse

    def heads_backward(
        self, dy: Tensor, flat: Tensor, begin: int, weight: Tensor | None, inverse: Tensor | None, cos: Tensor,
        sin: Tensor, gradient: Tensor, at: int,
    ) -> None:  # fmt: skip
        factors = np.ones(dy.shape[-1], dtype=F32) if weight is None else weight.numpy()
        filled = _NONE if inverse is None else inverse.numpy()
        _heads_backward(
            _bits(dy), _bits(flat), begin, factors, filled, cos.numpy(), sin.numpy(), _bits(gradient), at
        )  # fmt: skip

    def softmax(self, scores: Tensor, scale: float, low: Tensor, high: Tensor) -> Tensor:
        _softmax(_bits(scores.view(-1, scores.shape[-1])), F32(scale), low.numpy(), high.numpy())
        return scores

    def softmax_backward(self, dp: Tensor, p: Tensor, scale: float, low: Tensor, high: Tensor) -> Tensor:
        m = p.shape[-1]
        _softmax_backward(_bits(dp.view(-1, m)), _bits(p.view(-1, m)), F32(scale), low.numpy(), high.numpy())
        return dp


def _bits(tensor: Tensor) -> Any:
    """What is written into must be contiguous already, or the writing would go into a copy."""
    return tensor.contiguous().view(torch.int16).numpy().view(U16)


def _floats(tensor: Tensor) -> Any:
    return tensor.contiguous().numpy()


def _factors(activation: Activation) -> tuple[Any, Any]:
    return (_A, _B) if activation == "gelu" else (F32(1), F32(0))
