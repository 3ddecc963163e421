"""Roads and how a test vehicle goes along them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

MAX_ACCELERATION_KM_H_S = 12.0


def smooth(values: Array, rng: np.random.Generator, spread: Array, keep: float) -> Array:
    """values (n, t) with a first-order autoregressive wander of standard deviation `spread` (n,) added along t."""
    n, n_steps = values.shape
    draws = rng.standard_normal((n_steps, n), dtype=np.float32)
    renew = np.float32(np.sqrt(1.0 - keep**2))
    for t in range(1, n_steps):
        draws[t] = np.float32(keep) * draws[t - 1] + renew * draws[t]
    return values + spread[:, None] * draws.T


def limited(speed: Array, step_s: float) -> Array:
    """The same speed profile (n, t) in km/h, not negative, with the acceleration a car has in traffic."""
    most = MAX_ACCELERATION_KM_H_S * step_s
    out = np.maximum(speed, 0.0)
    for t in range(1, out.shape[1]):
        out[:, t] = np.clip(out[:, t], out[:, t - 1] - most, out[:, t - 1] + most)
    return out


def travelled(speed_km_h: Array, step_s: float) -> Array:
    """Metres along the road since the first step, (n, t)."""
    metres = np.cumsum(speed_km_h * np.float32(step_s / 3.6), axis=1)
    return metres - metres[:, :1]


def along(arc_m: Array, start_east: Array, start_north: Array, heading: Array, curvature: Array) -> tuple[Array, Array]:
    """(east, north) in metres of the points `arc_m` (n, t) along roads that are arcs of a circle.

    heading (n,) in radians clockwise from north at arc 0, curvature (n,) in radians per metre; a chord of an arc s is
    s sin(x)/x long with x = curvature s / 2, in the direction half-way.
    """
    half = 0.5 * curvature[:, None] * arc_m
    chord = arc_m * np.sinc(half / np.pi)
    direction = heading[:, None] + half
    return start_east[:, None] + chord * np.sin(direction), start_north[:, None] + chord * np.cos(direction)


def section(begin_s: Array, length_s: Array, edge_s: Array, time_s: Array) -> Array:
    """How much of a section of the road is entered, in [0, 1], (n, t): from `begin_s` for `length_s`, with soft edges."""
    t = time_s[None, :]
    up = (t - begin_s[:, None]) / edge_s[:, None] + 0.5
    down = (begin_s[:, None] + length_s[:, None] - t) / edge_s[:, None] + 0.5
    return np.clip(np.minimum(up, down), 0.0, 1.0).astype(np.float32)
