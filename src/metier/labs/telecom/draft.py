"""Drafts: windows before their causes are put in. Where the vehicle is, what it hears, room for what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from metier.labs.telecom.antenna import horizontal_loss, radiated, vertical_width
from metier.labs.telecom.geometry import bearing, depression, wrap
from metier.labs.telecom.mobility import along, limited, section, smooth, travelled
from metier.labs.telecom.network import (
    FAR,
    N_CELLS,
    N_ROAD,
    N_SITES,
    ROAD_BEGIN_M,
    ROAD_STEP_M,
    SECTORS,
    SITE_OF,
    Network,
    planned_tilt,
)
from metier.labs.telecom.parts import CAUSES, N_SAMPLES
from metier.labs.telecom.propagation import path_gain
from metier.labs.telecom.scenario import STEP_S, STEPS_A_SAMPLE, WARM_STEPS

Array = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]

N_STEPS = WARM_STEPS + STEPS_A_SAMPLE * N_SAMPLES
TIME_S = ((np.arange(N_STEPS) - WARM_STEPS) * STEP_S).astype(np.float32)
SPEED_LIMIT_KM_H = 40.0
DEFAULT_DIFFICULTY = 0.5


@dataclass
class Draft:
    """n windows on their networks, being made; arrays are filled in by the causes.

    `section` (n, t) is where on the road the window's trouble lies, `elsewhere` (n, t) where it surely does not. `natural`
    (n, c) is the mean RSRP in the section of each cell as planned, dBm, and `serving` (n,) the strongest near one. Clutter
    (n, s), in dB, adds to a site's loss: `static` always, `inside` in the section, `outside` elsewhere. `reference` (n,):
    the level of the cell that serves, or should, once everything is in; `target_dbm` (n,): the one that it shall be brought
    to by what all cells lose alike (the car's body, the antenna); `snr_db` (n,): that level over the floor.
    """

    network: Network
    cause: IntArray
    difficulty: float
    section: Array
    elsewhere: Array
    east_m: Array
    north_m: Array
    distance_m: Array
    depression: Array
    horizontal: Array
    gain: Array
    natural: Array
    serving: IntArray
    speed_km_h: Array
    planned_speed_km_h: Array
    csi_delay_s: Array
    static: Array
    inside: Array
    outside: Array
    reference: Array
    target_dbm: Array
    snr_db: Array
    load: Array
    offset_db: Array
    time_to_trigger_s: Array
    jitter_db: Array
    pci: IntArray

    @property
    def ease(self) -> float:
        """1 at difficulty 0, and 0 from the default difficulty on: how far other causes stay from their thresholds."""
        return max(1.0 - self.difficulty / DEFAULT_DIFFICULTY, 0.0)

    @property
    def hardness(self) -> float:
        """0 at difficulty 0, 1 at the default, and up to 1.5: how frequent and how large what confuses is."""
        return hardness(self.difficulty)

    def take(self, index: IntArray) -> Draft:
        """These windows alone."""
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        some = {name: value[index] for name, value in kept.items() if isinstance(value, np.ndarray)}
        return Draft(**{**kept, **some, "network": self.network.take(index)})

    def rows(self, cause: str) -> IntArray:
        """The windows that this cause shall make."""
        return np.flatnonzero(self.cause == CAUSES.index(cause))


def hardness(difficulty: float) -> float:
    """0 at difficulty 0, 1 at the default difficulty, 1.5 at 1."""
    return min(difficulty / DEFAULT_DIFFICULTY, 1.0) + max(difficulty - DEFAULT_DIFFICULTY, 0.0)


def draft(rng: np.random.Generator, network: Network, cause: IntArray, difficulty: float) -> Draft:
    """Windows on these networks (one a window), each somewhere on its road, as planned."""
    n = len(cause)
    inside, elsewhere = _section(rng, cause)
    actual, planned, delay = _speeds(rng, cause, inside, elsewhere, network.frequency_ghz, difficulty)
    arc = rng.uniform(-300.0, 300.0, n)[:, None].astype(np.float32) + travelled(actual, STEP_S)
    origin = np.zeros(n)
    east, north = along(arc, origin, origin, network.heading, network.curvature)
    east, north = east.astype(np.float32), north.astype(np.float32)
    d_east = east[:, None, :] - network.east_m.astype(np.float32)[:, :, None]
    d_north = north[:, None, :] - network.north_m.astype(np.float32)[:, :, None]
    distance = np.maximum(np.sqrt(d_east**2 + d_north**2), np.float32(10.0))
    height = network.height_m.astype(np.float32)
    below = depression(height[:, :, None], distance)
    pointing = (network.mechanical_azimuth + network.digital_azimuth).astype(np.float32)
    towards = bearing(d_east, d_north)[:, :, None]
    off = wrap(towards - pointing.reshape(n, N_SITES, SECTORS, 1)).reshape(n, N_CELLS, N_STEPS)
    horizontal = horizontal_loss(off)
    sight, shadow = _fields(network, arc)
    gain = path_gain(network.environment, distance, height, network.frequency_ghz.astype(np.float32), sight, shadow)
    natural = _natural(network, gain, below, horizontal, inside)
    quiet = np.isin(cause, [CAUSES.index("C7"), CAUSES.index("C8")])
    near = np.where(network.exists & (SITE_OF != FAR), natural, -np.inf)
    serving = np.argmax(near, axis=1)
    return Draft(
        network=network,
        cause=cause,
        difficulty=difficulty,
        section=inside,
        elsewhere=elsewhere,
        east_m=east,
        north_m=north,
        distance_m=distance,
        depression=below,
        horizontal=horizontal,
        gain=gain,
        natural=natural,
        serving=serving,
        speed_km_h=actual,
        planned_speed_km_h=planned,
        csi_delay_s=delay,
        static=np.zeros((n, N_SITES), dtype=np.float32),
        inside=np.zeros((n, N_SITES), dtype=np.float32),
        outside=np.zeros((n, N_SITES), dtype=np.float32),
        reference=natural[np.arange(n), serving].astype(np.float64),
        target_dbm=np.clip(rng.normal(-86.0, 9.0, n), -106.0, -58.0),
        snr_db=rng.uniform(18.0, 32.0, n),
        load=rng.uniform(0.0, rng.uniform(0.02, 0.12, (n, 1)), (n, N_CELLS)) * np.where(quiet, 0.5, 1.0)[:, None],
        offset_db=rng.uniform(2.0, 4.5, n),
        time_to_trigger_s=rng.choice([0.1, 0.16, 0.32, 0.64], size=n),
        jitter_db=rng.uniform(0.3, 2.0, n),
        pci=network.pci.copy(),
    )


def _section(rng: np.random.Generator, cause: IntArray) -> tuple[Array, Array]:
    """Where the trouble is: 2 to 10 s of the window, all of it in a few; to the end for a handover that comes late."""
    n = len(cause)
    length = np.where(rng.random(n) < 0.07, 40.0, rng.uniform(2.0, 9.0, n))
    begin = rng.uniform(-np.minimum(length, 10.0) + 2.0, 8.0)
    late = cause == CAUSES.index("C3")
    begin = np.where(length > 10.0, -20.0, np.where(late, rng.uniform(-1.0, 6.0, n), begin))
    length = np.where(late, 40.0, length)
    begin = np.where(late & (begin < -10.0), rng.uniform(-1.0, 6.0, n), begin)
    edge = rng.uniform(0.4, 2.0, n)
    # Far enough away for a car to brake.
    margin = 0.5 * edge + 2.0
    return section(begin, length, edge, TIME_S), 1.0 - section(begin - margin, length + 2.0 * margin, edge, TIME_S)


def _speeds(
    rng: np.random.Generator,
    cause: IntArray,
    inside: Array,
    elsewhere: Array,
    frequency_ghz: Array,
    difficulty: float,
) -> tuple[Array, Array, Array]:
    """Actual and planned speed (n, t), and how old channel state is (n,), s.

    Only where the cause is speed do speed and stale channel state meet. Elsewhere the vehicle stays below the limit,
    but for a few that pass it away from the section, with a network that follows the channel closely enough.
    """
    n = len(cause)
    ease = max(1.0 - difficulty / DEFAULT_DIFFICULTY, 0.0)
    top = SPEED_LIMIT_KM_H - 1.0 - rng.exponential(8.0 * ease + 1.0, n)
    pace = np.where(rng.random(n) < 0.25, top, rng.uniform(0.0, 1.0, n) * top)
    wander = rng.uniform(0.2, 3.0, n)
    slow = np.clip(
        smooth(np.repeat(pace[:, None], N_STEPS, axis=1), rng, wander, 0.9), 0.0, np.maximum(top, 2.0)[:, None]
    )
    fast = SPEED_LIMIT_KM_H + 2.0 + ease * 3.0 + rng.gamma(2.0, 8.0, n)
    fast = np.minimum(fast, 95.0)
    passes = cause == CAUSES.index("C7")
    confounds = ~passes & (rng.random(n) < 0.15 * hardness(difficulty))
    fast = np.where(confounds, SPEED_LIMIT_KM_H + rng.uniform(1.0, 14.0, n), fast)
    # Two in five of those who are fast where it matters are nearly so all along.
    before = np.where(rng.random(n) < 0.4, rng.uniform(0.3, 1.0, n), 0.0)[:, None]
    share = np.where(passes[:, None], inside + before * (1.0 - inside), elsewhere) * (passes | confounds)[:, None]
    actual = limited(slow + (fast[:, None] - slow) * share + 0.0, STEP_S)
    planned = np.where(passes[:, None], np.minimum(actual, rng.uniform(5.0, 25.0, n)[:, None]), actual)
    doppler = fast / 3.6 * frequency_ghz / 0.299792458
    ceiling = 10.0 ** (np.where(passes, rng.uniform(1.0, 11.0, n), rng.uniform(15.0, 26.0, n)) / 10.0)
    # rho^2 / (1 - rho^2) = ceiling, with J0(x) = 1 - x^2 / 4 for small x.
    angle = 2.0 * np.sqrt(1.0 - np.sqrt(ceiling / (1.0 + ceiling)))
    return actual.astype(np.float32), planned.astype(np.float32), angle / (2.0 * np.pi * doppler)


def _fields(network: Network, arc_m: Array) -> tuple[Array, Array]:
    """The fields of sight and shadow at these places on the road, (n, s, t)."""
    place = np.clip((arc_m - ROAD_BEGIN_M) / ROAD_STEP_M, 0.0, N_ROAD - 1.001).astype(np.float32)
    left = place.astype(np.int64)
    weight = (place - left).astype(np.float32)[:, :, None]
    at = network.road[:, None] * N_ROAD + left
    out = []
    for field in (network.sight, network.shadow):
        flat = field.reshape(-1, N_SITES)
        low = flat.take(at, axis=0)
        between = flat.take(at + 1, axis=0) - low
        between *= weight
        between += low
        out.append(np.ascontiguousarray(between.transpose(0, 2, 1)))
    return out[0], out[1]


def _natural(network: Network, gain: Array, below: Array, horizontal: Array, inside: Array) -> Array:
    tilt = planned_tilt(network).astype(np.float32)
    heard = radiated(gain, below, horizontal, tilt, vertical_width(network.beam))
    weight = (inside * (TIME_S >= 0.0)) + np.float32(1e-4)
    weight /= weight.sum(axis=1, keepdims=True)
    level = np.einsum("nct,nt->nc", heard, weight)
    found: Array = level + network.eirp_dbm
    return found
