"""What the test equipment writes down: rounded, noisy, with the neighbours that it heard and the data base's cells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metier.labs.telecom import radio
from metier.labs.telecom.draft import Draft
from metier.labs.telecom.drive import Run, at_samples, sampled
from metier.labs.telecom.geometry import to_degrees
from metier.labs.telecom.network import N_CELLS, SITE_OF, Network
from metier.labs.telecom.parts import DEFAULT_TILT, N_NEIGHBOURS, N_SAMPLES, Cells, Drives
from metier.labs.telecom.scenario import Mechanisms

Array = npt.NDArray[np.floating]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SENSITIVITY_DBM = -124.0
MAX_MECHANICAL_DEG = 20.0


def drives(rng: np.random.Generator, draft: Draft, mechanisms: Mechanisms, run: Run) -> Drives:
    """The drive-test table: RSRP and SINR with two decimals, km/h without, positions with five."""
    n = len(draft.cause)
    network = draft.network
    serving = at_samples(run.serving)
    rsrp = at_samples(run.rsrp)
    own = np.take_along_axis(rsrp, serving[:, None, :], axis=1)[:, 0]
    error = rng.uniform(0.2, 0.4 + 2.0 * draft.hardness, (n, 1))
    pci, level = _neighbours(rng, mechanisms.pci, rsrp, serving, own, draft.hardness)
    east = at_samples(draft.east_m) + rng.normal(0.0, 3.0, (n, 1)) + rng.normal(0.0, 1.0, (n, N_SAMPLES))
    north = at_samples(draft.north_m) + rng.normal(0.0, 3.0, (n, 1)) + rng.normal(0.0, 1.0, (n, N_SAMPLES))
    longitude, latitude = to_degrees(east, north, network.longitude[:, None], network.latitude[:, None])
    sinr = (
        _reported_sinr(rng, run, rsrp, own)
        + rng.normal(0.0, 1.2, (n, 1))
        + rng.uniform(0.3, 1.5, (n, 1)) * rng.standard_normal((n, N_SAMPLES))
    )
    return Drives(
        begin_s=network.begin_s + rng.integers(0, 3600, n),
        longitude=np.round(longitude, 5),
        latitude=np.round(latitude, 5),
        speed_km_h=np.round(at_samples(mechanisms.speed_km_h)).astype(np.float64),
        serving_pci=np.take_along_axis(mechanisms.pci, serving, axis=1),
        rsrp_dbm=_decimals(own + error * rng.standard_normal((n, N_SAMPLES))),
        sinr_db=_decimals(np.clip(sinr, -20.0, 35.0)),
        throughput_mbps=_decimals(np.maximum(sampled(run.throughput_mbps), 0.0)),
        neighbour_pci=pci,
        neighbour_rsrp_dbm=level,
        n_rb=_decimals(sampled(run.n_rb)),
    )


def _reported_sinr(rng: np.random.Generator, run: Run, rsrp: Array, own: Array) -> Array:
    """SS-SINR in dB: as data meets it, and lower where neighbours send their synchronisation blocks at the same time.

    Blocks are sent whatever the load (TS 38.215, section 5.1.5), so that among equally strong cells the reported figure may
    be near 0 dB while data fares well. How much of the blocks coincides is the network's own affair: none to all of it.
    """
    overlap = rng.uniform(0.0, 1.0, (len(own), 1)) * (rng.random((len(own), 1)) < 0.6)
    others = np.maximum(radio.linear(rsrp - own[:, None, :]).sum(axis=1) - 1.0, 0.0)
    found: Array = -radio.decibel(1.0 / radio.linear(at_samples(run.sinr_db)) + overlap * others)
    return found


def _decimals(values: Array) -> FloatArray:
    """Rounded to the two decimals of the tables (in double precision: a single one would print more)."""
    return np.asarray(np.round(values.astype(np.float64), 2), dtype=np.float64)


def _neighbours(
    rng: np.random.Generator, pci: IntArray, rsrp: Array, serving: IntArray, own: Array, hardness: float
) -> tuple[IntArray, FloatArray]:
    """The strongest cells heard beside the serving one, filtered over time: (n, samples, N_NEIGHBOURS) PCI and dBm."""
    n = len(rsrp)
    noise = rng.uniform(0.3, 0.6 + 5.5 * hardness, (n, 1, 1)).astype(np.float32)
    # Samples before cells: what follows is done a sample at a time, or sorts the cells of one.
    rsrp = np.ascontiguousarray(rsrp.transpose(0, 2, 1))
    heard = rsrp + noise * rng.standard_normal(rsrp.shape, dtype=np.float32)
    # A filter as of layer 3 with a coefficient between 0 and 4 (TS 38.331 section 5.5.3.2), started at the first sample.
    keep = (1.0 - 0.5 ** (rng.integers(0, 5, (n, 1)) / 4.0)).astype(np.float32)
    for t in range(1, heard.shape[1]):
        heard[:, t] += keep * (heard[:, t - 1] - heard[:, t])
    lost = rng.random(rsrp.shape, dtype=np.float32) < rng.uniform(0.0, 0.01 + 0.7 * hardness, (n, 1, 1)) ** 2
    depth = rng.uniform(14.0, 32.0, (n, 1, 1)).astype(np.float32)
    hidden = lost | (rsrp < own[:, :, None] - depth) | (rsrp < SENSITIVITY_DBM)
    np.put_along_axis(hidden, serving[:, :, None], True, axis=2)
    np.copyto(heard, -np.inf, where=hidden)
    cells = np.argsort(-heard, axis=2, kind="stable")[:, :, :N_NEIGHBOURS]
    level = np.take_along_axis(heard, cells, axis=2).astype(np.float64)
    # How many the equipment lists: five in most networks, but a scanner set otherwise lists fewer.
    most = np.where(rng.random(n) < 0.9 - 0.4 * hardness, N_NEIGHBOURS, rng.integers(1, N_NEIGHBOURS + 1, n))
    absent = ~np.isfinite(level) | (np.arange(N_NEIGHBOURS) >= most[:, None, None])
    found = np.take_along_axis(pci[:, None, :], cells, axis=2)
    return np.where(absent, -1, found), np.where(absent, np.nan, _decimals(level))


def cells(rng: np.random.Generator, draft: Draft, mechanisms: Mechanisms, run: Run) -> Cells:
    """The engineering table: the network as it is, mechanisms included, without a few cells that never served."""
    network = draft.network
    n = len(draft.cause)
    served = np.zeros((n, N_CELLS), dtype=bool)
    np.put_along_axis(served, at_samples(run.serving), True, axis=1)
    listed = network.exists & (mechanisms.blocked[:, SITE_OF] < 60.0)
    forgotten = rng.random((n, N_CELLS)) < np.where(rng.random((n, 1)) < 0.4, 0.3 * draft.hardness, 0.0)
    exists = (listed & ~forgotten) | served
    mechanical, digital = tilts(network, (mechanisms.steep - mechanisms.flat + mechanisms.raised).astype(np.float64))
    longitude, latitude = to_degrees(
        network.east_m[:, SITE_OF] + rng.normal(0.0, 0.8, (n, N_CELLS)) * (rng.random((n, 1)) < 0.4),
        network.north_m[:, SITE_OF],
        network.longitude[:, None],
        network.latitude[:, None],
    )
    decimals = rng.random((n, 1)) < 0.5
    order = _order(rng, n)
    table = Cells(
        exists=exists,
        gnodeb_id=network.gnodeb_id,
        cell_id=network.cell_id,
        longitude=np.where(decimals, np.round(longitude, 5), np.round(longitude, 4)),
        latitude=np.where(decimals, np.round(latitude, 5), np.round(latitude, 4)),
        mechanical_azimuth=network.mechanical_azimuth,
        mechanical_downtilt=mechanical,
        digital_tilt=digital,
        digital_azimuth=network.digital_azimuth,
        beam=network.beam,
        height_m=network.height_m[:, SITE_OF],
        pci=mechanisms.pci,
        txrx=network.txrx,
        max_power_dbm=np.round(network.power_dbm + (mechanisms.boost + mechanisms.louder).astype(np.float64), 1),
        antenna=network.antenna,
    )
    return Cells(**{name: np.take_along_axis(value, order, axis=1) for name, value in vars(table).items()})


def _order(rng: np.random.Generator, n: int) -> IntArray:
    """Sites in any order, the sectors of one together, in the order of their numbers."""
    n_sites = SITE_OF[-1] + 1
    sites = np.argsort(rng.random((n, n_sites)), axis=1)
    sectors = N_CELLS // n_sites
    found: IntArray = (sites[:, :, None] * sectors + np.arange(sectors)).reshape(n, N_CELLS)
    return found


def tilts(network: Network, change: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mechanical and digital tilts, (n, c), that make the planned total and `change` degrees.

    The mechanical one takes what it can between 0 and MAX_MECHANICAL_DEG; a digital one is set in the place of the default
    where that is not enough.
    """
    default = network.digital_tilt == DEFAULT_TILT
    base = np.where(default, 6.0, network.digital_tilt)
    mechanical = np.clip(network.mechanical_tilt + change, 0.0, MAX_MECHANICAL_DEG)
    digital = base + (network.mechanical_tilt + change - mechanical)
    return mechanical, np.where(default & (digital == base), float(DEFAULT_TILT), digital)
