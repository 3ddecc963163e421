"""Windows in the published text form of TeleLogs questions (arXiv 2507.21974): question, options, and two tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from metier.labs.telecom.parts import CAUSES, N_NEIGHBOURS, Cells, Drives, FloatArray, IntArray, Windows

# What the cells' `txrx` and `antenna` are places in.
TXRX_MODES = ("32T32R", "64T64R", "8T8R", "4T4R")
ANTENNAS = ("NR AAU 1", "NR AAU 2", "NR AAU 3", "NR AAU 4")

OPTIONS = {
    "C1": "The serving cell's downtilt angle is too large, causing weak coverage at the far end.",
    "C2": "The serving cell's coverage distance exceeds 1km, resulting in over-shooting.",
    "C3": "A neighboring cell provides higher throughput.",
    "C4": "Non-colocated co-frequency neighboring cells cause severe overlapping coverage.",
    "C5": "Frequent handovers degrade performance.",
    "C6": "Neighbor cell and serving cell have the same PCI mod 30, leading to interference.",
    "C7": "Test vehicle speed exceeds 40km/h, impacting user throughput.",
    "C8": "Average scheduled RBs are below 160, affecting throughput.",
}

_TOP = "Measurement PCell Neighbor Cell Top Set(Cell Level) Top"
DRIVE_COLUMNS = (
    "Timestamp",
    "Longitude",
    "Latitude",
    "GPS Speed (km/h)",
    "5G KPI PCell RF Serving PCI",
    "5G KPI PCell RF Serving SS-RSRP [dBm]",
    "5G KPI PCell RF Serving SS-SINR [dB]",
    "5G KPI PCell Layer2 MAC DL Throughput [Mbps]",
    *(f"{_TOP} {place} PCI" for place in range(1, N_NEIGHBOURS + 1)),
    *(f"{_TOP} {place} Filtered Tx BRSRP [dBm]" for place in range(1, N_NEIGHBOURS + 1)),
    "5G KPI PCell Layer1 DL RB Num (Including 0)",
)
CELL_COLUMNS = (
    "gNodeB ID",
    "Cell ID",
    "Longitude",
    "Latitude",
    "Mechanical Azimuth",
    "Mechanical Downtilt",
    "Digital Tilt",
    "Digital Azimuth",
    "Beam Scenario",
    "Height",
    "PCI",
    "TxRx Mode",
    "Max Transmit Power",
    "Antenna Model",
)

_QUESTION = """\
Analyze the 5G wireless network drive-test user plane data and engineering parameters.
Identify the reason for the throughput dropping below 600Mbps in certain road sections.
From the following {n_options} potential root causes, select the most likely one and enclose its number in \
\\boxed{{{{}}}} in the final answer.
{options}

Given:
- The default electronic downtilt value is 255, representing a downtilt angle of 6 degrees. Other values represent the \
actual downtilt angle in degrees.

Beam Scenario  and Vertical Beamwidth Relationships:
- When the cell's Beam Scenario is set to Default or SCENARIO_1 to SCENARIO_5, the vertical beamwidth is 6 degrees.
- When the cell's Beam Scenario is set to SCENARIO_6 to SCENARIO_11, the vertical beamwidth is 12 degrees.
- When the cell's Beam Scenario is set to SCENARIO_12 or above, the vertical beamwidth is 25 degrees.

{tables}
"""
# The wording, its spelling and its full-width colons are the published ones.
_DRIVE_TITLE = "User plane drive test data as follows："
_CELL_TITLE = "Engeneering parameters data as follows："


def standard(windows: Windows) -> list[str]:
    """The published question of every window; its options are C1 to C8 in their order."""
    options = tuple(OPTIONS.items())
    drives, cells = drive_tables(windows.drives), cell_tables(windows.cells)
    return [question(options, drive, cell) for drive, cell in zip(drives, cells, strict=True)]


def answers(windows: Windows) -> list[str]:
    """The true cause of every window, as the standard question calls it ("C1" to "C8")."""
    return [CAUSES[place] for place in windows.cause]


def question(
    options: Sequence[tuple[str, str]], drive: Sequence[str], cells: Sequence[str], *, cells_first: bool = False
) -> str:
    """One question from its options (label, text) and the rows of its two tables, without their headers."""
    tables = ["\n".join((_DRIVE_TITLE, "", "|".join(DRIVE_COLUMNS), *drive))]
    tables.insert(0 if cells_first else 1, "\n".join((_CELL_TITLE, "", "|".join(CELL_COLUMNS), *cells)))
    listed = "\n".join(f"{label}: {text}" for label, text in options)
    return _QUESTION.format(n_options=len(options), options=listed, tables="\n\n".join(tables))


def drive_tables(drives: Drives) -> list[list[str]]:
    """The rows of every window's drive test, one string a sample, without the header."""
    columns = (
        _decimals(drives.longitude, 5),
        _decimals(drives.latitude, 5),
        _whole(drives.speed_km_h),
        _whole(drives.serving_pci),
        _decimals(drives.rsrp_dbm, 2),
        _decimals(drives.sinr_db, 2),
        _decimals(drives.throughput_mbps, 2),
        *(_neighbours(drives.neighbour_pci[:, :, place]) for place in range(N_NEIGHBOURS)),
        *(_decimals(drives.neighbour_rsrp_dbm[:, :, place], 2) for place in range(N_NEIGHBOURS)),
        _decimals(drives.n_rb, 2),
    )
    times = [_times(float(begin), drives.longitude.shape[1]) for begin in drives.begin_s]
    windows = zip(times, *columns, strict=True)
    return [["|".join(row) for row in zip(*window, strict=True)] for window in windows]


def cell_tables(cells: Cells) -> list[list[str]]:
    """The rows of every window's engineering parameters, one string a cell, without the header."""
    columns = (
        [[f"{value:07d}" for value in row] for row in cells.gnodeb_id.tolist()],
        _whole(cells.cell_id),
        _decimals(cells.longitude, 3),
        _decimals(cells.latitude, 3),
        _whole(cells.mechanical_azimuth),
        _whole(cells.mechanical_downtilt),
        _whole(cells.digital_tilt),
        _whole(cells.digital_azimuth),
        [[f"SCENARIO_{beam}" if beam else "DEFAULT" for beam in row] for row in cells.beam.tolist()],
        _decimals(cells.height_m, 1),
        _whole(cells.pci),
        [[TXRX_MODES[place] for place in row] for row in cells.txrx.tolist()],
        _decimals(cells.max_power_dbm, 1),
        [[ANTENNAS[place] for place in row] for row in cells.antenna.tolist()],
    )
    windows = zip(cells.exists.tolist(), *columns, strict=True)
    return [
        ["|".join(row) for there, *row in zip(exists, *window, strict=True) if there] for exists, *window in windows
    ]


def _times(begin_s: float, n_samples: int) -> list[str]:
    begin = datetime.fromtimestamp(begin_s, UTC)
    return [(begin + timedelta(seconds=place)).strftime("%Y-%m-%d %H:%M:%S.%f") for place in range(n_samples)]


def _decimals(values: FloatArray, n: int) -> list[list[str]]:
    """At most n decimals without trailing zeros but the first (9.5, 25.0), as published; `-` for NaN."""
    # Adding 0 turns -0.0 into 0.0.
    rounded = (np.round(values, n) + 0.0).tolist()
    return [["-" if value != value else repr(value) for value in row] for row in rounded]


def _whole(values: FloatArray | IntArray) -> list[list[str]]:
    # Places where no cell exists may hold NaN, which no integer can; their rows are not written.
    return [[str(value) for value in row] for row in np.rint(np.nan_to_num(values)).astype(np.int64).tolist()]


def _neighbours(pci: IntArray) -> list[list[str]]:
    return [["-" if value < 0 else str(value) for value in row] for row in pci.tolist()]
