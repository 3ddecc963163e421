"""The columns of the two tables: their published names, short names they also go by, and the values they may hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Kind = Literal["drive", "cells"]
N_NEIGHBOURS = 5
TITLES: dict[Kind, str] = {"drive": "drive-test", "cells": "engineering"}


@dataclass(frozen=True)
class Column:
    """One column: `key` is ours, `names` are the published one and shorter ones, without unit.

    `low` and `high` bound what a number may be, None for text. `needed`: a table without the column cannot be read.
    """

    key: str
    names: tuple[str, ...]
    unit: str = ""
    low: float | None = None
    high: float | None = None
    needed: bool = False
    whole: bool = False


_TOP = "Measurement PCell Neighbor Cell Top Set(Cell Level) Top"
MAX_PCI = 1007.0  # 3GPP TS 38.211, 7.4.2.1: 1008 physical-layer cell identities.

DRIVE: tuple[Column, ...] = (
    Column("time", ("Timestamp", "Time")),
    Column("longitude", ("Longitude",), "", -180, 180, needed=True),
    Column("latitude", ("Latitude",), "", -90, 90, needed=True),
    Column("speed_km_h", ("GPS Speed", "Speed"), "km/h", 0, 1000, needed=True),
    Column("pci", ("5G KPI PCell RF Serving PCI", "Serving PCI"), "", 0, MAX_PCI, needed=True, whole=True),
    Column("rsrp_dbm", ("5G KPI PCell RF Serving SS-RSRP", "Serving SS-RSRP", "SS-RSRP"), "dBm", -250, 50, needed=True),
    Column("sinr_db", ("5G KPI PCell RF Serving SS-SINR", "Serving SS-SINR", "SS-SINR"), "dB", -100, 100),
    Column(
        "throughput_mbps",
        ("5G KPI PCell Layer2 MAC DL Throughput", "MAC DL Throughput", "DL Throughput"),
        "Mbps",
        0,
        100_000,
        needed=True,
    ),
    *(
        Column(f"pci_{place}", (f"{_TOP} {place} PCI", f"Top {place} PCI"), "", 0, MAX_PCI, whole=True)
        for place in range(1, N_NEIGHBOURS + 1)
    ),
    *(
        Column(
            f"rsrp_{place}",
            (f"{_TOP} {place} Filtered Tx BRSRP", f"Top {place} Filtered Tx BRSRP", f"Top {place} BRSRP"),
            "dBm",
            -250,
            50,
        )
        for place in range(1, N_NEIGHBOURS + 1)
    ),
    Column("n_rb", ("5G KPI PCell Layer1 DL RB Num (Including 0)", "DL RB Num", "RB Num"), "", 0, 10_000, needed=True),
)

CELLS: tuple[Column, ...] = (
    Column("gnodeb", ("gNodeB ID",)),
    Column("cell", ("Cell ID",)),
    Column("longitude", ("Longitude",), "", -180, 180, needed=True),
    Column("latitude", ("Latitude",), "", -90, 90, needed=True),
    Column("azimuth", ("Mechanical Azimuth",), "", -360, 360, needed=True),
    Column("downtilt", ("Mechanical Downtilt",), "", -90, 90, needed=True),
    Column("digital_tilt", ("Digital Tilt",), "", -90, 255, needed=True),
    Column("digital_azimuth", ("Digital Azimuth",), "", -360, 360),
    Column("beam", ("Beam Scenario",), needed=True),
    Column("height_m", ("Height",), "", 0, 5000, needed=True),
    Column("pci", ("PCI",), "", 0, MAX_PCI, needed=True, whole=True),
    Column("txrx", ("TxRx Mode",)),
    Column("power", ("Max Transmit Power",)),
    Column("antenna", ("Antenna Model",)),
)

COLUMNS: dict[Kind, tuple[Column, ...]] = {"drive": DRIVE, "cells": CELLS}


@lru_cache(maxsize=1024)
def normalised(name: str) -> str:
    """A column's name without its unit, case, spaces and signs. Any other unit than ours stays, and so does not match."""
    unit = re.compile(r"[\[(（]\s*(km/h|kmh|dbm|db|mbps|mbit/s|°|deg|degrees|m)\s*[\])）]\s*$", re.IGNORECASE)
    return re.sub(r"[^a-z0-9/]", "", unit.sub("", name.strip()).lower()).replace("neighbour", "neighbor")


def places(kind: Kind, header: tuple[str, ...]) -> list[int | None]:
    """For each name of a header the column of COLUMNS that it is, None where it is none of them.

    A name that is not known is taken for the published column at its place where the header is as wide as the published
    one, all known names stand at their published places, and the two share a word and contradict each other in none.
    """
    found = [_KNOWN[kind].get(normalised(name), _neighbor(kind, name)) for name in header]
    columns = COLUMNS[kind]
    if len(header) != len(columns) or any(place not in (None, at) for at, place in enumerate(found)):
        return found
    return [
        at if place is None and _alike(name, column) else place
        for at, (place, name, column) in enumerate(zip(found, header, columns, strict=True))
    ]


_NEIGHBOR = re.compile(r"(?:top|neighbor|neighborcell|ncell)([1-5])[a-z]*?(pci|rsrp)")


def _neighbor(kind: Kind, name: str) -> int | None:
    """The column of a neighbour's PCI or RSRP, by its number."""
    said = _NEIGHBOR.search(normalised(name)) if kind == "drive" else None
    if said is None or not normalised(name).endswith(said[2]):
        return None
    key = f"{said[2]}_{said[1]}"
    return next(place for place, column in enumerate(DRIVE) if column.key == key)


# Words of names that say nothing of the quantity, and those of quantities and units that are not ours.
_COMMON = frozenset(
    re.findall(r"\w+", "kpi pcell cell top set level layer1 layer2 dl rf ss serving measurement num including")
)
_OTHER = frozenset(re.findall(r"\S+", "ul uplink gbps kbps bps m/s mph knots mw ft feet rad mcs cqi rsrq rssi bler"))
_WORD = re.compile(r"[a-z][a-z0-9/]+")
_NUMBER = re.compile(r"\d+")


def _alike(name: str, column: Column) -> bool:
    """Whether two names share a word that says something; not so where one counts in other units (0.1 degrees) or of
    another quantity."""
    said, own = (set(_WORD.findall(one.lower())) for one in (name, column.names[0]))
    if said & _OTHER or not set(_NUMBER.findall(name)) <= set(_NUMBER.findall(column.names[0])):
        return False
    return any(a in b or b in a for a in said - _COMMON for b in own - _COMMON)


def _names(columns: tuple[Column, ...]) -> dict[str, int]:
    return {normalised(name): place for place, column in enumerate(columns) for name in column.names}


_KNOWN: dict[Kind, dict[str, int]] = {"drive": _names(DRIVE), "cells": _names(CELLS)}
