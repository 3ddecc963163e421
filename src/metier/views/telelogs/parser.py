"""From a question's text to a scene: the drive's samples and the cells around it as arrays, and the question's options."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np
import numpy.typing as npt

from metier.errors import Unreadable
from metier.views.base import FloatArray
from metier.views.telelogs.choices import find_choices
from metier.views.telelogs.columns import COLUMNS, N_NEIGHBOURS, Column, Kind
from metier.views.telelogs.tables import Table, find_tables, quoted

BoolArray = npt.NDArray[np.bool_]

DEFAULT_TILT = 255.0
DEFAULT_TILT_DEG = 6.0
MAX_TILT_DEG = 90.0
_BLANK = frozenset(
    ["-", "", "--", "\u2013", "\u2014", "NaN", "nan", "NA", "N/A", "n/a", "null", "NULL", "None", "none"]
)
_BEAM = re.compile(r"scenario[\s_-]*(\d{1,3})", re.IGNORECASE)


@dataclass(frozen=True)
class Drive:
    """n samples in the order of time: all (n,), the neighbours (n, 5); NaN where nothing was measured.

    Degrees (WGS 84), km/h, dBm, dB, Mbit/s, resource blocks. A neighbour without a PCI has no RSRP either.
    """

    longitude: FloatArray
    latitude: FloatArray
    speed_km_h: FloatArray
    pci: FloatArray
    rsrp_dbm: FloatArray
    sinr_db: FloatArray
    throughput_mbps: FloatArray
    n_rb: FloatArray
    neighbour_pci: FloatArray
    neighbour_rsrp_dbm: FloatArray


@dataclass(frozen=True)
class Cells:
    """m cells, all (m,): position in degrees (WGS 84), azimuth in degrees clockwise from north (mechanical + digital),
    total downtilt in degrees below the horizon (mechanical + digital, 255 standing for 6), vertical beamwidth in
    degrees, height in metres. `site` is the same number for cells of one gNodeB ID, -1 where it is not given."""

    site: FloatArray
    longitude: FloatArray
    latitude: FloatArray
    azimuth_deg: FloatArray
    tilt_deg: FloatArray
    beamwidth_deg: FloatArray
    height_m: FloatArray
    pci: FloatArray


@dataclass(frozen=True)
class Scene:
    """What a question shows; `choices` maps each class its options offer to their label, None without options."""

    drive: Drive
    cells: Cells
    choices: Mapping[str, str] | None


def parse(text: str) -> Scene:
    """Read a question. Raises Unreadable naming the line and what was found there; never guesses."""
    found = find_tables(text)
    drive = _drive(_once(_ordered(found.drive)))
    cells = _cells(_once(found.cells), frozenset(drive.pci[~np.isnan(drive.pci)].tolist()))
    return Scene(drive, cells, find_choices(found.prose))


def _ordered(table: Table) -> Table:
    """The samples in the order of their times, where all have one of the same form."""
    times = table.column(0)
    if times is None or len({len(time) for time in times}) != 1 or times == sorted(times):
        return table
    order = sorted(range(len(times)), key=times.__getitem__)
    return Table(table.layout, [table.rows[place] for place in order], [table.lines[place] for place in order])


def _once(table: Table) -> Table:
    """The table without rows that stand there twice. Rows that share a time or a cell's names but differ are rows of their
    own: two samples in a second, two antennas of a cell."""
    seen: set[tuple[str, ...]] = set()
    kept = Table(table.layout)
    for row, line in zip(table.rows, table.lines, strict=True):
        if (key := tuple(row)) not in seen:
            seen.add(key)
            kept.rows.append(row)
            kept.lines.append(line)
    return kept


def _drive(table: Table) -> Drive:
    if len(table.rows) < 2:
        raise Unreadable(f"{len(table.rows)} drive-test rows; a window needs at least 2")
    values = _numbers(table, "drive")
    if np.isnan(values["pci"]).all():
        raise Unreadable(f"line {table.lines[0]}: no drive-test row names a serving cell (PCI)")
    if np.isnan(values["throughput_mbps"]).all():
        raise Unreadable(f"line {table.lines[0]}: no drive-test row has a throughput")
    places = range(1, N_NEIGHBOURS + 1)
    pci = np.stack([values[f"pci_{place}"] for place in places], axis=1)
    rsrp = np.stack([values[f"rsrp_{place}"] for place in places], axis=1)
    rsrp[np.isnan(pci)] = np.nan
    own = ("longitude", "latitude", "speed_km_h", "pci", "rsrp_dbm", "sinr_db", "throughput_mbps", "n_rb")
    return Drive(**{key: values[key] for key in own}, neighbour_pci=pci, neighbour_rsrp_dbm=rsrp)


def _cells(table: Table, serving: frozenset[float]) -> Cells:
    """The cells. What an odd value of a cell that never serves would have said is NaN; of a serving one it is refused."""
    if not table.rows:
        raise Unreadable("no engineering row: rows of 14 columns parted by |, or a header that names the columns")
    values = _numbers(table, "cells")
    digital = values["digital_tilt"]
    digital = np.where(digital == DEFAULT_TILT, DEFAULT_TILT_DEG, digital)
    serves = np.isin(values["pci"], list(serving))
    odd = digital > MAX_TILT_DEG
    if (odd & serves).any():
        row = int((odd & serves).argmax())
        raise Unreadable(f"line {table.lines[row]}: Digital Tilt is {digital[row]:g}, no angle, nor the default 255")
    digital = np.where(odd, np.nan, digital)
    turned = values["digital_azimuth"]
    # As for the tilt, 255 is no angle that a beam can be turned by; a missing digital azimuth is none.
    turned = np.where(np.isnan(turned) | (turned == DEFAULT_TILT), 0.0, turned)
    beams = table.column(8) or []
    widths = [_beamwidth_deg(*row) for row in zip(beams, table.lines, serves.tolist(), strict=True)]
    return Cells(
        site=_sites(table),
        longitude=values["longitude"],
        latitude=values["latitude"],
        azimuth_deg=(values["azimuth"] + turned) % 360,
        tilt_deg=values["downtilt"] + digital,
        beamwidth_deg=np.array(widths),
        height_m=values["height_m"],
        pci=values["pci"],
    )


def _sites(table: Table) -> FloatArray:
    names = table.column(0) or ["-"] * len(table.rows)
    numbers: dict[str, int] = {}
    return np.array([-1.0 if name in _BLANK else numbers.setdefault(name, len(numbers)) for name in names])


def _beamwidth_deg(beam: str, line: int, serves: bool) -> float:
    """The vertical beamwidth that the question's own "Given" lines state for a beam scenario; NaN where none is given, and
    for one they do not know, on a cell that never serves."""
    width = _width_of(beam)
    if width is None and (not serves or beam in _BLANK):
        return math.nan
    if width is None:
        raise Unreadable(f"line {line}: beam scenario {quoted(beam)}; known are Default and SCENARIO_1 and up")
    return width


@lru_cache(maxsize=256)
def _width_of(beam: str) -> float | None:
    if beam.lower() in ("default", "scenario_default"):
        return 6.0
    scenario = _BEAM.fullmatch(beam)
    if scenario is None or not int(scenario[1]):
        return None
    number = int(scenario[1])
    return 6.0 if number <= 5 else 12.0 if number <= 11 else 25.0


def _numbers(table: Table, kind: Kind) -> dict[str, FloatArray]:
    """Every column of numbers by its key, (n_rows,) each, NaN for blanks and for columns that are not there."""
    columns = [(place, column) for place, column in enumerate(COLUMNS[kind]) if column.low is not None]
    texts = [table.column(place) for place, _ in columns]
    try:
        rows = [[math.nan if c in _BLANK else float(c) for c in cells] if cells else None for cells in texts]
        values = np.array([[math.nan] * len(table.rows) if row is None else row for row in rows])
    except ValueError:
        values = np.empty((0, 0))
    if values.size == 0 or not _allowed(values, kind) or "_" in "".join(chain.from_iterable(filter(None, texts))):
        _refuse(table, [column for _, column in columns], texts)
    return {column.key: row for (_, column), row in zip(columns, values, strict=True)}


def _allowed(values: FloatArray, kind: Kind) -> bool:
    low, high, broken = _BOUNDS[kind]
    within = (values >= low) & (values <= high) & (broken | (values == np.floor(values)))
    return bool((within | np.isnan(values)).all())


def _bounds(kind: Kind) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Least and largest value, and whether fractions are allowed: a column of each, a row a column of numbers."""
    columns = [column for column in COLUMNS[kind] if column.low is not None]
    low, high = (np.array([getattr(column, side) for column in columns], dtype=float) for side in ("low", "high"))
    broken = np.array([not column.whole for column in columns])
    return low[:, None], high[:, None], broken[:, None]


_BOUNDS = {kind: _bounds(kind) for kind in COLUMNS}


def _refuse(table: Table, columns: Sequence[Column], texts: Sequence[list[str] | None]) -> None:
    """Raise Unreadable for the first cell that no number of its column can be."""
    for row, line in enumerate(table.lines):
        for column, cells in zip(columns, texts, strict=True):
            wrong = _wrong(column, cells[row]) if cells is not None else None
            if wrong:
                raise Unreadable(f"line {line}: {column.names[0]} is {quoted(cells[row] if cells else '')}, {wrong}")


def _wrong(column: Column, cell: str) -> str | None:
    if cell in _BLANK:
        return None
    try:
        value = float(cell)
    except ValueError:
        return "which is no number"
    if "_" in cell or not math.isfinite(value):
        return "which is no number"
    if column.low is not None and column.high is not None and not column.low <= value <= column.high:
        return f"which is not between {column.low:g} and {column.high:g}"
    return "which is no whole number" if column.whole and value != math.floor(value) else None
