"""The sheet on which a window is written: a made-up drive on which nothing is wrong but that some rows will be slow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metier.labs.telecom.parts import N_SAMPLES

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

ROWS = np.arange(N_SAMPLES)


@dataclass
class Sheet:
    """A window while it is written: c cells at s sites, cell 0 at site 0 serves an ordinary drive.

    Places (s, 2) in metres east and north of the middle of the drive. `level_dbm` (N_SAMPLES, c): NaN where a cell is not
    heard. `low`: the rows below the threshold; `where`: those that the cause is written into, the same or all.
    """

    rng: np.random.Generator
    low: BoolArray
    everywhere: bool
    site: IntArray
    place_m: FloatArray
    height_m: FloatArray
    azimuth: FloatArray
    tilt: IntArray
    beam: IntArray
    pci: IntArray
    serving: IntArray
    level_dbm: FloatArray
    sinr_db: FloatArray
    speed_km_h: FloatArray
    n_rb: FloatArray
    gap_db: float
    used: set[int]

    @property
    def where(self) -> BoolArray:
        return np.ones(N_SAMPLES, dtype=bool) if self.everywhere else self.low

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def ripple(self, spread: float) -> FloatArray:
        return self.rng.normal(0.0, spread, N_SAMPLES)

    def other(self, *, elsewhere: bool = False) -> int:
        """A cell that nothing was written about yet, of another site if asked, heard from now on."""
        free = [
            cell
            for cell in range(1, len(self.site))
            if cell not in self.used and (self.site[cell] > 0 or not elsewhere)
        ]
        cell = int(self.rng.choice(free))
        self.used.add(cell)
        if np.isnan(self.level_dbm[:, cell]).any():
            self.level_dbm[:, cell] = self.level_dbm[:, 0] - self.gap_db - self.between(0.0, 10.0) + self.ripple(1.0)
        return cell

    def hear(self, cell: int, over_db: float, rows: BoolArray) -> None:
        """Put a cell this far over the first one in these rows."""
        level = self.level_dbm[:, 0] + over_db + self.ripple(self.between(0.2, 1.2))
        self.level_dbm[:, cell] = np.where(rows, level, self.level_dbm[:, cell])

    def serve(self, cell: int, rows: BoolArray, over_db: float) -> None:
        """Let a cell serve these rows, this far over the first one."""
        self.hear(cell, over_db, rows)
        self.serving = np.where(rows, cell, self.serving)

    def move(self, site: int, distance_m: float) -> None:
        """Set a site this far from the middle of the drive, in the direction in which it stands."""
        self.place_m[site] *= distance_m / float(np.hypot(*self.place_m[site]))


def ordinary(rng: np.random.Generator) -> Sheet:
    """A drive with nothing wrong but that some of its rows will be slow."""
    n_sites = int(rng.integers(4, 7))
    sectors = rng.integers(1, 4, n_sites) if rng.random() < 0.6 else np.full(n_sites, 3)
    site = np.repeat(np.arange(n_sites), sectors)
    n_cells = len(site)
    reach = np.exp(rng.uniform(np.log(60.0), np.log(rng.uniform(300.0, 980.0)), n_sites))
    bearing = rng.uniform(0.0, 2.0 * np.pi, n_sites)
    place = np.stack([np.sin(bearing), np.cos(bearing)], axis=1) * reach[:, None]
    place[1:] *= rng.uniform(0.8, 3.0, (n_sites - 1, 1))
    azimuth = rng.uniform(0.0, 360.0, n_sites)[site] + 120.0 * (np.arange(n_cells) - np.searchsorted(site, site))
    azimuth[site == 0] += np.degrees(bearing[0]) + 180.0 + rng.normal(0.0, 25.0) - azimuth[0]
    usual = rng.uniform(1.0, 12.0)
    level = rng.uniform(-103.0, -66.0) + np.cumsum(rng.normal(0.0, rng.uniform(0.1, 1.5), N_SAMPLES))
    gap = rng.uniform(7.5, 18.0)
    # None, few or all of the others are heard; whatever is written later is heard anyway.
    below = rng.uniform(gap, gap + rng.uniform(2.0, 14.0), n_cells)
    heard = rng.random(n_cells) < rng.uniform(0.0, 1.0)
    levels = level[:, None] - np.where(heard, below, np.nan) + rng.normal(0.0, 0.8, (N_SAMPLES, n_cells))
    levels[:, 0] = level
    residues = rng.permutation(30)[:n_cells]
    speed = rng.uniform(0.0, 37.0) + np.cumsum(rng.normal(0.0, rng.uniform(0.1, 1.5), N_SAMPLES))
    blocks = rng.uniform(170.0, 268.0) + rng.normal(0.0, rng.uniform(0.3, 8.0), N_SAMPLES)
    return Sheet(
        rng=rng,
        low=_low(rng),
        everywhere=bool(rng.random() < 0.3),
        site=site,
        place_m=place,
        height_m=np.round(rng.uniform(8.0, 50.0, n_sites), 1),
        azimuth=np.rint(azimuth) % 360,
        tilt=np.rint(np.clip(rng.normal(usual, rng.uniform(0.5, 3.0), n_cells), 0, 14)).astype(np.int64),
        beam=np.where(rng.random(n_cells) < 0.5, 0, rng.integers(1, 18, n_cells)),
        pci=residues + 30 * rng.integers(0, 33, n_cells),
        serving=np.zeros(N_SAMPLES, dtype=np.int64),
        level_dbm=levels,
        sinr_db=rng.uniform(5.0, 26.0) + rng.normal(0.0, rng.uniform(0.5, 2.5), N_SAMPLES),
        speed_km_h=np.clip(speed, 0.0, 39.4),
        n_rb=np.clip(blocks, 162.0, 273.0),
        gap_db=gap,
        used={0},
    )


def _low(rng: np.random.Generator) -> BoolArray:
    """Which rows are slow: one run in most windows, two or all in the others."""
    kind = rng.random()
    if kind < 0.2:
        return np.ones(N_SAMPLES, dtype=bool)
    length = int(rng.integers(2, 9))
    begin = int(rng.integers(0, N_SAMPLES - length + 1))
    low = (begin <= ROWS) & (begin + length > ROWS)
    return low | (rng.integers(N_SAMPLES) == ROWS) if kind > 0.85 else low
