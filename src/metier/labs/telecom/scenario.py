"""Scenarios: everything that is drawn of windows before physics runs, and the mechanisms of the causes beside it.

A scenario is the network as planned. The mechanisms are what went wrong, a group of fields for each cause, so that
any cause can be taken out again with all draws the same: the counterfactual by which windows are labelled and tested.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

STEP_S = 0.5
WARM_STEPS = 2
STEPS_A_SAMPLE = 2


@dataclass(frozen=True)
class Scenario:
    """n windows as planned: s sites, c cells, t steps of STEP_S (WARM_STEPS of them before the first sample).

    gain (n, s, t): minus path loss, shadowing and clutter, dB. depression (n, s, t): degrees below the horizon of the
    vehicle as seen from the site. horizontal (n, c, t): loss of the horizontal pattern, dB. tilt, width (n, c)
    degrees; eirp
    (n, c) dBm a subcarrier; load (n, c) in [0, 1]; floor_dbm (n,): noise and the interference of cells beyond the table.
    jitter (n, s, t): what filtering leaves of a site's fast fading in a measurement, dB. rate_noise (n, t): a factor.
    """

    gain: Array
    depression: Array
    horizontal: Array
    exists: BoolArray
    tilt: Array
    width: Array
    eirp: Array
    load: Array
    floor_dbm: Array
    pci: IntArray
    offset_db: Array
    time_to_trigger_s: Array
    interruption_s: Array
    restart: Array
    recovery_s: Array
    speed_km_h: Array
    n_rb: Array
    frequency_ghz: Array
    csi_delay_s: Array
    implementation: Array
    layers: Array
    beam_gain_db: Array
    downlink_share: Array
    jitter: Array
    rate_noise: Array

    def on_link(self, implementation: Array, downlink_share: Array) -> Scenario:
        """The same windows, driven with other receivers and frame formats."""
        return replace(self, implementation=implementation, downlink_share=downlink_share)


@dataclass(frozen=True)
class Mechanisms:
    """What went wrong in n windows. Neutral values leave the scenario as planned.

    C1: `steep` (n, c) degrees added to tilts. C2: `flat` (n, c) degrees taken off tilts and `boost` (n, c) dB on the
    cell that
    over-shoots, `blocked` (n, s) dB on nearer sites. C3: `late_db`, `late_s` (n,) added to A3 offset and time to trigger.
    C4: `raised` (n, c) degrees added to tilts (negative: up), `louder` (n, c) dB and `busier` (n, c) of load on neighbours.
    C5: `hasty_db`, `hasty_s` (n,) added to A3 offset and time to trigger (negative). C6: `pci` (n, c) in the place of the
    plan's. C7: `speed_km_h` (n, t) in the place of the plan's. C8: `n_rb` (n, t) in the place of the plan's.
    """

    steep: Array
    flat: Array
    boost: Array
    blocked: Array
    late_db: Array
    late_s: Array
    raised: Array
    louder: Array
    busier: Array
    hasty_db: Array
    hasty_s: Array
    pci: IntArray
    speed_km_h: Array
    n_rb: Array


# The fields that each cause owns.
FIELDS: dict[str, tuple[str, ...]] = {
    "C1": ("steep",),
    "C2": ("flat", "boost", "blocked"),
    "C3": ("late_db", "late_s"),
    "C4": ("raised", "louder", "busier"),
    "C5": ("hasty_db", "hasty_s"),
    "C6": ("pci",),
    "C7": ("speed_km_h",),
    "C8": ("n_rb",),
}
_OF_PLAN = ("pci", "speed_km_h", "n_rb")


def without(mechanisms: Mechanisms, scenario: Scenario, cause: str) -> Mechanisms:
    """The same windows, had this cause's mechanism not been there."""
    neutral = {
        name: getattr(scenario, name) if name in _OF_PLAN else np.zeros_like(getattr(mechanisms, name))
        for name in FIELDS[cause]
    }
    return replace(mechanisms, **neutral)


def replaced(mechanisms: Mechanisms, scenario: Scenario) -> Mechanisms:
    """No mechanism at all: the windows as planned."""
    for cause in FIELDS:
        mechanisms = without(mechanisms, scenario, cause)
    return mechanisms


def alone(mechanisms: Mechanisms, scenario: Scenario, cause_rows: dict[str, BoolArray]) -> Mechanisms:
    """Only each window's own cause left: `cause_rows` says for each cause which windows (n,) are its own."""
    kept = {}
    for cause, names in FIELDS.items():
        own = cause_rows[cause]
        bare = without(mechanisms, scenario, cause)
        for name in names:
            mine, none = getattr(mechanisms, name), getattr(bare, name)
            kept[name] = np.where(own.reshape(-1, *[1] * (mine.ndim - 1)), mine, none)
    return Mechanisms(**kept)


def own_removed(mechanisms: Mechanisms, scenario: Scenario, cause_rows: dict[str, BoolArray]) -> Mechanisms:
    """All but each window's own cause: the other side of `alone`."""
    return alone(mechanisms, scenario, {cause: ~rows for cause, rows in cause_rows.items()})


Group = TypeVar("Group")


def take(group: Group, index: IntArray | BoolArray | slice) -> Group:
    """These windows alone, of a dataclass of arrays (n, ...)."""
    names = [field.name for field in fields(group)]  # type: ignore[arg-type]
    return type(group)(**{name: getattr(group, name)[index] for name in names})
