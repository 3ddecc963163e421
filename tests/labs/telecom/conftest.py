"""A few windows made by hand, whose every number a test can check."""

from __future__ import annotations

import numpy as np
import pytest

from metier.labs.telecom.parts import N_NEIGHBOURS, N_SAMPLES, Cells, Drives, Windows

N_WINDOWS, N_CELLS = 4, 3


def _drives() -> Drives:
    shape = (N_WINDOWS, N_SAMPLES)
    steps = np.tile(np.arange(N_SAMPLES), (N_WINDOWS, 1))
    pci = np.full((*shape, N_NEIGHBOURS), -1)
    rsrp = np.full((*shape, N_NEIGHBOURS), np.nan)
    pci[:, :, 0], rsrp[:, :, 0] = 916, -97.5
    pci[:, 5:, 1], rsrp[:, 5:, 1] = 143, -101.237
    return Drives(
        begin_s=np.arange(N_WINDOWS) * 3600.0 + 1746630665,
        longitude=128.19315 + 1e-4 * steps,
        latitude=np.full(shape, 32.58329),
        speed_km_h=np.full(shape, 30.0) + steps,
        serving_pci=np.full(shape, 113),
        rsrp_dbm=-88.74 - 0.1 * steps,
        sinr_db=np.full(shape, 9.65),
        throughput_mbps=np.where(steps < 4, 465.731, 900.0) + np.arange(N_WINDOWS)[:, None],
        neighbour_pci=pci,
        neighbour_rsrp_dbm=rsrp,
        n_rb=np.full(shape, 212.13),
    )


def _cells() -> Cells:
    def rows(*values: float) -> np.ndarray:
        return np.tile(np.array(values), (N_WINDOWS, 1))

    exists = rows(1, 1, 1).astype(bool)
    exists[1, 2] = False
    return Cells(
        exists=exists,
        gnodeb_id=rows(33164, 33164, 33170).astype(int),
        cell_id=rows(1, 2, 1).astype(int),
        longitude=rows(128.194, 128.194, 128.2),
        latitude=rows(32.583, 32.583, 32.59),
        mechanical_azimuth=rows(80, 200, 10),
        mechanical_downtilt=rows(6, 4, 2),
        digital_tilt=rows(255, 9, 0),
        digital_azimuth=rows(0, -5, 10),
        beam=rows(0, 7, 12).astype(int),
        height_m=rows(25, 25, 31.5),
        pci=rows(113, 916, 143).astype(int),
        txrx=rows(0, 0, 1).astype(int),
        max_power_dbm=rows(34.9, 34.9, 37),
        antenna=rows(0, 0, 1).astype(int),
    )


@pytest.fixture(scope="session")
def windows() -> Windows:
    """Four windows of one drive; the second one has only two of the three cells."""
    return Windows(_drives(), _cells(), cause=np.array([0, 3, 6, 7]), cluster=np.zeros(N_WINDOWS, dtype=int))
