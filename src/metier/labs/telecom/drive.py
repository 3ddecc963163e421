"""The physics of a drive: scenario and mechanisms in, radio and throughput at every step out. Nothing is drawn here."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from metier.labs.telecom import handover, link, radio
from metier.labs.telecom.antenna import radiated
from metier.labs.telecom.network import SITE_OF
from metier.labs.telecom.parts import CAUSES
from metier.labs.telecom.scenario import STEP_S, STEPS_A_SAMPLE, WARM_STEPS, Mechanisms, Scenario, take

Array = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

Number = TypeVar("Number", bound=np.generic)
# The causes that change what levels are received, and which cell serves or disturbs.
LEVELS = tuple(CAUSES.index(name) for name in ("C1", "C2", "C4"))
SERVICE = tuple(CAUSES.index(name) for name in ("C3", "C5", "C6"))
_ABSENT_DBM = np.float32(-200.0)


@dataclass(frozen=True)
class Radio:
    """What is heard: rsrp (n, c, t) dBm; serving (n, t) cell; since (n, t) steps since the last handover; ratio (n, t), the
    linear SINR. Causes C1 to C6 change it; speed and resource blocks (C7, C8) do not."""

    rsrp: Array
    serving: IntArray
    since: IntArray
    ratio: Array


@dataclass(frozen=True)
class Run:
    """What the drive saw: rsrp (n, c, t) dBm; serving (n, t) cell; sinr_db and throughput_mbps (n, t)."""

    rsrp: Array
    serving: IntArray
    sinr_db: Array
    throughput_mbps: Array
    n_rb: Array


def drive(scenario: Scenario, mechanisms: Mechanisms) -> Run:
    """Run the physics."""
    return run_on(scenario, mechanisms, radio_of(scenario, mechanisms))


def run_on(scenario: Scenario, mechanisms: Mechanisms, heard: Radio) -> Run:
    """The rest of the physics, on what is heard."""
    return Run(
        rsrp=heard.rsrp,
        serving=heard.serving,
        sinr_db=radio.decibel(heard.ratio),
        throughput_mbps=rate(scenario, mechanisms, heard),
        n_rb=blocks(scenario, mechanisms, heard),
    )


def radio_of(scenario: Scenario, mechanisms: Mechanisms, rsrp: Array | None = None) -> Radio:
    """Levels (`rsrp` where they are known), serving cells and SINR."""
    rsrp = received(scenario, mechanisms) if rsrp is None else rsrp
    serving, since = handover.serve(
        _by_site(rsrp, scenario.jitter),
        scenario.offset_db + mechanisms.late_db + mechanisms.hasty_db,
        np.maximum(scenario.time_to_trigger_s + mechanisms.late_s + mechanisms.hasty_s, 0.0),
        STEP_S,
    )
    return Radio(rsrp, serving, since, reference_sinr(scenario, mechanisms, rsrp, serving))


def _by_site(rsrp: Array, jitter: Array) -> Array:
    """Levels (n, c, t) with their sites' jitter (n, s, t)."""
    n, n_cells, n_steps = rsrp.shape
    found: Array = rsrp.reshape(n, jitter.shape[1], n_cells // jitter.shape[1], n_steps) + jitter[:, :, None]
    return found.reshape(n, n_cells, n_steps)


def radio_beside(plan: Radio, scenario: Scenario, mechanisms: Mechanisms, cause: IntArray) -> Radio:
    """What is heard with these mechanisms in force, one cause's (n,) a window, where `plan` is heard without any.

    The same as `radio_of`, but only what the cause can change is computed: levels for C1, C2 and C4, the serving cell or
    interference for C3, C5 and C6, nothing for C7 and C8.
    """
    heard = Radio(*(getattr(plan, field.name).copy() for field in fields(Radio)))
    for rows, of_levels in ((_together(np.isin(cause, LEVELS)), True), (_together(np.isin(cause, SERVICE)), False)):
        some = radio_of(take(scenario, rows), take(mechanisms, rows), None if of_levels else plan.rsrp[rows])
        for field in fields(Radio):
            getattr(heard, field.name)[rows] = getattr(some, field.name)
    return heard


def _together(chosen: BoolArray) -> IntArray | slice:
    """These rows; as a slice, which copies nothing, where they lie together."""
    rows = np.flatnonzero(chosen)
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def rate(scenario: Scenario, mechanisms: Mechanisms, heard: Radio) -> Array:
    """Throughput in Mbit/s on what is heard, (n, t)."""
    share = handover.share_after(heard.since, scenario.interruption_s, scenario.restart, scenario.recovery_s, STEP_S)
    bits = spectral_efficiency(scenario, mechanisms, heard.ratio)
    clean = link.throughput(bits, mechanisms.n_rb, scenario.downlink_share[:, None])
    return clean * share * scenario.rate_noise


def blocks(scenario: Scenario, mechanisms: Mechanisms, heard: Radio) -> Array:
    """Resource blocks that the user has, (n, t): fewer while a handover interrupts."""
    left = 1.0 - 0.5 * scenario.interruption_s[:, None] / STEP_S
    return mechanisms.n_rb * np.where(heard.since == 0, left, np.float32(1.0))


def received(scenario: Scenario, mechanisms: Mechanisms) -> Array:
    """RSRP in dBm of every cell, (n, c, t); -200 where a cell does not exist."""
    tilt = scenario.tilt + mechanisms.steep - mechanisms.flat + mechanisms.raised
    power = scenario.eirp + mechanisms.boost + mechanisms.louder - mechanisms.blocked[:, SITE_OF]
    power = np.where(scenario.exists, power, _ABSENT_DBM).astype(np.float32)
    level = radiated(scenario.gain, scenario.depression, scenario.horizontal, tilt, scenario.width)
    level += power[:, :, None]
    return np.maximum(level, _ABSENT_DBM, out=level)


def reference_sinr(scenario: Scenario, mechanisms: Mechanisms, rsrp: Array, serving: IntArray) -> Array:
    """Linear SINR of the serving cell's reference signals, (n, t)."""
    serving_pci = np.take_along_axis(mechanisms.pci, serving, axis=1)
    load = np.minimum(scenario.load + mechanisms.busier, 1.0)
    active = radio.activity(load, mechanisms.pci, serving_pci)
    return radio.sinr(radio.linear(rsrp), active, serving, radio.linear(scenario.floor_dbm))


def spectral_efficiency(scenario: Scenario, mechanisms: Mechanisms, ratio: Array) -> Array:
    """bit/s/Hz over all layers at these SINR (n, t)."""
    kept = link.ageing(mechanisms.speed_km_h, scenario.frequency_ghz[:, None], scenario.csi_delay_s[:, None])
    usable = link.aged_sinr(ratio * radio.linear(scenario.beam_gain_db)[:, None], kept)
    return link.efficiency(usable.astype(np.float32), scenario.implementation[:, None], scenario.layers[:, None])


def sampled(steps: Array) -> Array:
    """The mean over each second of the drive test, (n, N_SAMPLES) of (n, t)."""
    kept = steps[:, WARM_STEPS:]
    # Slice by slice: numpy is slow at reducing over a few neighbouring values.
    found: Array = sum((kept[:, i::STEPS_A_SAMPLE] for i in range(1, STEPS_A_SAMPLE)), start=kept[:, ::STEPS_A_SAMPLE])
    return found / STEPS_A_SAMPLE


def at_samples(steps: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """The value at the end of each second, (n, …, N_SAMPLES) of (n, …, t)."""
    return steps[..., WARM_STEPS + STEPS_A_SAMPLE - 1 :: STEPS_A_SAMPLE]
