"""Drive-test windows by another hand than the simulator's: causes put into the rows of a drive, by the option texts alone.

No radio physics here, on purpose. An ordinary drive is made up, and one cause is written into its rows as somebody at an
operator would who labels by the published options: a tilt, a distance, a stronger neighbour, fewer resource blocks. What
nobody knows of the real windows (how large, in which rows, how many neighbours are listed) differs from style to style.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from metier.labs.telecom.parts import CAUSES, DEFAULT_TILT, N_NEIGHBOURS, N_SAMPLES, Cells, Drives, Windows
from telecom_styles import Range, Style

FloatArray = npt.NDArray[np.float64]
Group = TypeVar("Group", Drives, Cells)

_KM_PER_DEGREE = 111.195
_TILT_BUILT_IN = 6.0
_WIDTHS_DEG = ((0, 5, 6.0), (6, 11, 12.0), (12, 17, 25.0))


@dataclass
class Scene:
    """A window while it is written. Cells (c,): 0 is the serving one of an ordinary drive, at site 0. `gap_db`
    (N_SAMPLES, c): dB below the ordinary serving level `serve_dbm`, NaN where a cell is not heard."""

    rng: np.random.Generator
    style: Style
    site: npt.NDArray[np.int64]
    site_km: FloatArray
    middle_km: FloatArray
    azimuth: FloatArray
    mechanical: npt.NDArray[np.int64]
    digital: npt.NDArray[np.int64]
    beam: npt.NDArray[np.int64]
    height_m: FloatArray
    pci: npt.NDArray[np.int64]
    low: npt.NDArray[np.bool_]
    serving: npt.NDArray[np.int64]
    serve_dbm: FloatArray
    gap_db: FloatArray
    sinr_db: FloatArray
    speed_km_h: FloatArray
    n_rb: FloatArray
    kept: set[int] = field(default_factory=set)
    low_mbps: Range | None = None

    def draw(self, between: Range, size: int | None = None) -> FloatArray:
        return self.rng.uniform(*between, size)

    def whole(self, between: tuple[int, int]) -> int:
        return int(self.rng.integers(between[0], between[1] + 1))

    @property
    def touched(self) -> npt.NDArray[np.bool_]:
        """The rows the cause is written into."""
        return np.ones(N_SAMPLES, dtype=bool) if self.style.everywhere else self.low

    def neighbour(self, *, elsewhere: bool = False, near: bool = False) -> int:
        """A cell that is not the first one, of another site or within 1 km if asked, heard from now on and in the table."""
        others = np.flatnonzero((np.arange(len(self.site)) > 0) & (~np.array([elsewhere]) | (self.site > 0)))
        free = [cell for cell in others if cell not in self.kept]
        cell = int(self.rng.choice(free or others))
        self.kept.add(cell)
        if np.isnan(self.gap_db[:, cell]).all():
            self.gap_db[:, cell] = self.draw(self.style.gap_db) + self.rng.normal(0, 1, N_SAMPLES)
        if near and np.hypot(*(away := self.site_km[self.site[cell]] - self.middle_km)) > 0.9:
            self.site_km[self.site[cell]] = self.middle_km + away * (self.draw((0.2, 0.9)) / np.hypot(*away))
        return cell

    def spoil_sinr(self) -> None:
        lowered = self.draw(self.style.low_sinr_db) + self.rng.normal(0, 1.5, N_SAMPLES)
        if not self.style.sinr_tells:
            lowered = np.maximum(lowered, self.draw((3, 10)))
        self.sinr_db = np.where(self.touched, np.minimum(lowered, self.sinr_db), self.sinr_db)


def windows(n: int, seed: int, style: Style) -> Windows:
    """n windows of one style, the causes in turn; every window is a cluster of its own."""
    rng = np.random.default_rng(seed)
    causes = np.arange(n) % len(CAUSES)
    scenes = [_window(rng, style, CAUSES[cause]) for cause in causes]
    drives, cells = zip(*scenes, strict=True)
    return Windows(_joined(Drives, drives), _joined(Cells, cells), causes.astype(np.int64), np.arange(n))


def _window(rng: np.random.Generator, style: Style, cause: str) -> tuple[dict[str, Any], dict[str, Any]]:
    scene = _ordinary(rng, style, cause)
    _add_mild(scene, cause)
    _WRITTEN[cause](scene)
    if style.other_rb is not None and cause != "C8":
        scene.n_rb = np.where(scene.low, scene.draw(style.other_rb) + rng.normal(0, 5, N_SAMPLES), scene.n_rb)
    if style.one_fast and cause != "C7":
        scene.speed_km_h[rng.choice(np.flatnonzero(scene.low))] = scene.draw((41, 48))
    if style.fast_after and cause != "C7" and scene.low.any() and not scene.low.all():
        after = np.arange(N_SAMPLES) > np.flatnonzero(scene.low).max()
        scene.speed_km_h = np.where(after, scene.draw((42, 60)), scene.speed_km_h)
    return _rows(scene), _table(scene)


def _ordinary(rng: np.random.Generator, style: Style, cause: str) -> Scene:
    """A drive on which nothing is wrong but that some rows will be slow."""
    n_sites = int(rng.integers(style.n_sites[0], style.n_sites[1] + 1)) + 1
    sectors = rng.integers(style.sectors[0], style.sectors[1] + 1, n_sites)
    if cause == "C4":
        # Overlapping neighbours take other sites to come from.
        n_sites, sectors = max(n_sites, 5), np.resize(sectors, max(n_sites, 5))
    if sectors.sum() < 4:
        sectors = np.maximum(sectors, 3)
    site = np.repeat(np.arange(n_sites), sectors)
    n_cells = len(site)
    far = {"C1": style.steep_km, "C2": style.far_km}.get(cause, style.near_km)
    bearing = rng.uniform(0, 2 * np.pi, n_sites)
    reach = rng.uniform(*style.site_km, n_sites)
    # Sites stand where the table's three decimals put them, the vehicle at its drawn distance from the first.
    site_km = np.stack([np.sin(bearing), np.cos(bearing)], 1) * reach[:, None]
    middle = np.array([np.sin(bearing[0]), np.cos(bearing[0])]) * rng.uniform(*far)
    site_km[0] = 0.0
    site_km[1:] += middle
    to_vehicle = np.degrees(bearing[0])
    azimuth = np.concatenate([np.arange(k) * 120.0 + rng.uniform(0, 360) for k in sectors])
    azimuth[: sectors[0]] += to_vehicle + rng.uniform(-40, 40) - azimuth[0]
    low = np.zeros(N_SAMPLES, dtype=bool)
    length = N_SAMPLES if rng.random() < style.whole else int(rng.integers(style.low_rows[0], style.low_rows[1] + 1))
    start = int(rng.integers(0, N_SAMPLES - length + 1))
    low[start : start + length] = True
    tilt = np.rint(rng.uniform(*style.tilt_deg, n_cells)).astype(np.int64)
    default = (rng.random(n_cells) < 0.6) & (tilt >= _TILT_BUILT_IN)
    digital = np.where(default, DEFAULT_TILT, rng.integers(0, tilt + 1))
    residues = rng.permutation(30)
    gap = np.full((N_SAMPLES, n_cells), np.nan)
    heard = rng.permutation(np.arange(1, n_cells))[: int(rng.integers(style.n_heard[0], style.n_heard[1] + 1))]
    gap[:, heard] = rng.uniform(*style.gap_db, len(heard)) + rng.normal(0, 1, (N_SAMPLES, len(heard)))
    gap[:, 0] = 0.0
    speed = rng.uniform(*style.speed_km_h) + rng.normal(0, 1.5, N_SAMPLES)
    return Scene(
        rng,
        style,
        site,
        site_km,
        middle,
        azimuth % 360,
        np.where(default, tilt - int(_TILT_BUILT_IN), tilt - digital),
        digital,
        rng.integers(0, 18, n_cells) * (rng.random(n_cells) < 0.5),
        np.repeat(np.round(rng.uniform(*style.height_m, n_sites), 1), sectors),
        np.array([residues[cell % 30] + 30 * rng.integers(0, 33) for cell in range(n_cells)]),
        low,
        np.zeros(N_SAMPLES, dtype=np.int64),
        rng.uniform(*style.serve_dbm) + np.cumsum(rng.normal(0, 0.8, N_SAMPLES)),
        gap,
        rng.uniform(*style.sinr_db) + rng.normal(0, 1.5, N_SAMPLES),
        np.clip(speed, 0, 40),
        np.clip(rng.uniform(*style.n_rb) + rng.normal(0, 4, N_SAMPLES), 164, 273),
    )


def _steep(scene: Scene) -> None:
    """C1: the first cell looks down before the vehicle, whose level is weak."""
    style = scene.style
    distance_m = 1000 * float(np.hypot(*scene.middle_km))
    for _ in range(200):
        tilt, beam = round(float(scene.draw(style.steep_deg))), int(scene.rng.integers(0, 18))
        width = next(width for first, last, width in _WIDTHS_DEG if first <= beam <= last)
        upper = np.radians(tilt - width / 2)
        if not style.by_beam or (upper > 0 and scene.height_m[0] / np.tan(upper) < 0.7 * distance_m):
            break
    else:
        tilt, beam = round(style.steep_deg[1]), 0
    default = scene.rng.random() < 0.3
    digital = 6 if default else int(scene.rng.integers(0, tilt + 1))
    scene.mechanical[0], scene.digital[0] = tilt - digital, DEFAULT_TILT if default else digital
    scene.beam[0] = beam
    _lower(scene, style.weak_dbm)
    scene.spoil_sinr()


def _far(scene: Scene) -> None:
    """C2: the first cell is beyond 1 km, with little tilt; in some styles it serves in the slow rows only."""
    if scene.style.flat_far:
        scene.mechanical[0], scene.digital[0] = 0, scene.whole((0, 5))
    _lower(scene, scene.style.far_dbm)
    scene.spoil_sinr()
    if scene.style.taken_over and not scene.low.all():
        near = scene.neighbour(elsewhere=True, near=True)
        _hand_over(scene, ~scene.low, near)
        scene.gap_db[scene.low, near] = scene.draw((3, 10))
        scene.serve_dbm = np.where(scene.low, scene.serve_dbm, scene.draw(scene.style.serve_dbm))


def _better(scene: Scene) -> None:
    """C3: a neighbour is stronger while the first cell serves; before or afterwards it may serve, and well."""
    style = scene.style
    best = scene.neighbour(near=True)
    how = str(scene.rng.choice(style.better))
    length = int(scene.low.sum())
    if length == N_SAMPLES and how != "never":
        length = 6
    if how == "after":
        start = int(scene.rng.integers(0, N_SAMPLES - length))
    elif how == "before":
        start = int(scene.rng.integers(1, N_SAMPLES - length + 1))
    else:
        start = int(np.flatnonzero(scene.low)[0])
    rows = np.arange(N_SAMPLES)
    scene.low = (rows >= start) & (rows < start + length)
    scene.gap_db[scene.low, best] = -scene.draw(style.better_db) + scene.rng.normal(0, 0.8, length)
    # The others stay below the better one by what they were below the serving one.
    if how == "after":
        _hand_over(scene, rows >= start + length, best)
    elif how == "before":
        _hand_over(scene, rows < start, best)
    scene.spoil_sinr()


def _overlap(scene: Scene) -> None:
    """C4: neighbours of other sites come as strong as the serving cell."""
    for _ in range(scene.whole(scene.style.n_overlap)):
        cell = scene.neighbour(elsewhere=True)
        gap = scene.draw(scene.style.overlap_db) + scene.rng.normal(0, 0.7, N_SAMPLES)
        scene.gap_db[:, cell] = np.where(scene.touched, gap, scene.gap_db[:, cell])
    scene.spoil_sinr()


def _handovers(scene: Scene) -> None:
    """C5: the serving cell changes again and again between two or three, and rows around the changes are slow."""
    ring = [0, *(scene.neighbour(near=True) for _ in range(scene.whole((1, 2))))]
    n_changes = scene.whole(scene.style.n_changes)
    changes = np.sort(scene.rng.choice(np.arange(1, N_SAMPLES), n_changes, replace=False))
    turn = np.searchsorted(changes, np.arange(N_SAMPLES), side="right")
    scene.gap_db[:, ring] = scene.rng.uniform(0.5, 5, (N_SAMPLES, len(ring)))
    scene.serving = np.array(ring)[turn % len(ring)]
    scene.gap_db[np.arange(N_SAMPLES), scene.serving] = 0.0
    slow = np.isin(np.arange(N_SAMPLES), changes) | (scene.rng.random(N_SAMPLES) < 0.2)
    scene.low = slow | scene.low if scene.style.everywhere else slow
    scene.spoil_sinr()


def _twin(scene: Scene) -> None:
    """C6: a neighbour with the serving cell's PCI modulo 30 comes near it in level."""
    cell = scene.neighbour(elsewhere=scene.rng.random() < 0.8)
    _make_twin(scene, cell)
    gap = scene.draw(scene.style.twin_db) + scene.rng.normal(0, 0.7, N_SAMPLES)
    scene.gap_db[:, cell] = np.where(scene.touched, gap, scene.gap_db[:, cell])
    scene.spoil_sinr()


def _fast(scene: Scene) -> None:
    """C7: the vehicle is faster than 40 km/h."""
    speed = np.maximum(scene.draw(scene.style.fast_km_h) + scene.rng.normal(0, 2, N_SAMPLES), 41)
    scene.speed_km_h = np.where(scene.touched, speed, scene.speed_km_h)


def _starved(scene: Scene) -> None:
    """C8: fewer than 160 resource blocks are scheduled on average."""
    n_rb = np.clip(scene.draw(scene.style.few_rb) + scene.rng.normal(0, 6, N_SAMPLES), 1, 158)
    scene.n_rb = np.where(scene.touched, n_rb, scene.n_rb)


_WRITTEN: dict[str, Callable[[Scene], None]] = {
    "C1": _steep,
    "C2": _far,
    "C3": _better,
    "C4": _overlap,
    "C5": _handovers,
    "C6": _twin,
    "C7": _fast,
    "C8": _starved,
}


def _add_mild(scene: Scene, cause: str) -> None:
    """Other causes below their published thresholds."""
    others = [mild for own, mild in _MILD if cause not in own]
    for place in scene.rng.permutation(len(others))[: scene.whole(scene.style.n_mild)]:
        others[place](scene)


def _brisk(scene: Scene) -> None:
    scene.speed_km_h = np.clip(scene.draw((30, 39)) + scene.rng.normal(0, 1, N_SAMPLES), 0, 40)


def _lean(scene: Scene) -> None:
    scene.n_rb = np.where(scene.low, scene.draw((165, 180)) + scene.rng.normal(0, 1.5, N_SAMPLES), scene.n_rb)


def _distant(scene: Scene) -> None:
    distance = float(np.hypot(*scene.middle_km))
    wanted = float(scene.draw((0.7, 0.93)))
    moved = scene.middle_km * (wanted / distance)
    scene.site_km[1:] += moved - scene.middle_km
    scene.middle_km = moved


def _one_handover(scene: Scene) -> None:
    cell = scene.neighbour(near=True)
    _hand_over(scene, np.arange(N_SAMPLES) >= scene.whole((1, N_SAMPLES - 1)), cell)


def _faint_twin(scene: Scene) -> None:
    cell = scene.neighbour()
    _make_twin(scene, cell)
    scene.gap_db[:, cell] = scene.draw((15, 25)) + scene.rng.normal(0, 1, N_SAMPLES)


def _one_near(scene: Scene) -> None:
    scene.gap_db[:, scene.neighbour()] = scene.draw((3, 7)) + scene.rng.normal(0, 0.7, N_SAMPLES)


# With which causes each cannot stand: it would be the cause, or hide it.
_MILD: tuple[tuple[tuple[str, ...], Callable[[Scene], None]], ...] = (
    (("C7",), _brisk),
    (("C8",), _lean),
    (("C1", "C2"), _distant),
    (("C1", "C2", "C3", "C5", "C6", "C4"), _one_handover),
    (("C3", "C5", "C6"), _faint_twin),
    (("C3", "C4", "C5"), _one_near),
)


def _lower(scene: Scene, between: Range) -> None:
    level = scene.draw(between) + np.cumsum(scene.rng.normal(0, 0.8, N_SAMPLES))
    scene.serve_dbm = np.where(scene.touched, level, scene.serve_dbm)


def _hand_over(scene: Scene, rows: npt.NDArray[np.bool_], cell: int) -> None:
    scene.serving[rows] = cell
    scene.gap_db[rows, cell] = 0.0
    scene.gap_db[rows, 0] = scene.draw((4, 15)) + scene.rng.normal(0, 0.7, int(rows.sum()))


def _make_twin(scene: Scene, cell: int) -> None:
    blocks = [block for block in range(33) if block != scene.pci[0] // 30]
    scene.pci[cell] = scene.pci[0] % 30 + 30 * int(scene.rng.choice(blocks))


def _rows(scene: Scene) -> dict[str, Any]:
    rng, style, rows = scene.rng, scene.style, np.arange(N_SAMPLES)
    level = scene.serve_dbm[:, None] - scene.gap_db
    level[:, 1:][rng.random((N_SAMPLES, level.shape[1] - 1)) < style.dropout] = np.nan
    own = scene.serve_dbm - np.nan_to_num(scene.gap_db)[rows, scene.serving]
    level[rows, scene.serving] = np.nan
    order = np.argsort(np.where(np.isnan(level), np.inf, -level), axis=1)[:, :N_NEIGHBOURS]
    top = np.take_along_axis(level, order, axis=1)
    heading = rng.uniform(0, 2 * np.pi)
    along = np.cumsum(scene.speed_km_h) / 3600
    track = scene.middle_km + np.outer(along - along[N_SAMPLES // 2], [np.sin(heading), np.cos(heading)])
    longitude, latitude = _degrees(track, style.region)
    mbps = np.where(
        scene.low,
        np.clip(scene.draw(style.low_mbps) + rng.normal(0, 30, N_SAMPLES), 1, 598),
        np.maximum(scene.draw(style.good_mbps) + rng.normal(0, 50, N_SAMPLES), 605),
    )
    return {
        "begin_s": float(1.74e9 + rng.integers(0, 3 * 10**7)),
        "longitude": longitude,
        "latitude": latitude,
        "speed_km_h": scene.speed_km_h,
        "serving_pci": scene.pci[scene.serving],
        "rsrp_dbm": own,
        "sinr_db": scene.sinr_db,
        "throughput_mbps": mbps,
        "neighbour_pci": _padded(np.where(np.isnan(top), -1, scene.pci[order]), -1),
        "neighbour_rsrp_dbm": _padded(top, np.nan),
        "n_rb": scene.n_rb,
    }


def _table(scene: Scene) -> dict[str, Any]:
    rng = scene.rng
    n_cells = len(scene.site)
    needed = np.isin(np.arange(n_cells), [*scene.serving, *scene.kept])
    there = rng.permutation(np.flatnonzero(needed | (rng.random(n_cells) >= scene.style.missing)))
    longitude, latitude = _degrees(scene.site_km, scene.style.region)
    first = int(rng.integers(1_000, 9_999_000))
    return {
        "exists": np.ones(len(there), dtype=bool),
        "gnodeb_id": (first + scene.site * 7)[there],
        "cell_id": (np.arange(n_cells) - np.searchsorted(scene.site, scene.site))[there] + 1,
        "longitude": longitude[scene.site][there],
        "latitude": latitude[scene.site][there],
        "mechanical_azimuth": np.rint(scene.azimuth)[there] % 360,
        "mechanical_downtilt": scene.mechanical[there].astype(float),
        "digital_tilt": scene.digital[there].astype(float),
        "digital_azimuth": np.zeros(len(there)),
        "beam": scene.beam[there],
        "height_m": scene.height_m[there],
        "pci": scene.pci[there],
        "txrx": rng.integers(0, 2, len(there)),
        "max_power_dbm": np.full(len(there), scene.style.power_dbm),
        "antenna": rng.integers(0, 3, len(there)),
    }


def _degrees(km: FloatArray, region: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Longitudes and latitudes of points (n, 2) east and north of a region's corner, which lies on three decimals."""
    longitude, latitude = region
    return (
        longitude + km[:, 0] / (_KM_PER_DEGREE * np.cos(np.radians(latitude))),
        latitude + km[:, 1] / _KM_PER_DEGREE,
    )


def _padded(values: npt.NDArray[Any], by: float) -> npt.NDArray[Any]:
    return np.pad(values, ((0, 0), (0, N_NEIGHBOURS - values.shape[1])), constant_values=by)


def _joined(kind: type[Group], parts: tuple[dict[str, Any], ...]) -> Group:
    """The windows' dicts as one of the lab's dataclasses; tables of unequal length are padded."""
    tables = kind is Cells
    most = max((len(part["exists"]) for part in parts), default=0) if tables else 0

    def column(name: str) -> npt.NDArray[Any]:
        values = [np.asarray(part[name]) for part in parts]
        return np.stack([np.pad(value, (0, most - len(value))) for value in values] if tables else values)

    return kind(**{one.name: column(one.name) for one in fields(kind)})
