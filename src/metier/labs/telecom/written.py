"""Windows that are written, not simulated: a drive is made up, and one cause is put into its rows as its option says it.

Nothing ties the columns together here but the option's own sentence, and whatever the sentence leaves open (magnitudes,
which rows, how many neighbours are listed, whether level or SINR tell anything) is drawn anew for each window, as
widely as it may be. Beside simulated windows these keep a specialist from leaning on physics that other drives need not
show.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.labs.telecom.geometry import to_degrees
from metier.labs.telecom.network import N_CELLS as MAX_CELLS
from metier.labs.telecom.parts import CAUSES, DEFAULT_TILT, N_NEIGHBOURS, N_SAMPLES, Cells, Drives, Windows
from metier.labs.telecom.sheet import ROWS, Sheet, ordinary
from metier.labs.telecom.written_causes import write

FloatArray = npt.NDArray[np.float64]

BUILT_IN_DEG = 6


def written(n: int, seed: int) -> Windows:
    """n windows, the causes in turn, each a cluster of its own. The same arguments give the same windows.

    Raises ValueError where n is not 1 or more.
    """
    if n < 1:
        raise ValueError(f"n = {n} must be 1 or more")
    rng = np.random.default_rng(seed)
    causes = rng.permutation(np.arange(n) % len(CAUSES))
    parts = []
    for cause in causes.tolist():
        sheet = ordinary(rng)
        write(sheet, CAUSES[cause])
        where = rng.uniform(-120.0, 140.0), rng.uniform(-40.0, 55.0)
        parts.append((_drive(sheet, where), _table(sheet, where)))
    return Windows(
        Drives(**{one.name: np.stack([drive[one.name] for drive, _ in parts]) for one in fields(Drives)}),
        # Tables of unequal length are padded, as the simulator's are.
        Cells(
            **{
                one.name: np.stack([np.pad(t[one.name], (0, MAX_CELLS - len(t[one.name]))) for _, t in parts])
                for one in fields(Cells)
            }
        ),
        causes.astype(np.int64),
        np.arange(n, dtype=np.int64),
    )


def _drive(sheet: Sheet, where: tuple[float, float]) -> dict[str, Any]:
    rng = sheet.rng
    level = sheet.level_dbm.copy()
    own = level[ROWS, sheet.serving]
    level[ROWS, sheet.serving] = np.nan
    unwritten = np.array([cell not in sheet.used for cell in range(level.shape[1])])
    level[:, unwritten] = np.where(rng.random((N_SAMPLES, int(unwritten.sum()))) < 0.15, np.nan, level[:, unwritten])
    order = np.argsort(np.where(np.isnan(level), np.inf, -level), axis=1)[:, :N_NEIGHBOURS]
    top = np.take_along_axis(level, order, axis=1)
    heading = rng.uniform(0.0, 2.0 * np.pi)
    along = np.cumsum(sheet.speed_km_h) / 3.6
    along -= along[N_SAMPLES // 2]
    longitude, latitude = _degrees(np.stack([along * np.sin(heading), along * np.cos(heading)], axis=1), where)
    good, bad = rng.uniform(615.0, 1300.0), rng.uniform(20.0, 560.0)
    spread = rng.uniform(5.0, 80.0)
    mbps = np.where(
        sheet.low,
        np.clip(bad + spread * rng.normal(0.0, 1.0, N_SAMPLES), 0.5, 599.0),
        np.maximum(good + spread * rng.normal(0.0, 1.0, N_SAMPLES), 601.0),
    )
    return {
        "begin_s": float(1.70e9 + rng.integers(0, 8 * 10**7)),
        "longitude": longitude,
        "latitude": latitude,
        "speed_km_h": np.rint(sheet.speed_km_h),
        "serving_pci": sheet.pci[sheet.serving],
        "rsrp_dbm": own,
        "sinr_db": np.clip(sheet.sinr_db, -20.0, 35.0),
        "throughput_mbps": mbps,
        "neighbour_pci": _wide(np.where(np.isnan(top), -1, sheet.pci[order]), -1),
        "neighbour_rsrp_dbm": _wide(top, np.nan),
        "n_rb": sheet.n_rb,
    }


def _table(sheet: Sheet, where: tuple[float, float]) -> dict[str, Any]:
    rng = sheet.rng
    n_cells = len(sheet.site)
    kept = np.isin(np.arange(n_cells), [*sheet.serving, *sheet.used]) | (rng.random(n_cells) > rng.uniform(0.0, 0.5))
    there = rng.permutation(np.flatnonzero(kept))
    built_in = (rng.random() < 0.6) & (sheet.tilt >= BUILT_IN_DEG)
    digital = np.where(built_in, BUILT_IN_DEG, rng.integers(0, np.minimum(sheet.tilt, 15) + 1))
    longitude, latitude = _degrees(sheet.place_m, where)
    table = {
        "gnodeb_id": int(rng.integers(1_000, 9_000_000)) + sheet.site * int(rng.integers(1, 50)),
        "cell_id": np.arange(n_cells) - np.searchsorted(sheet.site, sheet.site) + 1,
        "longitude": longitude[sheet.site],
        "latitude": latitude[sheet.site],
        "mechanical_azimuth": sheet.azimuth,
        "mechanical_downtilt": (sheet.tilt - digital).astype(float),
        "digital_tilt": np.where(built_in, DEFAULT_TILT, digital).astype(float),
        "digital_azimuth": np.zeros(n_cells),
        "beam": sheet.beam,
        "height_m": sheet.height_m[sheet.site],
        "pci": sheet.pci,
        "txrx": np.full(n_cells, rng.integers(0, 3)),
        "max_power_dbm": np.full(n_cells, round(rng.uniform(20.0, 53.0), 1)),
        "antenna": rng.integers(0, 4, n_cells),
    }
    return {"exists": np.ones(len(there), dtype=bool), **{name: values[there] for name, values in table.items()}}


def _degrees(metres: FloatArray, where: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    longitude, latitude = (np.full(len(metres), one) for one in where)
    east, north = to_degrees(metres[:, 0], metres[:, 1], longitude, latitude)
    return east.astype(np.float64), north.astype(np.float64)


def _wide(values: npt.NDArray[Any], by: float) -> npt.NDArray[Any]:
    return np.pad(values, ((0, 0), (0, N_NEIGHBOURS - values.shape[1])), constant_values=by)
