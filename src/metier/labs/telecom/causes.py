"""What goes wrong: each cause puts its mechanism into the windows that it shall make.

A cause shapes two things. The surroundings (clutter: buildings, street corners, hills), which stay when the cause is
taken out
again, and the mechanism itself, in the fields of `scenario.Mechanisms`, which goes. Levels named here hold in the
window's section.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from metier.labs.telecom.antenna import pattern_loss, vertical_loss, vertical_width
from metier.labs.telecom.draft import N_STEPS, TIME_S, Draft
from metier.labs.telecom.network import FAR, N_CELLS, N_NEAR, N_SITES, SECTORS, SITE_OF, planned_tilt
from metier.labs.telecom.parts import CAUSES

Array = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]
Marks = dict[str, Array]

MAX_TILT_DEG = 38.0
# No surroundings bring a site more than this much nearer than its path loss says: streets guide waves, but not for ever.
MOST_GUIDED_DB = -14.0
OUT_OF_SERVICE_DB = 80.0


def neutral(draft: Draft) -> Marks:
    """No mechanism at all, but for what the section already holds of the causes that are no matter of radio."""
    n = len(draft.cause)
    marks: Marks = {name: np.zeros((n, N_CELLS)) for name in ("steep", "flat", "boost", "raised", "louder", "busier")}
    marks |= {name: np.zeros(n) for name in ("late_db", "late_s", "hasty_db", "hasty_s")}
    marks["blocked"] = np.zeros((n, N_SITES))
    return marks


def isolate(rng: np.random.Generator, draft: Draft) -> None:
    """Surroundings that let one site dominate, more or less, as planning wants it: clutter before all other sites."""
    n = len(draft.cause)
    rows = np.arange(n)
    best = site_levels(draft)
    own = SITE_OF[draft.serving]
    most = rng.uniform(2.0, 28.0, (n, 1))
    gap = rng.uniform(7.0, 18.0, (n, 1))
    level = draft.natural[rows, draft.serving][:, None]
    draft.static[:] = np.maximum(rng.uniform(0.0, 1.0, (n, N_SITES)) * most, best - level + gap)
    draft.static[rows, own] = 0.0


def site_levels(draft: Draft) -> Array:
    """The strongest sector's natural level at each site, (n, s) dBm; -200 where there is no site."""
    level = np.where(draft.network.exists, draft.natural, np.float32(-200.0))
    # Three slices: numpy is slow at reducing over a few neighbouring values.
    found: Array = np.maximum(np.maximum(level[:, ::SECTORS], level[:, 1::SECTORS]), level[:, 2::SECTORS])
    return found


def partners(draft: Draft, rows: IntArray) -> tuple[IntArray, IntArray]:
    """The other near sites, strongest first, and the strongest cell of each, (rows, N_NEAR - 1)."""
    best = site_levels(draft)[rows, :N_NEAR]
    best[np.arange(len(rows)), SITE_OF[draft.serving[rows]]] = -np.inf
    sites = np.argsort(-best, axis=1)[:, : N_NEAR - 1]
    level = np.where(draft.network.exists[rows], draft.natural[rows], np.float32(-200.0))
    first, second, third = (np.take_along_axis(level, sites * SECTORS + i, axis=1) for i in range(SECTORS))
    sector = np.where(third > np.maximum(first, second), 2, second > first)
    return sites, sites * SECTORS + sector


def place(draft: Draft, rows: IntArray, site: IntArray, cell: IntArray, level: Array) -> None:
    """Clutter that brings a cell's site to this level in the section."""
    draft.static[rows, site] = np.maximum(draft.natural[rows, cell] - level, MOST_GUIDED_DB)


def _depression(draft: Draft, rows: IntArray, site: IntArray) -> Array:
    """Degrees below a site's horizon at which the vehicle is, in the middle of its section."""
    weight = draft.section[rows] * (TIME_S >= 0.0) + 1e-4
    found: Array = (draft.depression[rows, site] * weight).sum(axis=1) / weight.sum(axis=1)
    return found


def _loss(draft: Draft, rows: IntArray, cell: IntArray, tilt: Array) -> Array:
    """dB of the cell's pattern towards the vehicle in the section, were its tilt this."""
    weight = draft.section[rows] * (TIME_S >= 0.0) + 1e-4
    width = vertical_width(draft.network.beam[rows, cell])[:, None]
    vertical = vertical_loss(draft.depression[rows, SITE_OF[cell]], tilt[:, None], width)
    loss = pattern_loss(draft.horizontal[rows, cell], vertical)
    found: Array = (loss * weight).sum(axis=1) / weight.sum(axis=1)
    return found


def steep_tilt(rng: np.random.Generator, draft: Draft, marks: Marks) -> None:
    """C1: a site's sectors were set too steep, the vehicle is beyond the beam's far edge, no other site near."""
    rows = draft.rows("C1")
    cell, n = draft.serving[rows], len(rows)
    site = SITE_OF[cell]
    tilt = planned_tilt(draft.network)
    width = vertical_width(draft.network.beam[rows, cell])
    # 7 to 20 dB down the beam's upper side: 0.26 to 0.8 beamwidths beyond its half-power edge.
    wanted = _depression(draft, rows, site) + width * np.sqrt(rng.uniform(7.5, 20.0, n) / 12.0)
    steep = np.clip(np.round(wanted - tilt[rows, cell]), 1.0, None)
    sectors = site[:, None] * SECTORS + np.arange(SECTORS)
    most = np.maximum(MAX_TILT_DEG - tilt[rows[:, None], sectors], 0.0)
    marks["steep"][rows[:, None], sectors] = np.minimum(steep[:, None], most)
    after = tilt[rows, cell] + marks["steep"][rows, cell]
    drop = _loss(draft, rows, cell, after) - _loss(draft, rows, cell, tilt[rows, cell])
    snr = rng.uniform(-4.0, 8.0, n)
    obstructed = _obstructed(rng, snr)
    draft.inside[rows, site] = obstructed
    draft.reference[rows] = draft.natural[rows, cell] - drop - obstructed
    others = site_levels(draft)[rows] - (draft.reference[rows] - rng.uniform(2.0, 11.0, n))[:, None]
    others[np.arange(n), site] = 0.0
    draft.static[rows] = np.maximum(draft.static[rows], others)
    draft.target_dbm[rows] = rng.uniform(-115.0, -93.0, n)
    draft.snr_db[rows] = snr


def _obstructed(rng: np.random.Generator, snr_db: Array) -> Array:
    """dB that surroundings take in the section, so that outside of it the level mostly suffices for the threshold."""
    return np.maximum(rng.uniform(3.0, 15.0, len(snr_db)), 14.0 - snr_db + rng.uniform(-3.0, 5.0, len(snr_db)))


def overshoot(rng: np.random.Generator, draft: Draft, marks: Marks) -> None:
    """C2: a cell over a kilometre away, flat and loud, serves where nearer ones are blocked or out of service."""
    rows = draft.rows("C2")
    n = len(rows)
    cell = np.full(n, FAR * SECTORS)
    draft.network.exists[rows, cell] = True
    tilt = planned_tilt(draft.network)[rows, cell]
    down = np.round(_depression(draft, rows, np.full(n, FAR)) + rng.uniform(0.0, 2.5 + 4.5 * (rng.random(n) < 0.3), n))
    marks["flat"][rows, cell] = np.maximum(tilt - down, 0.0)
    marks["boost"][rows, cell] = np.round(rng.uniform(0.0, 5.0, n), 1)
    gain = _loss(draft, rows, cell, tilt) - _loss(draft, rows, cell, tilt - marks["flat"][rows, cell])
    after = draft.natural[rows, cell] + gain + marks["boost"][rows, cell]
    level = draft.natural[rows, draft.serving[rows]] - rng.uniform(9.0, 24.0, n)
    draft.static[rows, FAR] = after - level
    snr = rng.uniform(-4.0, 8.0, n)
    obstructed = _obstructed(rng, snr)
    draft.inside[rows, FAR] = obstructed
    near = site_levels(draft)[rows, :N_NEAR] - draft.static[rows, :N_NEAR]
    margin = rng.uniform(3.0, 14.0, (n, N_NEAR)) + obstructed[:, None]
    blocked = np.maximum(near - level[:, None] + margin, 0.0)
    out = rng.random((n, N_NEAR)) < rng.uniform(0.0, 0.7, (n, 1))
    marks["blocked"][rows, :N_NEAR] = np.where(out, OUT_OF_SERVICE_DB, blocked)
    draft.reference[rows] = level - obstructed
    draft.target_dbm[rows] = rng.uniform(-113.0, -74.0, n)
    draft.snr_db[rows] = snr


def late_handover(rng: np.random.Generator, draft: Draft, marks: Marks) -> None:
    """C3: round a corner a neighbour is the better cell, but A3 offset or time to trigger keep the vehicle where it is."""
    rows = draft.rows("C3")
    n = len(rows)
    sites, cells = partners(draft, rows)
    site, cell = sites[:, 0], cells[:, 0]
    own = draft.natural[rows, draft.serving[rows]]
    lost = rng.uniform(0.0, 18.0, n)
    above = draft.offset_db[rows] + rng.uniform(3.0, 11.0, n)
    draft.static[rows] += lost[:, None]
    draft.static[rows, SITE_OF[draft.serving[rows]]] = 0.0
    draft.inside[rows, SITE_OF[draft.serving[rows]]] = lost
    draft.outside[rows, site] = np.maximum(above - lost, 0.0) + rng.uniform(8.0, 18.0, n)
    draft.reference[rows] = own - lost + above
    place(draft, rows, site, cell, draft.reference[rows])
    draft.load[rows, cell] = rng.uniform(0.15, 0.5, n)
    draft.time_to_trigger_s[rows] = rng.choice([0.1, 0.16, 0.32], size=n)
    slow = rng.random(n) < 0.6
    marks["late_s"][rows] = np.where(slow, rng.choice([1.92, 2.56, 3.2, 4.48, 5.12], size=n), 0.0)
    marks["late_db"][rows] = np.where(
        slow, rng.uniform(0.0, 2.0, n), np.maximum(rng.uniform(0.3, 1.6, n) * (above - draft.offset_db[rows]), 2.0)
    )


def overlap(rng: np.random.Generator, draft: Draft, marks: Marks) -> None:
    """C4: two or three other sites' cells, too flat, loud and busy, arrive as strongly as the serving cell."""
    rows = draft.rows("C4")
    n = len(rows)
    sites, cells = partners(draft, rows)
    own = draft.natural[rows, draft.serving[rows]]
    draft.offset_db[rows], draft.time_to_trigger_s[rows] = rng.uniform(3.5, 7.0, n), 0.64
    tilts = planned_tilt(draft.network)
    three = rng.random(n) < 0.85
    emerges = rng.random(n) < 0.85
    for rank in range(3):
        taken = np.flatnonzero(three) if rank == 2 else np.arange(n)
        at, site, cell = rows[taken], sites[taken, rank], cells[taken, rank]
        tilt = tilts[at, cell]
        up = np.minimum(np.round(_depression(draft, at, site)) - tilt, 0.0)
        louder = np.round(rng.uniform(2.0, 9.0, len(at)), 1)
        marks["raised"][at, cell], marks["louder"][at, cell] = up, louder
        marks["busier"][at, cell] = rng.uniform(0.3, 0.9, len(at))
        gain = louder + _loss(draft, at, cell, tilt) - _loss(draft, at, cell, tilt + up)
        above = rng.uniform(-2.0, 2.0 + 3.0 * draft.hardness * (rank == 0), len(at))
        place(draft, at, site, cell, own[taken] + above - gain)
        draft.outside[at, site] = np.where(emerges[taken], rng.uniform(11.0, 24.0, len(at)), 0.0)


def ping_pong(rng: np.random.Generator, draft: Draft, marks: Marks) -> None:
    """C5: two cells equally strong, and a handover that is triggered by every ripple."""
    rows = draft.rows("C5")
    n = len(rows)
    sites, cells = partners(draft, rows)
    site, cell = sites[:, 0], cells[:, 0]
    own = draft.natural[rows, draft.serving[rows]]
    place(draft, rows, site, cell, own - rng.normal(0.0, 0.8, n))
    draft.outside[rows, site] = np.where(rng.random(n) < 0.85, rng.uniform(8.0, 17.0, n), 0.0)
    draft.load[rows] *= 0.25
    draft.offset_db[rows], draft.time_to_trigger_s[rows] = rng.uniform(3.5, 6.5, n), 0.64
    draft.jitter_db[rows] = rng.uniform(1.5, 2.8, n)
    marks["hasty_db"][rows] = rng.uniform(-0.5, 0.7, n) - draft.offset_db[rows]
    marks["hasty_s"][rows] = 0.1 - draft.time_to_trigger_s[rows]


def collision(rng: np.random.Generator, draft: Draft, _: Marks) -> None:
    """C6: a strong neighbour was given a PCI that is the serving cell's modulo 30."""
    rows = draft.rows("C6")
    n = len(rows)
    sites, cells = partners(draft, rows)
    site, cell = sites[:, 0], cells[:, 0]
    own = draft.natural[rows, draft.serving[rows]]
    place(draft, rows, site, cell, own - rng.uniform(-1.0, 6.5 + 1.5 * draft.hardness, n))
    draft.offset_db[rows] = rng.uniform(3.0, 6.5, n)
    draft.outside[rows, site] = np.where(rng.random(n) < 0.6, rng.uniform(2.0, 12.0, n), 0.0)
    draft.load[rows, cell] = rng.uniform(0.0, 0.06, n)
    draft.pci[rows, cell] = same_residue(rng, draft.network.pci[rows, draft.serving[rows]], (1, 17))


def same_residue(rng: np.random.Generator, pci: IntArray, apart: tuple[int, int]) -> IntArray:
    """Another PCI with the same remainder by 30, from `apart[0]` to below `apart[1]` (1 to 33) times 30 further on."""
    return pci % 30 + 30 * ((pci // 30 + rng.integers(*apart, len(pci))) % 33)


def resource_blocks(rng: np.random.Generator, draft: Draft) -> tuple[Array, Array]:
    """Scheduled and planned resource blocks, (n, t) each. C8: other users take the cell's blocks in the section."""
    n = len(draft.cause)
    whole = rng.choice([273.0, 273.0, 273.0, 245.0, 217.0], size=n)
    least = 163.0 + draft.ease * 20.0
    # A handover takes blocks too: a network in which they come often has some to spare.
    spare = np.minimum(least + 60.0 * (draft.cause == CAUSES.index("C5")), whole - 8.0)
    level = rng.uniform(spare, whole - 3.0)
    noise = np.repeat(rng.uniform(0.3, 7.0, n)[:, None], N_STEPS, axis=1) * rng.standard_normal((n, N_STEPS))
    planned = np.clip(level[:, None] + noise, least - 1.0, whole[:, None])
    few = 157.0 - draft.ease * 10.0 - rng.gamma(1.6, 22.0, n)
    loaded = np.clip(np.maximum(few, 30.0)[:, None] + noise * 0.8, 8.0, 158.0)
    # In most of the windows that are short of blocks they are few all along, and fewest in the section.
    all_along = (draft.cause == CAUSES.index("C8")) & (rng.random(n) < 0.7)
    elsewhere = np.where(all_along, np.minimum(level, rng.uniform(120.0, 162.0, n)), level)[:, None] - level[:, None]
    short = np.zeros(n, dtype=bool)
    short[draft.rows("C8")] = True
    confounds = ~short & (rng.random(n) < 0.1 * draft.hardness)
    loaded = np.where(confounds[:, None], rng.uniform(130.0, 158.0, (n, 1)) + 0.3 * noise, loaded)
    # In some windows of other causes the section has fewer than 160, enough for its rate; their average stays above.
    fewer = planned + (np.minimum(planned, rng.uniform(110.0, 158.0, (n, 1)) + 0.3 * noise) - planned) * draft.section
    modest = ~short & ~confounds & (rng.random(n) < 0.2 * draft.hardness) & (fewer.mean(axis=1) > 172.0)
    planned = np.where(modest[:, None], fewer, planned)
    share = np.where(short[:, None], draft.section, draft.elsewhere) * (short | confounds)[:, None]
    scheduled = planned + elsewhere
    return scheduled + (loaded - scheduled) * share, planned


INJECT: dict[str, Callable[[np.random.Generator, Draft, Marks], None]] = {
    "C1": steep_tilt,
    "C2": overshoot,
    "C3": late_handover,
    "C4": overlap,
    "C5": ping_pong,
    "C6": collision,
}
