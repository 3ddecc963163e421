"""Both sides' lines from what was measured and stated: tokens, prices, labels, hours, machines, escalations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from metier.economics.draws import Floats, exact, lognormal, pert
from metier.economics.ownership import HOURS_PER_MONTH, Fleet, Line, Side, calls_per_machine

# People's hours: our own judgement of what is left to do by hand once metier does the rest. Building: find the labels,
# read the errors, connect the service. Retraining: read the new errors, promote. Upkeep (alerts, updates, questions)
# is the articles' 300 USD a month.
BUILD_HOURS = 24.0
UPKEEP_HOURS_MONTH = 3.0
RETRAINING_HOURS = 4.0
RETRAININGS_PER_YEAR = 4
# Share of the first label set that is bought afresh at each retraining.
FRESH_LABEL_SHARE = 0.25
# A training is run more than once: the students of the ladder, the learning curve, a repeat.
TRAINING_RUNS = 3
# Share of kept answers that is sent to the generalist at random, so that the certificate can be revoked.
AUDIT_SHARE = 0.02
# Load of the busiest hour over the mean load, and how far that hour may load a machine.
PEAK_TO_MEAN = 4.0
UTILISATION = 0.6

# Standard deviations of the logarithm; 0.2 is a 90% range of 0.72 to 1.39 times the figure.
SIGMA_CALLS = 0.2
SIGMA_TOKENS = 0.05
SIGMA_RECORDED_COST = 0.05
SIGMA_HOURS = 0.4
SIGMA_TRAINING = 0.5
SIGMA_CAPACITY = 0.3
# Machines: reserved for a year at one end, another region or provider at the other.
MACHINE_PRICE_FACTORS = (0.6, 1.0, 1.4)
# Labels: from three crowd answers at 0.012 USD (0.036) to an expert's 15 seconds at 94.6 USD an hour (0.39), which is
# a 90% range around their geometric mean, 0.12: sigma = ln(0.39 / 0.12) / 1.645.
SIGMA_LABEL_PRICE = 0.72

FRONTIER_LINES = ("input tokens", "output tokens", "recorded cost", "infrastructure", "buffer")
SPECIALIST_LINES = (
    "building",
    "labelling",
    "training",
    "evaluation",
    "serving",
    "spare machines",
    "escalated calls",
    "audited answers",
    "retraining",
    "upkeep",
)


@dataclass(frozen=True)
class CallPrice:
    """What the frontier charges for one call: by tokens at a list price, or as the log recorded it (`recorded_usd`)."""

    source: str
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    input_usd_per_million: float = 0.0
    output_usd_per_million: float = 0.0
    recorded_usd: float | None = None

    @property
    def usd(self) -> float:
        if self.recorded_usd is not None:
            return self.recorded_usd
        return (
            self.input_tokens * self.input_usd_per_million + self.output_tokens * self.output_usd_per_million
        ) / 1_000_000


@dataclass(frozen=True)
class Work:
    """What building and running the specialist takes. `train_s` seconds of one training, `n_labels` labels used,
    `n_bought` of them bought, `n_evaluated` calls to the frontier for one evaluation, `answers_per_s` of one machine,
    `replicas` machines at least."""

    train_s: float
    n_labels: int
    n_bought: int
    n_evaluated: int
    answers_per_s: float
    replicas: int


@dataclass(frozen=True)
class Rates:
    """Prices in dollars: a machine's hour, a label, a person's hour."""

    machine_usd_hour: float
    usd_per_label: float
    people_usd_hour: float


def frontier_side(price: CallPrice, calls: Floats, own: Mapping[str, float], rng: np.random.Generator) -> Side:
    """What staying on the frontier costs. `own` replaces lines by the user's dollars a month at the stated calls."""
    n = calls.size - 1
    zero = exact(0.0, n)
    if price.recorded_usd is not None:
        usd = lognormal(price.recorded_usd, SIGMA_RECORDED_COST, n, rng)
        lines = [Line("recorded cost", usd, zero, f"{price.recorded_usd:.6g} USD a call, {price.source}", falls=True)]
    else:
        lines = [
            _token_line("input tokens", price.input_tokens, price.input_usd_per_million, price.source, n, rng),
            _token_line("output tokens", price.output_tokens, price.output_usd_per_million, price.source, n, rng),
        ]
    lines += [
        Line("infrastructure", zero, zero, "none stated"),
        Line("buffer", zero, zero, "none stated (retries and spend above the forecast)", falls=True),
    ]
    return Side("frontier", tuple(_own(line, own, calls, per_call=line.name != "infrastructure") for line in lines))


def specialist_side(
    frontier: Side,
    work: Work,
    rates: Rates,
    coverage: Floats,
    calls: Floats,
    own: Mapping[str, float],
    rng: np.random.Generator,
) -> Side:
    """What the specialist costs, escalated and audited calls at the frontier's price included.

    `coverage` is the share of answers kept. `own` replaces lines by the user's dollars a month (or once).
    """
    n = calls.size - 1
    zero = exact(0.0, n)
    frontier_call = frontier.usd_per_call()
    machine_hour = rates.machine_usd_hour * pert(*MACHINE_PRICE_FACTORS, n, rng)
    machine_month = machine_hour * HOURS_PER_MONTH
    person_hour = exact(rates.people_usd_hour, n)
    label = lognormal(rates.usd_per_label, SIGMA_LABEL_PRICE, n, rng)
    training = lognormal(work.train_s * TRAINING_RUNS / 3600, SIGMA_TRAINING, n, rng) * machine_hour
    evaluation = work.n_evaluated * frontier_call
    retraining_hours = lognormal(RETRAINING_HOURS, SIGMA_HOURS, n, rng)
    one_retraining = FRESH_LABEL_SHARE * work.n_labels * label + training + evaluation + retraining_hours * person_hour
    people = f"{rates.people_usd_hour:g} USD an hour"
    once = [
        Line(
            "building",
            zero,
            lognormal(BUILD_HOURS, SIGMA_HOURS, n, rng) * person_hour,
            f"{BUILD_HOURS:g} hours at {people}",
            once=True,
        ),
        Line(
            "labelling",
            zero,
            work.n_bought * label,
            f"{work.n_bought:,} labels at {rates.usd_per_label:g} USD, of {work.n_labels:,} used",
            once=True,
        ),
        Line(
            "training",
            zero,
            training,
            f"{TRAINING_RUNS} runs of {work.train_s:,.0f} s at {rates.machine_usd_hour:g} USD an hour",
            once=True,
        ),
        Line(
            "evaluation",
            zero,
            evaluation,
            f"{work.n_evaluated:,} test calls to the frontier at {frontier_call[0]:.6g} USD",
            once=True,
        ),
    ]
    monthly = [
        Line(
            "spare machines",
            zero,
            (work.replicas - 1) * machine_month,
            f"{work.replicas - 1} beside those that carry the load, always on",
        ),
        Line(
            "escalated calls",
            (1 - coverage) * frontier_call,
            zero,
            f"{1 - coverage[0]:.1%} of calls at the frontier's price",
            falls=True,
        ),
        Line(
            "audited answers",
            AUDIT_SHARE * coverage * frontier_call,
            zero,
            f"{AUDIT_SHARE:.0%} of kept answers at the frontier's price",
            falls=True,
        ),
        Line(
            "retraining",
            zero,
            one_retraining * RETRAININGS_PER_YEAR / 12,
            f"{RETRAININGS_PER_YEAR} a year, spread evenly: {FRESH_LABEL_SHARE:.0%} fresh labels, training, evaluation, "
            f"{RETRAINING_HOURS:g} hours at {people}",
        ),
        Line(
            "upkeep",
            zero,
            lognormal(UPKEEP_HOURS_MONTH, SIGMA_HOURS, n, rng) * person_hour,
            f"{UPKEEP_HOURS_MONTH:g} hours a month at {people}",
        ),
    ]
    lines = [_own(line, own, calls, per_call=line.falls) for line in once + monthly]
    if "serving" in own:
        serving = _own(Line("serving", zero, zero, ""), own, calls, per_call=False)
        return Side("specialist", (*lines, serving))
    return _with_fleet(lines, work, rates, machine_month, calls, rng)


def _with_fleet(
    lines: list[Line], work: Work, rates: Rates, machine_month: Floats, calls: Floats, rng: np.random.Generator
) -> Side:
    answers_per_s = lognormal(work.answers_per_s, SIGMA_CAPACITY, calls.size - 1, rng)
    fleet = Fleet(machine_month, calls_per_machine(answers_per_s, PEAK_TO_MEAN, UTILISATION))
    machines = float(fleet.machines(calls)[0])
    busy = float(calls[0]) / (work.answers_per_s * HOURS_PER_MONTH * 3600 * machines)
    basis = (
        f"{machines:.0f} always on, {HOURS_PER_MONTH:g} h at {rates.machine_usd_hour:g} USD, each "
        f"{work.answers_per_s:,.0f} answers/s; at work {busy:.2%} of the time, idle hours paid"
    )
    return Side("specialist", tuple(lines), fleet, basis)


def _token_line(
    name: str, tokens: float, usd_per_million: float, source: str, n: int, rng: np.random.Generator
) -> Line:
    per_call = lognormal(tokens, SIGMA_TOKENS, n, rng) * usd_per_million / 1_000_000
    basis = f"{tokens:,.1f} a call at {usd_per_million:g} USD per million, {source}"
    return Line(name, per_call, exact(0.0, n), basis, falls=True)


def _own(line: Line, own: Mapping[str, float], calls: Floats, *, per_call: bool) -> Line:
    """The line with the user's own figure, taken as exact; lines of `per_call` kind keep growing with the calls."""
    if line.name not in own:
        return line
    n, usd = calls.size - 1, own[line.name]
    spread = exact(usd / float(calls[0]), n) if per_call else exact(0.0, n)
    fixed = exact(0.0, n) if per_call else exact(usd, n)
    return replace(line, per_call=spread, fixed=fixed, basis="your own figure")
