"""What the telecom lab's modules hand to one another: drive-test windows with the cells around them, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

CAUSES = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8")
N_SAMPLES = 10
N_NEIGHBOURS = 5
# The digital tilt that stands for "as the antenna was built", which is 6 degrees.
DEFAULT_TILT = 255


@dataclass(frozen=True)
class Cells:
    """The engineering parameters around n windows, c cells each, padded: `exists` (n, c) says which are there.

    All are (n, c). Positions in degrees (WGS 84), azimuths in degrees clockwise from north, tilts in degrees below the
    horizon (`digital_tilt` may be DEFAULT_TILT), heights in metres, power in dBm. `beam` is k for SCENARIO_k and 0 for
    Default. `txrx` and `antenna` are places in the lists of names that the text form writes.
    """

    exists: BoolArray
    gnodeb_id: IntArray
    cell_id: IntArray
    longitude: FloatArray
    latitude: FloatArray
    mechanical_azimuth: FloatArray
    mechanical_downtilt: FloatArray
    digital_tilt: FloatArray
    digital_azimuth: FloatArray
    beam: IntArray
    height_m: FloatArray
    pci: IntArray
    txrx: IntArray
    max_power_dbm: FloatArray
    antenna: IntArray


@dataclass(frozen=True)
class Drives:
    """The drive-test samples of n windows, N_SAMPLES each, 1 s apart.

    (n, N_SAMPLES) unless said: `begin_s` (n,) is the first sample's time in Unix seconds; position in degrees; speed in
    km/h; RSRP in dBm, SINR in dB, downlink throughput in Mbit/s, `n_rb` scheduled resource blocks. `neighbour_pci` and
    `neighbour_rsrp_dbm` (n, N_SAMPLES, N_NEIGHBOURS), strongest first: -1 and NaN where there is none.
    """

    begin_s: FloatArray
    longitude: FloatArray
    latitude: FloatArray
    speed_km_h: FloatArray
    serving_pci: IntArray
    rsrp_dbm: FloatArray
    sinr_db: FloatArray
    throughput_mbps: FloatArray
    neighbour_pci: IntArray
    neighbour_rsrp_dbm: FloatArray
    n_rb: FloatArray


@dataclass(frozen=True)
class Windows:
    """n windows: samples, cells, `cause` (n,) as a place in CAUSES, `cluster` (n,) int64: those of one drive share one."""

    drives: Drives
    cells: Cells
    cause: IntArray
    cluster: IntArray

    def __len__(self) -> int:
        return len(self.cause)
