"""One layer of a decoder, forward and backward by hand: few passes, no padding, nothing computed that nobody reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear

from metier.students.lm.tuning.attention import View, attend, attend_backward
from metier.students.lm.tuning.kernels import Kernels
from metier.students.lm.tuning.shapes import Shape

# Takes a matrix by name, the gradient of what it gave (n, out), what it was given (n, in), and which rows of it gave.
Collect = Callable[[str, Tensor, Tensor, slice], None]
ALL = slice(None)


@dataclass
class Layer:
    """The weights of a layer: matrices (out, in) in the dtype of the computation, norms float32, ready to multiply.

    `qkv` holds the queries' rows, the keys', the values'; `gate_up` those of the gate, then of what it gates;
    `head_norms` (2, head_dim), the queries' and the keys', is None where these are not normalised.
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
    """Cosines and sines of the positions of a pack, (n, head_dim / 2) float32."""

    cos: Tensor
    sin: Tensor

    def at(self, rows: Tensor) -> Turn:
        return Turn(self.cos[rows], self.sin[rows])


@dataclass(frozen=True)
class Saved:
    """What `backward` needs of `forward`; `rows` in a name: of the queries alone, all places save in the top layer."""

    x: Tensor
    inverse: Tensor
    normed: Tensor
    normed_rows: Tensor
    projected: Tensor
    projected_rows: Tensor
    query_inverse: Tensor | None
    key_inverse: Tensor | None
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
    layer: Layer, shape: Shape, kernels: Kernels, x: Tensor, turn: Turn, view: View, keep: bool = True
) -> tuple[Tensor, Saved | None]:
    """x (n, d) float32 -> (q, d) float32, where q are the rows of `view`, or all."""
    rows, d = view.rows, shape.head_dim
    query_width, key_width = shape.heads * d, shape.kv_heads * d
    normed, inverse = kernels.norm(x, layer.attention_norm, shape.eps)
    if rows is None:
        normed_rows, turn_rows, x_rows = normed, turn, x
        projected_rows = projected = linear(normed, layer.qkv)
        at_keys = query_width
    else:
        normed_rows, turn_rows, x_rows = normed[rows], turn.at(rows), x[rows]
        projected_rows = linear(normed_rows, layer.qkv[:query_width])
        projected = linear(normed, layer.qkv[query_width:])
        at_keys = 0
    query_norm, key_norm = (None, None) if layer.head_norms is None else layer.head_norms
    q, query_inverse = kernels.heads(
        projected_rows, 0, shape.heads, query_norm, shape.eps, turn_rows.cos, turn_rows.sin
    )
    k, key_inverse = kernels.heads(projected, at_keys, shape.kv_heads, key_norm, shape.eps, turn.cos, turn.sin)
    v = projected[:, at_keys + key_width :].reshape(len(x), shape.kv_heads, d).transpose(0, 1).contiguous()
    attention, attended = attend(q.view(shape.kv_heads, -1, q.shape[1], d), k, v, shape.scale, view, kernels)
    merged = attention.flatten(0, 1).transpose(0, 1).flatten(1)
    out = linear(merged, layer.out)
    middle, out_inverse = _add(kernels, x_rows, out, layer.attention_post_norm, shape.eps)
    middle_normed, middle_inverse = kernels.norm(middle, layer.mlp_norm, shape.eps)
    both = linear(middle_normed, layer.gate_up)
    down = linear(kernels.gate(both, shape.activation), layer.down)
    y, down_inverse = _add(kernels, middle, down, layer.mlp_post_norm, shape.eps)
    if not keep:
        return y, None
    return y, Saved(
        x, inverse, normed, normed_rows, projected, projected_rows, query_inverse, key_inverse, attended, merged,
        out, out_inverse, middle, middle_inverse, middle_normed, both, down, down_inverse,
    )  # fmt: skip


def backward(
    layer: Layer, shape: Shape, kernels: Kernels, saved: Saved, dy: Tensor, turn: Turn, view: View, collect: Collect,
    needs_dx: bool,
) -> Tensor | None:  # fmt: skip
    """The gradient by x (n, d) float32, or None where it is not asked for; those of the matrices go to `collect`. May
    change `dy`."""
    d_down = _add_backward(kernels, dy, saved.down, layer.mlp_post_norm, saved.down_inverse)
    d_both, gated = kernels.gate_backward(d_down @ layer.down, saved.both, shape.activation)
    collect("down", d_down, gated, ALL)
    collect("gate_up", d_both, saved.middle_normed, ALL)
    d_middle = kernels.norm_backward(d_both @ layer.gate_up, saved.middle, layer.mlp_norm, saved.middle_inverse, dy)
    d_out = _add_backward(kernels, d_middle, saved.out, layer.attention_post_norm, saved.out_inverse)
    collect("out", d_out, saved.merged, ALL)
    d_merged = (d_out @ layer.out).view(len(d_out), shape.kv_heads, -1, shape.head_dim).permute(1, 2, 0, 3)
    dq, dk, dv = attend_backward(d_merged, saved.attended, shape.scale, view, kernels)
    d_rows, d_all = _projected_backward(layer, shape, kernels, saved, (dq.flatten(0, 1), dk, dv), turn, view)
    if view.rows is None:
        collect("qkv", d_all, saved.normed, ALL)
        if not needs_dx:
            return None
        return kernels.norm_backward(d_all @ layer.qkv, saved.x, layer.attention_norm, saved.inverse, d_middle)
    query_width = shape.heads * shape.head_dim
    collect("qkv", d_rows, saved.normed_rows, slice(0, query_width))
    collect("qkv", d_all, saved.normed, slice(query_width, None))
    if not needs_dx:
        return None
    d_normed = (d_all @ layer.qkv[query_width:]).index_add_(0, view.rows, d_rows @ layer.qkv[:query_width])
    dx = torch.zeros_like(saved.x).index_add_(0, view.rows, d_middle)
    return kernels.norm_backward(d_normed, saved.x, layer.attention_norm, saved.inverse, dx)


def _projected_backward(
    layer: Layer, shape: Shape, kernels: Kernels, saved: Saved, gradients: tuple[Tensor, Tensor, Tensor], turn: Turn,
    view: View,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The gradients by what the queries' rows gave and by what all of `qkv`'s rows, or the keys' and the values', gave."""
    dq, dk, dv = gradients
    d_all = torch.empty_like(saved.projected)
    d_rows = d_all if view.rows is None else torch.empty_like(saved.projected_rows)
    at_keys = shape.heads * shape.head_dim if view.rows is None else 0
    turn_rows = turn if view.rows is None else turn.at(view.rows)
    query_norm, key_norm = (None, None) if layer.head_norms is None else layer.head_norms
    kernels.heads_backward(
        dq, saved.projected_rows, 0, query_norm, saved.query_inverse, turn_rows.cos, turn_rows.sin, d_rows, 0
    )
    kernels.heads_backward(
        dk, saved.projected, at_keys, key_norm, saved.key_inverse, turn.cos, turn.sin, d_all, at_keys
    )
    d_all[:, at_keys + shape.kv_heads * shape.head_dim :] = dv.transpose(0, 1).flatten(1)
    return d_rows, d_all


def _add(
    kernels: Kernels, x: Tensor, update: Tensor, weight: Tensor | None, eps: float
) -> tuple[Tensor, Tensor | None]:
    return (x + update, None) if weight is None else kernels.add_norm(x, update, weight, eps)


def _add_backward(
    kernels: Kernels, dy: Tensor, update: Tensor, weight: Tensor | None, inverse: Tensor | None
) -> Tensor:
    if weight is None or inverse is None:
        return dy.to(update.dtype)
    return kernels.add_norm_backward(dy, update, weight, inverse)
