"""A question written out by hand, as the paper publishes them, whose every number a test can check."""

from __future__ import annotations

import pytest

_HEAD = """\
Analyze the 5G wireless network drive-test user plane data and engineering parameters.
Identify the reason for the throughput dropping below 600Mbps in certain road sections.
From the following 8 potential root causes, select the most likely one and enclose its number in \\boxed{{}}.
C1: The serving cell's downtilt angle is too large, causing weak coverage at the far end.
C2: The serving cell's coverage distance exceeds 1km, resulting in over-shooting.
C3: A neighboring cell provides higher throughput.
C4: Non-colocated co-frequency neighboring cells cause severe overlapping coverage.
C5: Frequent handovers degrade performance.
C6: Neighbor cell and serving cell have the same PCI mod 30, leading to interference.
C7: Test vehicle speed exceeds 40km/h, impacting user throughput.
C8: Average scheduled RBs are below 160, affecting throughput.

Given:
- The default electronic downtilt value is 255, representing a downtilt angle of 6 degrees.
- When the cell's Beam Scenario is set to SCENARIO_12 or above, the vertical beamwidth is 25 degrees.
"""
_TOP = "Measurement PCell Neighbor Cell Top Set(Cell Level) Top"
DRIVE_HEADER = "|".join(
    [
        "Timestamp|Longitude|Latitude|GPS Speed (km/h)|5G KPI PCell RF Serving PCI",
        "5G KPI PCell RF Serving SS-RSRP [dBm]|5G KPI PCell RF Serving SS-SINR [dB]",
        "5G KPI PCell Layer2 MAC DL Throughput [Mbps]",
        *(f"{_TOP} {place} PCI" for place in range(1, 6)),
        *(f"{_TOP} {place} Filtered Tx BRSRP [dBm]" for place in range(1, 6)),
        "5G KPI PCell Layer1 DL RB Num (Including 0)",
    ]
)
CELL_HEADER = (
    "gNodeB ID|Cell ID|Longitude|Latitude|Mechanical Azimuth|Mechanical Downtilt|Digital Tilt|Digital Azimuth"
    "|Beam Scenario|Height|PCI|TxRx Mode|Max Transmit Power|Antenna Model"
)
# On the equator 0.01 degrees of longitude are 1111.95 m. The vehicle drives away from a mast at 0, 0 and is handed over
# to PCI 143, which is elsewhere, and back; 133 is PCI 103's equal modulo 30, 104 stands on the same mast.
DRIVE_ROWS = """\
2025-05-07 15:11:05.000000|0.01|0.0|30|103|-88.0|10.0|900.0|104|143|-|-|-|-92.0|-95.0|-|-|-|200.0
2025-05-07 15:11:06.000000|0.01|0.0|30|103|-88.0|10.0|800.0|104|143|-|-|-|-92.0|-95.0|-|-|-|200.0
2025-05-07 15:11:07.000000|0.01|0.0|50|103|-90.0|0.0|400.0|133|143|104|-|-|-88.0|-92.0|-95.0|-|-|100.0
2025-05-07 15:11:08.000000|0.01|0.0|50|143|-90.0|0.0|300.0|103|133|-|-|-|-92.0|-92.5|-|-|-|100.0
2025-05-07 15:11:09.000000|0.01|0.0|30|103|-88.0|10.0|900.0|104|143|-|-|-|-92.0|-95.0|-|-|-|200.0"""
CELL_ROWS = """\
0033164|1|0.0|0.0|80|6|255|0|DEFAULT|31.5|103|32T32R|34.9|NR AAU 1
0033164|2|0.0|0.0|200|4|9|-5|SCENARIO_7|31.5|104|32T32R|34.9|NR AAU 1
0033170|1|0.02|0.0|270|2|0|0|SCENARIO_12|21.5|143|64T64R|34.9|NR AAU 2"""


@pytest.fixture(scope="session")
def head() -> str:
    """The question and its options, without tables."""
    return _HEAD


@pytest.fixture(scope="session")
def drive_table() -> str:
    """Header and five rows; three stand above 600 Mbit/s, two below."""
    return f"{DRIVE_HEADER}\n{DRIVE_ROWS}"


@pytest.fixture(scope="session")
def cell_table() -> str:
    """Header and three rows."""
    return f"{CELL_HEADER}\n{CELL_ROWS}"


@pytest.fixture(scope="session")
def question(head: str, drive_table: str, cell_table: str) -> str:
    """The whole question."""
    tables = f"User plane drive test data as follows：\n\n{drive_table}\n\nEngeneering parameters data as follows：\n\n"
    return f"{head}\n{tables}{cell_table}\n"
