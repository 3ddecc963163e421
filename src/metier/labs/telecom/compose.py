"""From drafts to scenarios: clutter, levels, floors, the user's link and the handover's cost put together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from metier.labs.telecom import causes, confounders, radio
from metier.labs.telecom.antenna import vertical_width
from metier.labs.telecom.draft import N_STEPS, Draft
from metier.labs.telecom.drive import Radio, radio_of, rate, sampled
from metier.labs.telecom.evidence import THRESHOLD_MBPS
from metier.labs.telecom.link import SYMBOLS_PER_RB_S
from metier.labs.telecom.network import N_SITES, planned_tilt
from metier.labs.telecom.parts import CAUSES
from metier.labs.telecom.propagation import LIGHT_SPEED_M_S
from metier.labs.telecom.scenario import Mechanisms, Scenario, replaced

Array = npt.NDArray[np.floating]

_NEUTRAL_IMPLEMENTATION = 0.7
_NEUTRAL_SHARE = 0.66


def compose(rng: np.random.Generator, draft: Draft) -> tuple[Scenario, Mechanisms, Radio]:
    """Put each window's cause into it. Besides scenario and mechanisms: what would be heard without any mechanism."""
    causes.isolate(rng, draft)
    marks = causes.neutral(draft)
    for inject in causes.INJECT.values():
        inject(rng, draft, marks)
    confounders.confound(rng, draft)
    n_rb, planned_rb = causes.resource_blocks(rng, draft)
    scenario = _scenario(rng, draft, planned_rb)
    small = {name: mark.astype(np.float32) for name, mark in marks.items()}
    mechanisms = Mechanisms(**small, pci=draft.pci, speed_km_h=draft.speed_km_h, n_rb=n_rb.astype(np.float32))
    planned = replaced(mechanisms, scenario)
    plan = radio_of(scenario, planned)
    return _calibrated(rng, draft, scenario, planned, plan), mechanisms, plan


def _scenario(rng: np.random.Generator, draft: Draft, planned_rb: Array) -> Scenario:
    n = len(draft.cause)
    network = draft.network
    entered = draft.section[:, None, :]
    clutter = (
        draft.static[:, :, None] + draft.inside[:, :, None] * entered + draft.outside[:, :, None] * (1.0 - entered)
    )
    alike = (draft.target_dbm - draft.reference).astype(np.float32)
    # Where handovers are the trouble, one by itself costs little; else the plan would be low as well.
    late, often = draft.cause == CAUSES.index("C3"), draft.cause == CAUSES.index("C5")
    floor = np.maximum(draft.target_dbm - draft.snr_db, radio.thermal_dbm(rng.uniform(4.0, 8.0, n)))
    fields = {
        "gain": draft.gain - clutter.astype(np.float32) + alike[:, None, None],
        "depression": draft.depression,
        "horizontal": draft.horizontal,
        "tilt": planned_tilt(network),
        "width": vertical_width(network.beam),
        "eirp": network.eirp_dbm,
        "load": draft.load,
        "floor_dbm": floor,
        "offset_db": draft.offset_db,
        "time_to_trigger_s": draft.time_to_trigger_s,
        "interruption_s": rng.uniform(0.03, np.where(often, 0.2, 0.35)),
        "restart": rng.uniform(0.15, np.where(often, 0.5, 0.75)),
        "recovery_s": rng.uniform(0.3, np.where(late, 0.7, 1.6)),
        "speed_km_h": draft.planned_speed_km_h,
        "n_rb": planned_rb,
        "frequency_ghz": network.frequency_ghz,
        "csi_delay_s": draft.csi_delay_s,
        "implementation": np.full(n, _NEUTRAL_IMPLEMENTATION),
        "layers": np.full(n, 4.0),
        "beam_gain_db": rng.uniform(4.0, 10.0, n),
        "downlink_share": np.full(n, _NEUTRAL_SHARE),
        "jitter": draft.jitter_db[:, None, None].astype(np.float32)
        * rng.standard_normal((n, N_SITES, N_STEPS), dtype=np.float32),
        "rate_noise": np.exp(rng.uniform(0.02, 0.1, n)[:, None] * rng.standard_normal((n, N_STEPS), dtype=np.float32)),
    }
    small = {name: np.asarray(value, dtype=np.float32) for name, value in fields.items()}
    return Scenario(**small, exists=network.exists, pci=network.pci)


def _calibrated(
    rng: np.random.Generator, draft: Draft, scenario: Scenario, planned: Mechanisms, plan: Radio
) -> Scenario:
    """Give each user a link on which the drive without its cause would have run at a usual rate in the window's section.

    The rate is drawn, 700 to 1300 Mbit/s; receivers, schedulers and frame formats differ enough to make it (implementation
    loss 0.45 to 0.9 of Shannon's bound, 0.55 to 0.8 of the symbols for downlink data), and where they do not, the window
    is as the physics has it.
    """
    weight = sampled(draft.section) + np.float32(1e-3)
    weight /= weight.sum(axis=1, keepdims=True)
    rates = sampled(rate(scenario, planned, plan))
    # Between the mean and the least: most of the section shall be above the threshold.
    neutral = 0.8 * np.einsum("nt,nt->n", rates, weight) + 0.2 * np.where(weight > 0.01, rates, np.inf).min(axis=1)
    # What other users or interruptions take is a share: from too high a rate it would not go below the threshold.
    shared = np.isin(draft.cause, [CAUSES.index("C5"), CAUSES.index("C8")])
    wanted = rng.uniform(np.where(shared, 700.0, 800.0), np.where(shared, 1100.0, 1300.0)).astype(np.float32)
    factor = np.clip(wanted / np.maximum(neutral, 1.0), 0.5, 1.55)
    implementation = np.clip(_NEUTRAL_IMPLEMENTATION * factor, 0.45, 0.9)
    share = np.clip(_NEUTRAL_SHARE * factor * _NEUTRAL_IMPLEMENTATION / implementation, 0.55, 0.8)
    linked = scenario.on_link(implementation.astype(np.float32), share.astype(np.float32))
    sinr_db = np.einsum("nt,nt->n", sampled(radio.decibel(plan.ratio)), weight)
    return replace(linked, csi_delay_s=_delays(rng, draft, linked, sinr_db))


def _delays(rng: np.random.Generator, draft: Draft, scenario: Scenario, sinr_db: Array) -> Array:
    """How old channel state is, s. C7: so old that it is just good enough at about the speed limit of the option.

    The usable SINR that the threshold takes at four layers is s; rho^2 s0 / (1 + (1 - rho^2) s0) = s gives rho^2,
    and Jakes' correlation the delay at that speed.
    """
    rows = draft.rows("C7")
    gain = _median_rate(scenario)[rows]
    needed = 4.0 * (np.exp2(THRESHOLD_MBPS / gain / (4.0 * scenario.implementation[rows])) - 1.0)
    usable = radio.linear(sinr_db[rows] + scenario.beam_gain_db[rows])
    kept = np.clip(needed * (1.0 + usable) / (usable * (1.0 + needed)), 0.3, 0.99)
    speed = rng.uniform(41.0, 52.0, len(rows))
    doppler_hz = speed / 3.6 * draft.network.frequency_ghz[rows] * 1e9 / LIGHT_SPEED_M_S
    delay = scenario.csi_delay_s.copy()
    # J0(x) = 1 - x^2 / 4 + x^4 / 64 = rho for the x of interest, below 1.6.
    delay[rows] = np.sqrt(2.0 - 2.0 * np.sqrt(np.sqrt(kept))) * 2.0 / (2.0 * np.pi * doppler_hz)
    return delay


def _median_rate(scenario: Scenario) -> Array:
    """Mbit/s that 1 bit/s/Hz makes, (n,)."""
    return np.median(scenario.n_rb, axis=1) * scenario.downlink_share * (SYMBOLS_PER_RB_S * 1e-6)
