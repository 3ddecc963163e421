"""Causal attention of packed sequences, forward and backward, with no sequence seeing another.

Short packs: plain matrix products with a mask, several times as fast on a CPU as torch's own attention backward for
wide heads. Long ones: sequence by sequence through torch's attention, whose memory grows with the length only.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from metier.students.lm.tuning.kernels import Kernels

PLAIN_TOKENS = 1024


@dataclass(frozen=True)
class View:
    """What each query of a pack may see: the places in [low, high), (q,) int64 both. `bounds` (s + 1,) of the sequences;
    `rows` (q,) the places of the queries, None: all; `is_long`: too many places for plain matrix products."""

    bounds: tuple[int, ...]
    window: int | None
    rows: Tensor | None
    low: Tensor
    high: Tensor
    is_long: bool


def view_of(bounds: tuple[int, ...], window: int | None, rows: Tensor | None, device: torch.device) -> View:
    """The view of a pack with sequences in `bounds`, for all its places or for `rows`."""
    n = bounds[-1]
    lengths = torch.tensor([end - begin for begin, end in pairwise(bounds)], device=device)
    low = torch.repeat_interleave(torch.tensor(bounds[:-1], device=device), lengths)
    place = torch.arange(n, device=device)
    if window is not None:
        low = torch.maximum(low, place - window + 1)
    if rows is not None:
        low, place = low[rows], place[rows]
    return View(bounds, window, rows, low, place + 1, n > PLAIN_TOKENS)


def attend(
    q: Tensor, k: Tensor, v: Tensor, scale: float, view: View, kernels: Kernels
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """q (kv, g, nq, d), k and v (kv, n, d) -> (kv, g, nq, d), and what the backward needs."""
    if view.is_long:
        with torch.enable_grad():
            q, k, v = (t.detach().requires_grad_() for t in (q, k, v))
            out = _by_sequence(q, k, v, scale, view)
        return out.detach(), (q, k, v, out)
    kv, g, nq, d = q.shape
    scores = torch.bmm(q.reshape(kv, g * nq, d), k.transpose(1, 2))
    p = kernels.softmax(scores, scale, view.low, view.high)
    return torch.bmm(p, v).view(kv, g, nq, d), (q, k, v, p)


def attend_backward(
    dout: Tensor, saved: tuple[Tensor, ...], scale: float, view: View, kernels: Kernels
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by q, k and v."""
    q, k, v, p = saved
    if view.is_long:
        dq, dk, dv = torch.autograd.grad(p, (q, k, v), dout)
        return dq, dk, dv
    kv, g, nq, d = q.shape
    flat = dout.reshape(kv, g * nq, d)
    dv = torch.bmm(p.transpose(1, 2), flat)
    ds = kernels.softmax_backward(torch.bmm(flat, v.transpose(1, 2)), p, scale, view.low, view.high)
    dq = torch.bmm(ds, k).view(kv, g, nq, d)
    return dq, torch.bmm(ds.transpose(1, 2), q.reshape(kv, g * nq, d)), dv


def _by_sequence(q: Tensor, k: Tensor, v: Tensor, scale: float, view: View) -> Tensor:
    parts = []
    for begin, end in pairwise(view.bounds):
        places, mine = None, slice(begin, end)
        if view.rows is not None:
            inside = ((view.rows >= begin) & (view.rows < end)).nonzero().flatten()
            if not len(inside):
                continue
            mine = slice(int(inside[0]), int(inside[-1]) + 1)
            places = view.rows[mine] - begin
        parts.append(_one(q[:, :, mine], k[:, begin:end], v[:, begin:end], scale, view.window, places))
    return torch.cat(parts, dim=2)


def _one(q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None, places: Tensor | None) -> Tensor:
    """Attention within one sequence; `places` (nq,) are those of the queries in it, None: all. That there are as many
    queries as places does not say that they are these: rows are filled up by the last one again."""
    n = k.shape[1]
    keys, values = (t[:, None].expand(-1, q.shape[1], -1, -1) for t in (k, v))
    if places is None and (window is None or n <= window):
        return scaled_dot_product_attention(q, keys, values, is_causal=True, scale=scale)
    place = torch.arange(n, device=q.device)
    at = (place if places is None else places)[:, None]
    seen = at >= place
    if window is not None:
        seen &= at - place < window
    return scaled_dot_product_attention(q, keys, values, attn_mask=seen, scale=scale)
