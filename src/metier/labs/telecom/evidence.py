"""What is literally true of a window, per sample: the quantities of which the options speak, without measurement error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metier.labs.telecom.draft import Draft, hardness
from metier.labs.telecom.drive import Run, at_samples, sampled
from metier.labs.telecom.network import SITE_OF
from metier.labs.telecom.parts import CAUSES
from metier.labs.telecom.scenario import Mechanisms, Scenario

Array = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

THRESHOLD_MBPS = 600.0
OVERLAP_DB = 6.0


@dataclass(frozen=True)
class Evidence:
    """(n, N_SAMPLES) each, but `handovers` (n,): changes of serving cell from sample to sample.

    `beyond`: how far outside the far edge of the beam the vehicle is, in beamwidths. `overlaps`: cells of
    other sites less than OVERLAP_DB below the serving cell. `better_db`: the strongest neighbour over the serving cell.
    `collision_db`: the same of neighbours with the same PCI mod 30, -200 where there is none.
    """

    low: BoolArray
    rsrp_dbm: Array
    distance_m: Array
    beyond: Array
    overlaps: IntArray
    better_db: Array
    collision_db: Array
    speed_km_h: Array
    n_rb: Array
    handovers: IntArray


def evidence(draft: Draft, scenario: Scenario, mechanisms: Mechanisms, run: Run) -> Evidence:
    """What the drive shows."""
    serving = at_samples(run.serving)
    rsrp = at_samples(run.rsrp)
    own = np.take_along_axis(rsrp, serving[:, None, :], axis=1)[:, 0]
    other = rsrp - own[:, None, :]
    np.put_along_axis(other, serving[:, None, :], np.float32(-200.0), axis=1)
    site = SITE_OF[serving]
    elsewhere = SITE_OF.astype(np.int8)[None, :, None] != site.astype(np.int8)[:, None, :]
    pci = np.take_along_axis(mechanisms.pci, serving, axis=1)
    same = (mechanisms.pci % 30).astype(np.int8)[:, :, None] == (pci % 30).astype(np.int8)[:, None, :]
    tilt = np.take_along_axis(scenario.tilt + mechanisms.steep - mechanisms.flat + mechanisms.raised, serving, axis=1)
    width = np.take_along_axis(scenario.width, serving, axis=1)
    below = np.take_along_axis(at_samples(scenario.depression), site[:, None, :], axis=1)[:, 0]
    distance = np.take_along_axis(at_samples(draft.distance_m), site[:, None, :], axis=1)[:, 0]
    return Evidence(
        low=sampled(run.throughput_mbps) < THRESHOLD_MBPS,
        rsrp_dbm=own,
        distance_m=distance,
        beyond=(tilt - 0.5 * width - below) / width,
        overlaps=((other > -OVERLAP_DB) & elsewhere).sum(axis=1),
        better_db=other.max(axis=1),
        collision_db=np.where(same, other, np.float32(-200.0)).max(axis=1),
        speed_km_h=at_samples(mechanisms.speed_km_h),
        n_rb=sampled(run.n_rb),
        handovers=(serving[:, 1:] != serving[:, :-1]).sum(axis=1),
    )


def share_of_low(said: BoolArray, low: BoolArray) -> Array:
    """In what share of the low samples it is so, (n,); 0 where none is low."""
    found: Array = (said & low).sum(axis=1) / np.maximum(low.sum(axis=1), 1)
    return found


def holds(found: Evidence, difficulty: float) -> BoolArray:
    """(n, 8): whether each cause is literally there where throughput is low, as its option says it."""
    low = found.low
    count = np.maximum(low.sum(axis=1), 1)
    blocks = (found.n_rb * low).sum(axis=1) / count
    weak = (found.rsrp_dbm * low).sum(axis=1) / count < -91.0
    near = share_of_low(found.distance_m < 1000.0, low) > 0.99
    return np.stack(
        [
            (share_of_low(found.beyond > 0.25, low) > 0.8) & weak & near,
            share_of_low(found.distance_m > 1000.0, low) > 0.99,
            share_of_low(found.better_db > 1.5, low) >= 0.5,
            share_of_low(found.overlaps >= 2, low) >= 0.6,
            found.handovers >= 3 - (difficulty > 0.125),
            share_of_low(found.collision_db > -10.0, low) >= 0.6,
            share_of_low(found.speed_km_h > 40.5, low) > 0.99,
            blocks < 159.0,
        ],
        axis=1,
    )


def stays_away(found: Evidence, difficulty: float) -> BoolArray:
    """(n, 8): whether each cause is clearly not there where throughput is low (it may be nearly there, or elsewhere)."""
    low = found.low
    count = np.maximum(low.sum(axis=1), 1)
    blocks = (found.n_rb * low).sum(axis=1) / count
    weak = (found.rsrp_dbm * low).sum(axis=1) / count < -91.0
    hard = hardness(difficulty)
    ease = max(1.0 - hard, 0.0)
    return np.stack(
        [
            # Beyond a kilometre the beam may end before the vehicle: that option speaks of the distance.
            ~weak
            | (share_of_low(found.beyond > 0.25, low) < 0.3)
            | (share_of_low(found.distance_m > 1000.0, low) > 0.99),
            (found.distance_m < 1000.0 - 60.0 * ease).all(axis=1),
            share_of_low(found.better_db > 3.0 - 2.0 * ease, low) <= 0.2 + 0.5 * hard,
            share_of_low(found.overlaps >= 2, low) <= 0.1 + 0.7 * hard,
            found.handovers <= 1 + (difficulty >= 0.25),
            share_of_low(found.collision_db > -10.5 - 3.0 * ease, low) <= 0.1 + 0.2 * hard,
            share_of_low(found.speed_km_h > 40.4, low) < 0.01,
            # Fewer in the low samples alone may be: what the option speaks of is an average.
            (blocks > 161.0) | (found.n_rb.mean(axis=1) > 168.0),
        ],
        axis=1,
    )


# What two options may both say of one window without a mistake: a handover that comes too often is late or early for the
# stronger cell, and several overlapping cells take turns in being the strongest.
TOLERATED = {
    "C5": ("C3",),
    "C4": ("C3",),
}


def literal(found: Evidence, cause: IntArray, difficulty: float) -> BoolArray:
    """(n,): windows whose own cause is there and no other."""
    there, away = holds(found, difficulty), stays_away(found, difficulty)
    good = there[np.arange(len(cause)), cause]
    for own, name in enumerate(CAUSES):
        excused = [CAUSES.index(other) for other in TOLERATED.get(name, ())]
        others = [i for i in range(len(CAUSES)) if i != own and i not in excused]
        good &= (cause != own) | away[:, others].all(axis=1)
    return good
