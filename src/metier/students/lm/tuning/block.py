"""One layer of a decoder, forward and backward by hand: few passes, no padding, nothing computed that nobody reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear

from metier.students.lm.tuning import kernels
from metier.students.lm.tuning.attention import View, attend, attend_backward
from metier.students.lm.tuning.shapes import Shape

# Takes a matrix by name, the gradient of what it gave (n, out), what it was given (n, in), and which rows of it gave.
Collect = Callable[[str, Tensor, Tensor, slice], None]
ALL = slice(None)


@dataclass
class Layer:
    """The weights of a layer: matrices (out, in) in the dtype of the computation, norms float32, ready to multiply.

    `qkv` holds the queries' rows, the keys', the values'; `gate_up` those of the gate, then of what it gates;
    `head_norms` (heads + kv_heads, 1 or head_dim) is None where queries and keys are not normalised.
    """

    qkv: Tensor
    out: Tensor
    gate_up: Tensor
    down: Tensor
    attention_norm: Tensor
    mlp_norm: Tensor
    attention_post_norm: Tensor | None
    mlp_post_norm: Tensor | None
    head_norms: Tensor | None


@dataclass(frozen=True)
class Turn:
    """Cosines and sines of the positions of a pack, (n, 1, head_dim / 2) float32."""

    cos: Tensor
    sin: Tensor

    def at(self, rows: Tensor) -> Turn:
        return Turn(self.cos[rows], self.sin[rows])


@dataclass(frozen=True)
class _Projected:
    """Queries, keys or values with what their derivative needs: `raw` (n, h, d) as projected, `inverse` of their norm."""

    raw: Tensor | None
    inverse: Tensor | None


@dataclass(frozen=True)
class Saved:
    """What `backward` needs of `forward`."""

    x: Tensor
    inverse: Tensor
    normed: Tensor
    normed_rows: Tensor
    queries: _Projected
    keys: _Projected
    attended: tuple[Tensor, ...]
    merged: Tensor
    out: Tensor
    out_inverse: Tensor | None
    middle: Tensor
    middle_inverse: Tensor
    middle_normed: Tensor
    both: Tensor
    down: Tensor
    down_inverse: Tensor | None


def forward(
    layer: Layer, shape: Shape, x: Tensor, turn: Turn, view: View, keep: bool = True
) -> tuple[Tensor, Saved | None]:
    """x (n, d) float32 -> (q, d) float32, where q are the rows of `view`, or all."""
    dtype, rows = layer.qkv.dtype, view.rows
    normed, inverse = kernels.norm(x, layer.attention_norm, shape.eps, dtype)
    n_query = shape.heads * shape.head_dim
    if rows is None:
        normed_rows = normed
        projected = linear(normed, layer.qkv)
        q_flat, kv_flat = projected[:, :n_query], projected[:, n_query:]
    else:
        normed_rows = normed[rows]
        q_flat, kv_flat = linear(normed_rows, layer.qkv[:n_query]), linear(normed, layer.qkv[n_query:])
    k_flat, v_flat = kv_flat.chunk(2, dim=-1)
    q, queries = _heads(q_flat, layer, shape, turn if rows is None else turn.at(rows), is_query=True)
    k, keys = _heads(k_flat, layer, shape, turn, is_query=False)
    v = _split(v_flat, shape.head_dim).transpose(0, 1)
    q = q.view(shape.kv_heads, -1, *q.shape[1:])
    attention, attended = attend(q, k, v.contiguous(), shape.scale, view)
    merged = attention.flatten(0, 1).transpose(0, 1).flatten(1)
    out = linear(merged, layer.out)
    middle, out_inverse = _add(x if rows is None else x[rows], out, layer.attention_post_norm, shape.eps)
    middle_normed, middle_inverse = kernels.norm(middle, layer.mlp_norm, shape.eps, dtype)
    both = linear(middle_normed, layer.gate_up)
    down = linear(kernels.gate(both, shape.activation), layer.down)
    y, down_inverse = _add(middle, down, layer.mlp_post_norm, shape.eps)
    if not keep:
        return y, None
    return y, Saved(
        x, inverse, normed, normed_rows, queries, keys, attended, merged, out, out_inverse,
        middle, middle_inverse, middle_normed, both, down, down_inverse,
    )  # fmt: skip


def backward(
    layer: Layer, shape: Shape, saved: Saved, dy: Tensor, turn: Turn, view: View, collect: Collect, needs_dx: bool
) -> Tensor | None:
    """The gradient by x (n, d) float32, or None where it is not asked for; those of the matrices go to `collect`."""
    rows, dtype = view.rows, layer.qkv.dtype
    d_down = _add_backward(dy, saved.down, layer.mlp_post_norm, saved.down_inverse, dtype)
    d_both, gated = kernels.gate_backward(d_down @ layer.down, saved.both, shape.activation)
    collect("down", d_down, gated, ALL)
    collect("gate_up", d_both, saved.middle_normed, ALL)
    d_middle = kernels.norm_backward(d_both @ layer.gate_up, saved.middle, layer.mlp_norm, saved.middle_inverse).add_(
        dy
    )
    d_out = _add_backward(d_middle, saved.out, layer.attention_post_norm, saved.out_inverse, dtype)
    collect("out", d_out, saved.merged, ALL)
    d_merged = (d_out @ layer.out).view(len(d_out), shape.kv_heads, -1, shape.head_dim).permute(1, 2, 0, 3)
    dq, dk, dv = attend_backward(d_merged, saved.attended, shape.scale, view)
    query_turn = turn if rows is None else turn.at(rows)
    dq_flat = _heads_backward(dq.flatten(0, 1), saved.queries, layer, query_turn, is_query=True)
    dk_flat = _heads_backward(dk, saved.keys, layer, turn, is_query=False)
    dv_flat = dv.transpose(0, 1).flatten(1)
    n_query = shape.heads * shape.head_dim
    if rows is None:
        gradient = torch.cat([dq_flat, dk_flat, dv_flat], dim=-1)
        collect("qkv", gradient, saved.normed, ALL)
        if not needs_dx:
            return None
        d_normed = gradient @ layer.qkv
        return kernels.norm_backward(d_normed, saved.x, layer.attention_norm, saved.inverse).add_(d_middle)
    gradient = torch.cat([dk_flat, dv_flat], dim=-1)
    collect("qkv", dq_flat, saved.normed_rows, slice(0, n_query))
    collect("qkv", gradient, saved.normed, slice(n_query, None))
    if not needs_dx:
        return None
    d_normed = (gradient @ layer.qkv[n_query:]).index_add_(0, rows, dq_flat @ layer.qkv[:n_query])
    dx = kernels.norm_backward(d_normed, saved.x, layer.attention_norm, saved.inverse)
    return dx.index_add_(0, rows, d_middle)


def _heads(flat: Tensor, layer: Layer, shape: Shape, turn: Turn, is_query: bool) -> tuple[Tensor, _Projected]:
    """(n, h d) as projected -> (h, n, d), normalised where the layer does so, and turned to its positions."""
    raw = _split(flat, shape.head_dim)
    if layer.head_norms is None:
        turned = kernels.rotate(raw.float(), turn.cos, turn.sin)
        return turned.transpose(0, 1).to(flat.dtype, memory_format=torch.contiguous_format), _Projected(None, None)
    weight = _head_norm(layer.head_norms, is_query)
    normed, inverse = kernels.norm(raw.float(), weight, shape.eps, torch.float32)
    turned = kernels.rotate(normed, turn.cos, turn.sin)
    return turned.transpose(0, 1).to(flat.dtype, memory_format=torch.contiguous_format), _Projected(raw, inverse)


def _heads_backward(gradient: Tensor, projected: _Projected, layer: Layer, turn: Turn, is_query: bool) -> Tensor:
    """(h, n, d) -> (n, h d)."""
    turned = kernels.rotate(gradient.transpose(0, 1).float(), turn.cos, -turn.sin)
    if projected.raw is None or projected.inverse is None or layer.head_norms is None:
        return turned.flatten(1).to(gradient.dtype)
    weight = _head_norm(layer.head_norms, is_query)
    return kernels.norm_backward(turned, projected.raw, weight, projected.inverse).flatten(1).to(gradient.dtype)


def _split(flat: Tensor, head_dim: int) -> Tensor:
    """(n, h d) -> (n, h, d)."""
    return flat.reshape(len(flat), -1, head_dim)


def _head_norm(head_norms: Tensor, is_query: bool) -> Tensor:
    return head_norms[0 if is_query else 1]


def _add(x: Tensor, update: Tensor, weight: Tensor | None, eps: float) -> tuple[Tensor, Tensor | None]:
    if weight is None:
        return x + update, None
    normed, inverse = kernels.norm(update, weight, eps, torch.float32)
    return normed.add_(x), inverse


def _add_backward(
    dy: Tensor, update: Tensor, weight: Tensor | None, inverse: Tensor | None, dtype: torch.dtype
) -> Tensor:
    if weight is None or inverse is None:
        return dy.to(dtype)
    return kernels.norm_backward(dy, update, weight, inverse).to(dtype)
