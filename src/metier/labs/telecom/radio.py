"""Received power, interference and SINR of reference signals, with collisions of physical cell identities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]

# Sequences of uplink reference signals repeat with PCI mod 30 (TS 38.211 section 5.2.2: u = n_ID mod 30), the primary
# synchronisation signal with PCI mod 3 (TS 38.211 section 7.4.2.2).
COLLISION, SYNCHRONISATION = 30, 3
# What the shared synchronisation sequence adds to a neighbour's activity as seen by the measured SINR.
SYNCHRONISATION_ACTIVITY = 0.03
THERMAL_DBM_PER_HZ = -174.0
SUBCARRIER_HZ = 30_000.0


def linear(db: Array) -> Array:
    found: Array = np.exp(db * np.float32(np.log(10.0) / 10.0))
    return found


def decibel(ratio: Array) -> Array:
    return np.float32(10.0) * np.log10(ratio)


def thermal_dbm(noise_figure_db: Array) -> Array:
    """Noise in one 30 kHz subcarrier: about -122 dBm with a noise figure of 7 dB."""
    found: Array = THERMAL_DBM_PER_HZ + 10.0 * np.log10(SUBCARRIER_HZ) + noise_figure_db
    return found


def activity(load: Array, pci: IntArray, serving_pci: IntArray) -> Array:
    """How much of its power a cell puts on the serving cell's reference signals: (n, c, t) of load (n, c), pci (n, c) and
    the serving PCI (n, t).

    A neighbour disturbs in proportion to its load, except that one whose sequences are the serving cell's own does so with
    all its power whatever it carries: they cannot be told apart.
    """
    # Remainders once a cell and a step, not once a pair: 30 is a multiple of 3.
    residue, own = (pci % COLLISION).astype(np.int8), (serving_pci % COLLISION).astype(np.int8)
    collides = residue[:, :, None] == own[:, None, :]
    synchronised = (residue % SYNCHRONISATION)[:, :, None] == (own % SYNCHRONISATION)[:, None, :]
    active = synchronised * np.float32(SYNCHRONISATION_ACTIVITY)
    active += load[:, :, None]
    np.copyto(active, np.float32(1.0), where=collides)
    found: Array = active
    return found


def of_cell(values: Array, cell: IntArray) -> Array:
    """The values (n, c, t) of one cell a step, (n, t)."""
    n, n_cells, n_steps = values.shape
    at = (np.arange(n)[:, None] * n_cells + cell) * n_steps + np.arange(n_steps)
    found: Array = values.reshape(-1)[at]
    return found


def sinr(power_mw: Array, active: Array, serving: IntArray, floor_mw: Array) -> Array:
    """Linear SINR (n, t): serving power over the floor (n,) and the neighbours' power (n, c, t) times their activity."""
    own, own_activity = of_cell(power_mw, serving), of_cell(active, serving)
    received = np.einsum("nct,nct->nt", power_mw, active)
    others = np.maximum(received - own * own_activity, 0.0)
    found: Array = own / (others + floor_mw[:, None])
    return found
