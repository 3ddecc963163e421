"""What `metier demo` may run on: the made-up logs of the labs, and clinc150; with the settings that suit each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metier.errors import NotFound
from metier.labs import clinc
from metier.labs.registry import LABS

DATA_VARIABLE = "METIER_DATA"
TELECOM, SUPPORT, CLINC = "telecom", "support", "clinc150"
NAMES = (TELECOM, SUPPORT, CLINC)
# Calls that are made up, and the days that they span: a bill worth looking at, of some 100,000 drive tests a month for the
# operator and 300,000 calls for the desk.
_CALLS = {TELECOM: 12_000, SUPPORT: 20_000}
_DAYS = {TELECOM: 2.2, SUPPORT: 1.9, CLINC: 3.0}

_SETTINGS = """\
# Settings of the demo; `metier init` elsewhere shows all there are.
[project]
seed = {seed}

# Many of the calls were never judged by anyone: take more of the log for the certificate, which needs judged ones.
[curate]
calibration_fraction = 0.35
test_fraction = 0.15
{train}
[generalist]
backend = "replay"
# The answers in this log are made up, so they must not bear a real model's name in the report.
model = "made-up frontier"

# At the gateway: keep what the certificate allows, and let the frontier answer 5% of that too, to measure the error.
[route]
mode = "route"
audit_share = 0.05
# The frontier is wrong itself: so often may it differ from a kept answer, beyond the certificate's own share.
audit_allowance = {allowance}
"""
_SHORT_TRAINING = """
# Fewer passes and shorter inputs than by default, so that the tour stays short on two cores.
[train]
epochs = 3
max_tokens = 48
"""
# n-grams learn nothing of tables of numbers, however many: their learning curve would be a minute spent on a flat line.
_ONE_CURVE = """
# Learning curves of the trees alone, so that the tour stays short on two cores.
[train]
curve_students = ["trees"]
"""
# The errors of the frontier that each log makes up, and a little more: the certificates are about the truth.
_ALLOWANCE = {TELECOM: 0.25, SUPPORT: 0.1, CLINC: 0.1}
_TRAIN = {TELECOM: _ONE_CURVE, SUPPORT: _SHORT_TRAINING, CLINC: _SHORT_TRAINING}


@dataclass(frozen=True)
class DemoData:
    """Where the demo's calls come from: what is said of it, the calls, and the project's settings."""

    name: str
    description: str
    calls: Iterator[dict[str, Any]]
    settings: str


def demo_data(name: str, n_calls: int | None, seed: int) -> DemoData:
    """The data of this name; `n_calls` of what is made up, None for the usual number.

    Raises NotFound where there is none of the name, or clinc150 is not on this machine.
    """
    if name not in NAMES:
        raise NotFound(f"no data is called '{name}'; there are: {', '.join(NAMES)}")
    description, calls = _clinc(seed) if name == CLINC else _made_up(name, n_calls or _CALLS[name], seed)
    settings = _SETTINGS.format(seed=seed, train=_TRAIN[name], allowance=_ALLOWANCE[name])
    return DemoData(name, description, calls, settings)


def _made_up(name: str, n_calls: int, seed: int) -> tuple[str, Iterator[dict[str, Any]]]:
    made = {
        TELECOM: f"{n_calls:,} calls from the network operation of a mobile operator: drive tests simulated from radio "
        "physics, alarms, tickets, questions",
        SUPPORT: f"{n_calls:,} calls of a support desk",
    }[name]
    description = (
        f"{made}. metier makes all of it up itself (seed {seed}): nothing in it is a real model's answer, and its figures "
        "show how metier works, not how good any model is."
    )
    return description, LABS[name](n_calls, seed, days=_DAYS[name])


def _clinc(seed: int) -> tuple[str, Iterator[dict[str, Any]]]:
    root = os.environ.get(DATA_VARIABLE)
    folder = Path(root) / CLINC if root else None
    if folder is None or not (folder / "data_full.json").is_file():
        raise NotFound(f"clinc150 is not there: set {DATA_VARIABLE} to the folder that holds clinc150/data_full.json")
    description = (
        f"23,700 real requests with human labels (Larson et al. 2019, CC BY 3.0) from {folder}; the frontier's answers, "
        "their times and prices are made up."
    )
    return description, clinc.calls(folder, seed, days=_DAYS[CLINC])
