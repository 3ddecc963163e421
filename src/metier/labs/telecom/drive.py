"""The physics of a drive: scenario and mechanisms in, radio and throughput at every step out. Nothing is drawn here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from metier.labs.telecom import handover, link, radio
from metier.labs.telecom.antenna import pattern_loss, vertical_loss
from metier.labs.telecom.network import SITE_OF
from metier.labs.telecom.parts import N_SAMPLES
from metier.labs.telecom.scenario import STEP_S, STEPS_A_SAMPLE, WARM_STEPS, Mechanisms, Scenario

Array = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]

Number = TypeVar("Number", bound=np.generic)
_ABSENT_DBM = np.float32(-200.0)


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
    rsrp = received(scenario, mechanisms)
    serving, since = handover.serve(
        rsrp + scenario.jitter,
        scenario.offset_db + mechanisms.late_db + mechanisms.hasty_db,
        np.maximum(scenario.time_to_trigger_s + mechanisms.late_s + mechanisms.hasty_s, 0.0),
        STEP_S,
    )
    ratio = reference_sinr(scenario, mechanisms, rsrp, serving)
    share = handover.share_after(since, scenario.interruption_s, scenario.restart, scenario.recovery_s, STEP_S)
    bits = spectral_efficiency(scenario, mechanisms, ratio)
    rate = link.throughput(bits, mechanisms.n_rb, scenario.downlink_share[:, None])
    return Run(
        rsrp=rsrp,
        serving=serving,
        sinr_db=radio.decibel(ratio),
        throughput_mbps=rate * share * scenario.rate_noise,
        n_rb=mechanisms.n_rb * np.where(since == 0, 1.0 - 0.5 * scenario.interruption_s[:, None] / STEP_S, 1.0),
    )


def received(scenario: Scenario, mechanisms: Mechanisms) -> Array:
    """RSRP in dBm of every cell, (n, c, t); -200 where a cell does not exist."""
    tilt = scenario.tilt + mechanisms.steep - mechanisms.flat + mechanisms.raised
    power = scenario.eirp + mechanisms.boost + mechanisms.louder - mechanisms.blocked[:, SITE_OF]
    power = np.where(scenario.exists, power, _ABSENT_DBM).astype(np.float32)
    vertical = vertical_loss(scenario.depression[:, SITE_OF], tilt[:, :, None], scenario.width[:, :, None])
    level = scenario.gain[:, SITE_OF] - pattern_loss(scenario.horizontal, vertical)
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
    found: Array = kept.reshape(len(kept), N_SAMPLES, STEPS_A_SAMPLE).mean(axis=2)
    return found


def at_samples(steps: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """The value at the end of each second, (n, …, N_SAMPLES) of (n, …, t)."""
    return steps[..., WARM_STEPS + STEPS_A_SAMPLE - 1 :: STEPS_A_SAMPLE]
