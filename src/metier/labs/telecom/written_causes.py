"""The eight causes as their options say them, put into the rows of a made-up drive, and what may stand beside them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metier.labs.telecom.antenna import vertical_width
from metier.labs.telecom.causes import same_residue
from metier.labs.telecom.geometry import depression
from metier.labs.telecom.parts import N_SAMPLES
from metier.labs.telecom.sheet import ROWS, BoolArray, Sheet

# Total downtilt that the tables can hold.
MAX_TILT_DEG = 40


def write(sheet: Sheet, cause: str) -> None:
    """Put one cause into a sheet, with others below their thresholds beside it."""
    beside = [mild for name, mild in _BESIDE if cause not in name]
    for place in sheet.rng.permutation(len(beside))[: sheet.rng.integers(0, 3)]:
        beside[place](sheet)
    _WRITE[cause](sheet)
    if cause in "C1 C2 C3 C4 C5 C6":
        _spoil(sheet)
    if cause not in "C7" and sheet.chance(0.2):
        _passes(sheet)
    if cause not in "C8" and sheet.chance(0.2):
        _short(sheet)


def _spoil(sheet: Sheet) -> None:
    """SINR as the levels have it, worse where it is slow, or as it was."""
    kind = sheet.rng.random()
    if kind < 0.3:
        return
    if kind < 0.55:
        power = 10 ** (sheet.level_dbm / 10)
        own = power[ROWS, sheet.serving]
        others = np.nansum(power, axis=1) - own
        noise = 10 ** (sheet.between(-118.0, -100.0) / 10)
        ratio = 10 * np.log10(own / (others * sheet.between(0.1, 1.0) + noise))
        sheet.sinr_db = np.minimum(ratio, sheet.sinr_db) + sheet.ripple(1.0)
        return
    worse = sheet.between(-8.0, 10.0) + sheet.ripple(1.5)
    sheet.sinr_db = np.where(sheet.where, np.minimum(worse, sheet.sinr_db), sheet.sinr_db)


def _weaken(sheet: Sheet, low_dbm: float, high_dbm: float) -> None:
    """Bring all levels to where the first cell's is about this in the rows of the cause."""
    drop = np.where(sheet.where, sheet.level_dbm[:, 0] - sheet.between(low_dbm, high_dbm) + sheet.ripple(1.0), 0.0)
    sheet.level_dbm -= np.maximum(drop, 0.0)[:, None]


def _steep(sheet: Sheet) -> None:
    """C1: the upper edge of the first cell's beam lies below the vehicle, nearer than a kilometre; its level is weak."""
    sheet.move(0, sheet.between(200.0, 960.0))
    below = float(depression(sheet.height_m[:1], np.hypot(*sheet.place_m[0]))[0])
    beam = 0 if sheet.chance(0.5) else int(sheet.rng.integers(1, 18))
    width = float(vertical_width(np.array([beam]))[0])
    wanted = below + width / 2 + sheet.between(0.5, 14.0)
    sheet.tilt[0], sheet.beam[0] = min(max(round(wanted), 9), MAX_TILT_DEG), beam
    if sheet.chance(0.5):
        sheet.tilt[sheet.site == 0] = sheet.tilt[0]
    _weaken(sheet, -120.0, -90.0)


def _far(sheet: Sheet) -> None:
    """C2: the cell that serves is more than a kilometre away, flat or not; in some drives a near one serves elsewhere."""
    sheet.move(0, 1000.0 * sheet.between(1.06, 1.6 if sheet.chance(0.5) else 4.0))
    if sheet.chance(0.5):
        sheet.tilt[0] = sheet.rng.integers(0, 5)
    if sheet.chance(0.6):
        _weaken(sheet, -116.0, -82.0)
    if sheet.chance(0.3) and not sheet.low.all() and _n_changes(sheet.low) <= 2:
        near = sheet.other(elsewhere=True)
        sheet.move(int(sheet.site[near]), sheet.between(80.0, 700.0))
        sheet.hear(near, -sheet.between(2.0, 12.0), sheet.low)
        sheet.serve(near, ~sheet.low, sheet.between(3.0, 12.0))


def _better(sheet: Sheet) -> None:
    """C3: a neighbour is stronger where it is slow; before or afterwards it serves, and well, or it never does."""
    cell = sheet.other()
    _near(sheet, cell)
    over = sheet.between(2.0, 15.0)
    begin, length = int(sheet.rng.integers(0, N_SAMPLES - 2)), int(sheet.rng.integers(2, 9))
    how = sheet.rng.choice(["never", "after", "after", "before"])
    if how == "never":
        sheet.hear(cell, over, sheet.low)
        return
    if how == "after" and sheet.chance(0.25):
        # That it serves better is seen by what comes after it takes over, more than by its level before.
        over = sheet.between(-1.0, 3.0)
    cut = min(max(begin, 1), N_SAMPLES - 1)
    if how == "after":
        end = max(cut, 2)
        sheet.low = (end > ROWS) & (end - length <= ROWS)
        served = end <= ROWS
    else:
        sheet.low = (cut <= ROWS) & (cut + length > ROWS)
        served = cut > ROWS
    sheet.hear(cell, over, sheet.low)
    sheet.serve(cell, served, sheet.between(3.0, 14.0))


def _overlap(sheet: Sheet) -> None:
    """C4: two to four cells of other sites are about as strong as the serving one."""
    most = int((sheet.site > 0).sum()) - len([cell for cell in sheet.used if sheet.site[cell] > 0])
    for _ in range(min(int(sheet.rng.integers(2, 5)), most)):
        sheet.hear(sheet.other(elsewhere=True), sheet.between(-6.0, 3.0), sheet.where)


def _frequent(sheet: Sheet) -> None:
    """C5: the serving cell changes three times or more; what is slow lies about the changes, or all along."""
    ring = [0, *(sheet.other() for _ in range(int(sheet.rng.integers(1, 3))))]
    for cell in ring[1:]:
        _near(sheet, cell)
        sheet.hear(cell, -sheet.between(0.0, 6.0), ROWS >= 0)
    changes = np.sort(sheet.rng.choice(np.arange(1, N_SAMPLES), int(sheet.rng.integers(3, 8)), replace=False))
    turn = np.searchsorted(changes, ROWS, side="right") % len(ring)
    for place, cell in enumerate(ring[1:], 1):
        sheet.serve(cell, turn == place, sheet.between(-1.0, 4.0))
    about = np.isin(ROWS, changes) | (sheet.chance(0.5) & np.isin(ROWS + 1, changes))
    sheet.low = about if sheet.chance(0.6) else about | sheet.low


def _twin(sheet: Sheet) -> None:
    """C6: a neighbour that is heard well has the serving cell's PCI modulo 30."""
    cell = sheet.other(elsewhere=sheet.chance(0.7))
    sheet.pci[cell] = same_residue(sheet.rng, sheet.pci[:1], (1, 33))[0]
    sheet.hear(cell, sheet.between(-11.0, 2.5), sheet.where)


def _fast(sheet: Sheet) -> None:
    """C7: the vehicle is faster than 40 km/h where it is slow to load, but for a row perhaps."""
    speed = sheet.between(41.5, 60.0 if sheet.chance(0.5) else 120.0) + sheet.ripple(sheet.between(0.3, 3.0))
    most = np.maximum(speed, 40.6)
    if sheet.chance(0.2) and sheet.low.sum() > 3:
        most = np.where(np.flatnonzero(sheet.low)[0] == ROWS, sheet.between(34.0, 40.0), most)
    sheet.speed_km_h = np.where(sheet.where, most, sheet.speed_km_h)


def _starved(sheet: Sheet) -> None:
    """C8: fewer than 160 resource blocks on average: where it is slow, or over the whole window."""
    few = sheet.between(20.0, 157.0) if sheet.chance(0.4) else sheet.between(105.0, 157.0)
    blocks = np.clip(few + sheet.ripple(sheet.between(0.3, 9.0)), 1.0, 170.0)
    blocks -= max(float(blocks[sheet.low].mean()) - 158.5, 0.0)
    sheet.n_rb = np.where(sheet.where, blocks, sheet.n_rb)


_WRITE: dict[str, Callable[[Sheet], None]] = {
    "C1": _steep,
    "C2": _far,
    "C3": _better,
    "C4": _overlap,
    "C5": _frequent,
    "C6": _twin,
    "C7": _fast,
    "C8": _starved,
}


def _n_changes(rows: BoolArray) -> int:
    return int((rows[1:] != rows[:-1]).sum())


def _near(sheet: Sheet, cell: int) -> None:
    """A cell that is to serve stands within a kilometre."""
    site = int(sheet.site[cell])
    if np.hypot(*sheet.place_m[site]) > 930.0:
        sheet.move(site, sheet.between(150.0, 930.0))


def _passes(sheet: Sheet) -> None:
    """Above 40 km/h away from the slow rows, or in one of them."""
    rows = ~sheet.low if sheet.chance(0.5) else sheet.rng.choice(np.flatnonzero(sheet.low)) == ROWS
    if rows.sum() and (sheet.low.sum() > 2 or not (rows & sheet.low).any()):
        sheet.speed_km_h = np.where(rows, sheet.between(40.6, 55.0), sheet.speed_km_h)


def _short(sheet: Sheet) -> None:
    """Fewer than 160 blocks in slow rows, more on the window's average."""
    few = np.where(sheet.low, np.minimum(sheet.between(90.0, 158.0) + sheet.ripple(2.0), sheet.n_rb), sheet.n_rb)
    if few.mean() > 166.0:
        sheet.n_rb = few


def _brisk(sheet: Sheet) -> None:
    sheet.speed_km_h = np.clip(sheet.between(33.0, 39.0) + sheet.ripple(0.7), 0.0, 39.4)


def _lean(sheet: Sheet) -> None:
    sheet.n_rb = np.where(sheet.low, np.maximum(sheet.between(162.0, 180.0) + sheet.ripple(1.0), 160.5), sheet.n_rb)


def _distant(sheet: Sheet) -> None:
    sheet.move(0, sheet.between(700.0, 940.0))


def _weak(sheet: Sheet) -> None:
    _weaken(sheet, -112.0, -92.0)


def _handed_over(sheet: Sheet) -> None:
    cell = sheet.other()
    _near(sheet, cell)
    rows = sheet.rng.integers(1, N_SAMPLES) <= ROWS
    # It serves where throughput is good, and is gone to once.
    rows &= ~sheet.low
    if _n_changes(rows) == 1:
        sheet.serve(cell, rows, sheet.between(2.0, 12.0))


def _faint_twin(sheet: Sheet) -> None:
    cell = sheet.other()
    sheet.pci[cell] = same_residue(sheet.rng, sheet.pci[:1], (1, 33))[0]
    sheet.hear(cell, -sheet.between(14.0, 28.0), ROWS >= 0)


def _beside_it(sheet: Sheet) -> None:
    sheet.hear(sheet.other(), -sheet.between(1.0, 7.0), ROWS >= 0)


# What may stand beside a cause, and the causes beside which it may not: it would be the cause, or hide it.
_BESIDE: tuple[tuple[tuple[str, ...], Callable[[Sheet], None]], ...] = (
    (("C7",), _brisk),
    (("C8",), _lean),
    (("C1", "C2"), _distant),
    (("C1", "C2"), _weak),
    (("C2", "C3", "C4", "C5", "C6"), _handed_over),
    (("C5", "C6"), _faint_twin),
    (("C3", "C4", "C5"), _beside_it),
)
