"""Event A3 (TS 38.331 section 5.5.4.4) with time to trigger, and what a handover costs the user."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]


def strongest(rsrp: FloatArray) -> tuple[IntArray, FloatArray]:
    """The strongest cell and its level, (n, t) each, of rsrp (n, c, t)."""
    level = rsrp[:, 0].copy()
    cell = np.zeros(level.shape, dtype=np.int64)
    for c in range(1, rsrp.shape[1]):
        stronger = rsrp[:, c] > level
        np.copyto(cell, c, where=stronger)
        np.maximum(level, rsrp[:, c], out=level)
    return cell, level


def serve(
    rsrp: FloatArray, offset_db: FloatArray, time_to_trigger_s: FloatArray, step_s: float
) -> tuple[IntArray, IntArray]:
    """The serving cell (n, t), and the steps since the last handover (n, t; a large number before the first).

    A window begins on its strongest cell. It goes to the strongest neighbour once that has been `offset_db` (A3 offset plus
    hysteresis) above the serving cell for `time_to_trigger_s` (n,): rsrp (n, c, t) dBm, `step_s` apart.
    """
    n, _, n_steps = rsrp.shape
    rows = np.arange(n)
    best, level = strongest(rsrp)
    # The condition is seen once a step: it holds for the time to trigger when it held at this many steps in a row.
    needed = np.floor(time_to_trigger_s / step_s + 1e-9).astype(np.int64) + 1
    serving = np.empty((n, n_steps), dtype=np.int64)
    since = np.empty((n, n_steps), dtype=np.int64)
    now, held, age = best[:, 0].copy(), np.zeros(n, dtype=np.int64), np.full(n, 10_000, dtype=np.int64)
    for t in range(n_steps):
        # With a negative offset the serving cell would pass it, too: a handover is to another cell.
        entered = (level[:, t] > rsrp[rows, now, t] + offset_db) & (best[:, t] != now)
        held = np.where(entered, held + 1, 0)
        goes = held >= needed
        now = np.where(goes, best[:, t], now)
        held[goes] = 0
        age = np.where(goes, 0, age + 1)
        serving[:, t], since[:, t] = now, age
    return serving, since


def share_after(
    since: IntArray, interruption_s: FloatArray, restart: FloatArray, recovery_s: FloatArray, step_s: float
) -> FloatArray:
    """How much of its rate a user has (n, t): none while the handover interrupts, then from `restart` back to one.

    The interruption falls into the handover's own step. `recovery_s` is the time constant with which link adaptation, rank
    and beam are found again on the new cell.
    """
    steps = since.astype(recovery_s.dtype)
    back = 1.0 - (1.0 - restart[:, None]) * np.exp(-steps * (step_s / recovery_s[:, None]))
    cut = np.where(since == 0, 1.0 - np.minimum(interruption_s / step_s, 1.0)[:, None], 1.0)
    return np.where(since > 1000, 1.0, back * cut)
