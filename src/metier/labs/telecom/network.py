"""Networks around drives: where the sites are, how their sectors are built and planned, and the road through them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from metier.labs.telecom.antenna import MODE_CHANNELS, MODE_GAIN_DBI, total_tilt, vertical_width
from metier.labs.telecom.geometry import depression
from metier.labs.telecom.parts import DEFAULT_TILT
from metier.labs.telecom.propagation import (
    CORRELATION_LOS_M,
    CORRELATION_NLOS_M,
    SUBURBAN,
    URBAN_MACRO,
    URBAN_MICRO,
    field_along_road,
    to_uniform,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

N_NEAR = 5
# One more site, beyond the others: the one that may over-shoot.
N_SITES = N_NEAR + 1
FAR = N_NEAR
SECTORS = 3
N_CELLS = N_SITES * SECTORS
SITE_OF = np.repeat(np.arange(N_SITES), SECTORS)
ROAD_STEP_M = 10.0
# The part of the road that a drive can reach: it begins up to 300 m from the origin and goes at most 12 s at 95 km/h.
ROAD_BEGIN_M, ROAD_END_M = -310.0, 630.0
N_ROAD = int((ROAD_END_M - ROAD_BEGIN_M) / ROAD_STEP_M) + 1
_N_RB_REFERENCE = 273


@dataclass(frozen=True)
class Network:
    """k networks, sites s = N_SITES, cells c = N_CELLS (cell i is a sector of site SITE_OF[i]).

    Positions in metres east and north of the drive's origin, (k, s); azimuths, tilts and powers (k, c). `eirp_dbm` is what
    one subcarrier radiates in the main lobe when the table's power is `power_dbm`. `sight` and `shadow` (r, N_ROAD, s) are
    fields along roads, ROAD_STEP_M apart from ROAD_BEGIN_M on, and `road` (k,) says which of them is each network's own.
    """

    longitude: FloatArray
    latitude: FloatArray
    begin_s: FloatArray
    environment: IntArray
    frequency_ghz: FloatArray
    spacing_m: FloatArray
    heading: FloatArray
    curvature: FloatArray
    east_m: FloatArray
    north_m: FloatArray
    height_m: FloatArray
    site_exists: BoolArray
    exists: BoolArray
    gnodeb_id: IntArray
    cell_id: IntArray
    mechanical_azimuth: FloatArray
    digital_azimuth: FloatArray
    mechanical_tilt: FloatArray
    digital_tilt: FloatArray
    beam: IntArray
    power_dbm: FloatArray
    eirp_dbm: FloatArray
    pci: IntArray
    txrx: IntArray
    antenna: IntArray
    road: IntArray
    sight: npt.NDArray[np.float32]
    shadow: npt.NDArray[np.float32]

    def take(self, index: IntArray) -> Network:
        """These networks, one a window; the fields, which are large, stay where they are."""
        kept = {name: getattr(self, name) for name in ("sight", "shadow")}
        some = {field.name: getattr(self, field.name)[index] for field in fields(self) if field.name not in kept}
        return Network(**some, **kept)


def networks(rng: np.random.Generator, k: int) -> Network:
    """k networks, drawn widely: spacing 200 to 1500 m, urban and suburban, every kind of height, power and plan."""
    environment = rng.choice([URBAN_MACRO, URBAN_MICRO, SUBURBAN], size=k, p=[0.5, 0.25, 0.25])
    spacing = np.exp(rng.uniform(np.log(200.0), np.where(environment == URBAN_MICRO, np.log(600.0), np.log(1500.0))))
    east, north = _sites(rng, spacing)
    height = _heights(rng, environment, k)
    site_exists, exists = _sectors(rng, k)
    azimuth, turned = _azimuths(rng, east, north)
    beam = _beams(rng, k)
    mechanical, digital = _tilts(rng, spacing, height, beam)
    power, eirp, txrx, antenna = _power(rng, k)
    first = np.array(CORRELATION_LOS_M)[environment]
    second = np.array(CORRELATION_NLOS_M)[environment]
    correlation = np.concatenate([0.5 * (first + second), np.full(k, 50.0)])
    shadow, sight = np.split(field_along_road(rng, 2 * k, N_SITES, N_ROAD, ROAD_STEP_M, correlation), 2)
    return Network(
        longitude=rng.uniform(-120.0, 140.0, k),
        latitude=rng.uniform(-40.0, 55.0, k),
        begin_s=np.floor(rng.uniform(1.70e9, 1.78e9, k)),
        environment=environment,
        frequency_ghz=rng.choice([2.6, 3.5, 3.5, 4.9], size=k),
        spacing_m=spacing,
        heading=rng.uniform(0.0, 2.0 * np.pi, k),
        curvature=rng.normal(0.0, 1.0 / 800.0, k),
        east_m=east,
        north_m=north,
        height_m=height,
        site_exists=site_exists,
        exists=exists,
        gnodeb_id=_gnodeb_ids(rng, k),
        cell_id=_cell_ids(rng, k),
        mechanical_azimuth=azimuth,
        digital_azimuth=turned,
        mechanical_tilt=mechanical,
        digital_tilt=digital,
        beam=beam,
        power_dbm=power,
        eirp_dbm=eirp,
        pci=_pcis(rng, k),
        txrx=txrx,
        antenna=antenna,
        road=np.arange(k),
        sight=to_uniform(sight),
        shadow=shadow,
    )


def _sites(rng: np.random.Generator, spacing: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The N_NEAR sites nearest to the road of a jittered hexagonal grid, nearest first, and the far one."""
    k = len(spacing)
    column, row = np.meshgrid(np.arange(-3, 4), np.arange(-3, 4))
    grid_east, grid_north = (column + 0.5 * row).ravel(), (row * np.sqrt(0.75)).ravel()
    shift = rng.uniform(-0.5, 0.5, (k, 2, 1))
    wander = rng.normal(0.0, 0.12, (k, 2, grid_east.size))
    east = spacing[:, None] * (grid_east + shift[:, 0] + wander[:, 0])
    north = spacing[:, None] * (grid_north + shift[:, 1] + wander[:, 1])
    # A site does not stand on the road.
    away = np.hypot(east, north)
    push = np.maximum(1.0, 25.0 / np.maximum(away, 1.0))
    nearest = np.argsort(away, axis=1)[:, :N_NEAR]
    east = np.take_along_axis(east * push, nearest, axis=1)
    north = np.take_along_axis(north * push, nearest, axis=1)
    distance, direction = 1000.0 * np.exp(rng.uniform(0.04, 0.9, k)), rng.uniform(0.0, 2.0 * np.pi, k)
    east = np.concatenate([east, (distance * np.sin(direction))[:, None]], axis=1)
    north = np.concatenate([north, (distance * np.cos(direction))[:, None]], axis=1)
    return east, north


def _heights(rng: np.random.Generator, environment: IntArray, k: int) -> FloatArray:
    low = np.array([18.0, 6.0, 18.0])[environment][:, None]
    high = np.array([45.0, 16.0, 45.0])[environment][:, None]
    height = rng.uniform(low, high, (k, N_SITES))
    height[:, FAR] = rng.uniform(15.0, 60.0, k)
    return np.maximum(np.round(height * 2.0) / 2.0, 5.0)


def _sectors(rng: np.random.Generator, k: int) -> tuple[BoolArray, BoolArray]:
    """Which sites and which cells there are: 3 to N_NEAR near sites of mostly three sectors, sometimes the far one."""
    n_near = rng.integers(3, N_NEAR + 1, k)
    sites = np.arange(N_SITES) < n_near[:, None]
    sites[:, FAR] = rng.random(k) < 0.35
    full = rng.random((k, 1)) < 0.6
    n_sectors = np.where(full, SECTORS, rng.integers(1, SECTORS + 1, (k, N_SITES)))
    sector = np.arange(N_CELLS) % SECTORS
    return sites, sites[:, SITE_OF] & (sector < n_sectors[:, SITE_OF])


def _azimuths(rng: np.random.Generator, east: FloatArray, north: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mechanical and digital azimuths: sectors 120 degrees apart, the first of the far site looking at the road."""
    k = len(east)
    base = rng.uniform(0.0, 360.0, (k, N_SITES))
    # The sectors that exist come first: let the first look roughly at the road, as the site was built for it.
    towards = np.degrees(np.arctan2(-east, -north))
    looks = rng.random((k, N_SITES)) < 0.5
    looks[:, FAR] = True
    base = np.where(looks, towards + rng.normal(0.0, 22.0, (k, N_SITES)), base)
    apart = 120.0 * (np.arange(N_CELLS) % SECTORS)
    azimuth = np.round((base[:, SITE_OF] + apart + rng.normal(0.0, 8.0, (k, N_CELLS))) / 5.0) * 5.0 % 360.0
    turned = np.where(rng.random((k, N_CELLS)) < 0.12, rng.integers(-6, 7, (k, N_CELLS)) * 5.0, 0.0)
    return azimuth, turned


def _beams(rng: np.random.Generator, k: int) -> IntArray:
    """Beam scenarios: one for the whole network in most, 0 (Default) the most frequent."""
    shape = (k, N_CELLS)
    common = np.where(rng.random((k, 1)) < 0.45, 0, rng.integers(1, 18, (k, 1)))
    own = np.where(rng.random(shape) < 0.4, 0, rng.integers(1, 18, shape))
    return np.where(rng.random(shape) < 0.7, common, own)


def _tilts(
    rng: np.random.Generator, spacing: FloatArray, height: FloatArray, beam: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Mechanical and digital tilts that aim the main lobe inside the cell; some are steeper than they need be."""
    shape = beam.shape
    edge = depression(height, 0.62 * spacing[:, None])[:, SITE_OF]
    wanted = edge + vertical_width(beam) * rng.uniform(0.1, 0.5, shape) + rng.normal(0.0, 1.0, shape)
    wanted += np.where(rng.random(shape) < 0.15, rng.uniform(0.0, 8.0, shape), 0.0)
    total = np.clip(np.round(wanted), 0, 30)
    default = rng.random((len(beam), 1)) < 0.55
    digital = np.where(total > 20, rng.integers(10, 21, shape), np.round(total * rng.uniform(0.0, 1.0, shape)))
    mechanical = np.where(default, np.maximum(total - 6.0, 0.0), total - digital)
    return np.clip(mechanical, 0.0, 20.0), np.where(default & (total - 6.0 <= 20.0), DEFAULT_TILT, digital)


def _power(rng: np.random.Generator, k: int) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
    """Power in the table, dBm (a channel's in most networks, the whole cell's in others), and radiated a subcarrier."""
    txrx = np.where(
        rng.random((k, N_CELLS)) < 0.85, rng.choice(3, (k, 1), p=[0.45, 0.4, 0.15]), rng.integers(0, 3, (k, N_CELLS))
    )
    whole = 10.0 * np.log10(np.array([200.0, 240.0, 120.0, 80.0]))[txrx] + 30.0
    whole = whole + rng.normal(-1.5, 1.2, (k, 1)) + rng.normal(0.0, 0.4, (k, N_CELLS))
    channels = 10.0 * np.log10(np.array(MODE_CHANNELS, dtype=np.float64))[txrx]
    shown = np.where(rng.random((k, 1)) < 0.6, whole - channels, whole)
    eirp = whole - 10.0 * np.log10(12.0 * _N_RB_REFERENCE) + np.array(MODE_GAIN_DBI)[txrx]
    antenna = np.where(rng.random((k, N_CELLS)) < 0.8, rng.integers(0, 4, (k, 1)), rng.integers(0, 4, (k, N_CELLS)))
    return np.round(shown, 1), eirp, txrx, antenna


def _gnodeb_ids(rng: np.random.Generator, k: int) -> IntArray:
    base = rng.integers(1_000, 900_000, (k, 1))
    # Neighbouring sites were numbered in the same campaign or years apart; never twice the same.
    apart = rng.permuted(np.tile(np.arange(1, N_SITES + 1), (k, 1)), axis=1) * rng.integers(1, 900, (k, 1))
    return (base + apart)[:, SITE_OF]


def _cell_ids(rng: np.random.Generator, k: int) -> IntArray:
    found: IntArray = np.arange(N_CELLS)[None, :] % SECTORS + rng.choice([0, 1, 1, 101], size=(k, 1))
    return found


def _pcis(rng: np.random.Generator, k: int) -> IntArray:
    """A plan in which no two cells share PCI mod 30: three residues in a row at each site, or scattered ones."""
    groups = np.argsort(rng.random((k, 10)), axis=1)[:, :N_SITES]
    in_row = groups[:, SITE_OF] * SECTORS + np.arange(N_CELLS) % SECTORS
    scattered = np.argsort(rng.random((k, 30)), axis=1)[:, :N_CELLS]
    residue = np.where(rng.random((k, 1)) < 0.6, in_row, scattered)
    times = rng.integers(0, 33, (k, N_SITES))[:, SITE_OF] if k else np.zeros((0, N_CELLS), dtype=np.int64)
    return residue + 30 * times


def planned_tilt(network: Network) -> FloatArray:
    """Degrees below the horizon of each cell's main lobe as planned, (k, c)."""
    return np.asarray(total_tilt(network.mechanical_tilt, network.digital_tilt), dtype=np.float64)
