"""The made-up frontier model of the operator's log: it reads a drive test, reasons, and is right as often as published.

Its mistakes are those an engineer would make: the cause it names instead is one whose signs look alike.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np

from metier.labs.telecom.parts import CAUSES, Drives

# GPT-5 answers 80.00% of TeleLogs right (n = 864). How the errors fall on causes is not published: here what the table
# states outright (speed, resource blocks) is misread least.
ACCURACY = 0.80
_ERRORS = {"C1": 0.30, "C2": 0.18, "C3": 0.28, "C4": 0.26, "C5": 0.16, "C6": 0.22, "C7": 0.08, "C8": 0.12}
_CONFUSED = {
    "C1": ("C2", "C2", "C4", "C3"),
    "C2": ("C1", "C1", "C4", "C3"),
    "C3": ("C5", "C4", "C4", "C2"),
    "C4": ("C6", "C6", "C3", "C1"),
    "C5": ("C3", "C3", "C7", "C4"),
    "C6": ("C4", "C4", "C3", "C1"),
    "C7": ("C5", "C5", "C8", "C3"),
    "C8": ("C7", "C3", "C3", "C5"),
}
# Of the answers, those that box their conclusion in another way, and those that forget the box.
_TEXT_BOX = 0.02
_NO_BOX = 0.004
_THRESHOLD_MBPS = 600.0

_OPENINGS = (
    "The throughput is below 600 Mbps in {n_low} of the {n} samples, down to {worst:.0f} Mbps.",
    "{n_low} of {n} samples fall below 600 Mbps (minimum {worst:.0f} Mbps).",
    "Throughput drops to {worst:.0f} Mbps; {n_low} samples lie under the 600 Mbps threshold.",
    "In the section with low throughput ({n_low} samples, at worst {worst:.0f} Mbps) I compared the options with the data.",
)
_CHECKS = (
    "Mean speed there is {speed:.0f} km/h and the mean number of scheduled RBs {rb:.0f}.",
    "The vehicle drives at {speed:.0f} km/h on average, with {rb:.0f} RBs scheduled.",
    "Serving RSRP averages {rsrp:.1f} dBm at an SINR of {sinr:.1f} dB; speed is {speed:.0f} km/h.",
    "RSRP {rsrp:.1f} dBm, SINR {sinr:.1f} dB, {rb:.0f} RBs on average.",
)
_FINDINGS = {
    "C1": "The downtilt puts the beam's upper edge short of the vehicle, so coverage at the far end is weak.",
    "C2": "The vehicle is more than 1 km from the serving site: the cell over-shoots.",
    "C3": "A neighbouring cell is the better server here, and throughput rises once it takes over.",
    "C4": "Several co-frequency cells of other sites are received nearly as strongly as the serving cell.",
    "C5": "The serving PCI changes again and again within these seconds.",
    "C6": "A strong neighbour has the same PCI modulo 30 as the serving cell, which costs SINR at good RSRP.",
    "C7": "The vehicle is faster than 40 km/h where throughput is low.",
    "C8": "Fewer than 160 RBs are scheduled on average, which alone explains the rate.",
}
_LINKS = (
    "Therefore the most likely root cause is",
    "This points to",
    "So the best match is",
    "The option that fits is",
)
_RULED_OUT = (
    "The other options do not fit: {other} would show differently.",
    "{other} was considered, but the data does not support it.",
    "I rule out {other}.",
    "",
    "",
)


def conclusion(rng: Random, cause: str) -> str:
    """The cause that the frontier model names for a window of this true cause."""
    if rng.random() >= _ERRORS[cause]:
        return cause
    return _CONFUSED[cause][int(rng.random() * 4)]


def reasoning(rng: Random, drives: Drives, place: int, named: str, label: Callable[[str], str] = str) -> str:
    """The answer to window `place`: what it cites is measured, the conclusion is `named`. `label` gives what the question
    calls a cause."""
    facts = _facts(drives, place)
    other = _pick(tuple(label(cause) for cause in CAUSES if cause != named and label(cause)), rng)
    said = [_pick(_OPENINGS, rng), _pick(_CHECKS, rng), _pick(_RULED_OUT, rng)]
    lines = [part.format(**facts, other=other) for part in said if part]
    text = " ".join([*lines, _FINDINGS[named], f"{_pick(_LINKS, rng)} {label(named)}."])
    form = rng.random()
    if form < _NO_BOX:
        return text
    return f"{text}\n\n" + ("\\boxed{\\text{%s}}" if form < _NO_BOX + _TEXT_BOX else "\\boxed{%s}") % label(named)


def _facts(drives: Drives, place: int) -> dict[str, float]:
    throughput = drives.throughput_mbps[place]
    low = throughput < _THRESHOLD_MBPS
    means = {
        "speed": drives.speed_km_h,
        "rb": drives.n_rb,
        "rsrp": drives.rsrp_dbm,
        "sinr": drives.sinr_db,
    }
    found = {name: float(np.nanmean(values[place][low])) for name, values in means.items()}
    return {"n_low": int(low.sum()), "n": len(low), "worst": float(np.nanmin(throughput)), **found}


def _pick(options: tuple[str, ...], rng: Random) -> str:
    return options[int(rng.random() * len(options))]
