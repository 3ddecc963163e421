"""telecom: days in the network operation of a mobile operator that sends every question to a frontier model.

The drive tests come from the simulator, the alarms, tickets and the model's answers are made up. Real is only the list
price by which the calls are charged.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Any

import numpy as np

from metier.errors import BadInput
from metier.labs.jobs import Call
from metier.labs.logged import logged_call
from metier.labs.telecom import questions, text
from metier.labs.telecom.analyst import conclusion, reasoning
from metier.labs.telecom.desk import alarm_call, open_call, ticket_call
from metier.labs.telecom.draft import DEFAULT_DIFFICULTY
from metier.labs.telecom.parts import CAUSES, FloatArray
from metier.labs.telecom.simulator import simulate as simulate_windows

# A model of the frontier with its list price in USD per million tokens (genai-prices 0.2.3). Its name stands in the log so
# that prices can be looked up; its answers are not that model's.
MODEL = "gpt-5"
INPUT_USD_PER_MILLION = 1.25
OUTPUT_USD_PER_MILLION = 10.0
# Monday 2 March 2026, 00:00 UTC.
START_S = 1_772_409_600.0
# Calls by the hour of the day, relative: drive tests are made by day, alarms come at night too.
_HOURS = (3, 3, 3, 3, 3, 4, 6, 9, 12, 14, 14, 13, 11, 13, 14, 14, 12, 10, 7, 5, 4, 4, 3, 3)
_SHARES = {"cause": 0.60, "alarm": 0.20, "ticket": 0.10, "open": 0.10}
# Windows of one drive that are asked about, on average.
PER_DRIVE = 4
_BLOCK = 2_000
# Share of root causes that engineers confirmed or corrected afterwards, of alarms that somebody judged; of those judgements
# the share that is wrong itself; of the answers judged wrong, the share with the right one given.
_JUDGED = {"cause": 0.60, "alarm": 0.50}
_MISJUDGED = 0.005
_CORRECTED = 0.95
# Characters a token: of English, and of tables of numbers, where every two or three digits are one.
_CHARS_PER_TOKEN, _CHARS_PER_TABLE_TOKEN = 4.4, 2.3
_TOKENS_PER_MESSAGE = 4
# Hidden reasoning tokens, billed as output: median by job; they spread as a lognormal.
_REASONING = {"cause": 1_800.0, "alarm": 250.0, "ticket": 300.0, "open": 700.0}
_REASONING_SIGMA = 0.5
_FIRST_TOKEN_S = 0.6
_TOKENS_PER_S = 90.0

_OTHER_CALLS: Mapping[str, Callable[[Random], Call]] = {"alarm": alarm_call, "ticket": ticket_call, "open": open_call}


@dataclass(frozen=True)
class Asked:
    """One root-cause call and the drive that its window belongs to."""

    call: Call
    drive: int


def simulate(
    n_calls: int,
    seed: int = 0,
    *,
    days: float = 30.0,
    difficulty: float = DEFAULT_DIFFICULTY,
    with_truth: bool = True,
    randomised: float = 0.0,
) -> Iterator[dict[str, Any]]:
    """`n_calls` logged calls (source `openai-log`) over `days` days, in the order of their time.

    `difficulty` in [0, 1] is that of the windows (`simulator.simulate`). `with_truth` adds {"truth": {"job", "answer"}},
    which no importer reads; answer is None where the job has no single right one. `randomised` is the share of the
    root-cause calls that are asked in the randomised form. The same arguments give the same calls.
    Raises BadInput on values out of range.
    """
    if n_calls < 0:
        raise BadInput(f"n_calls is {n_calls}; it must be 0 or more")
    if not (math.isfinite(days) and days > 0):
        raise BadInput(f"days is {days}; it must be greater than 0")
    for name, value in (("difficulty", difficulty), ("randomised", randomised)):
        if not 0 <= value <= 1:
            raise BadInput(f"{name} is {value}; it must lie in [0, 1]")
    return _calls(n_calls, seed, days, difficulty, with_truth, randomised)


def _calls(
    n_calls: int, seed: int, days: float, difficulty: float, with_truth: bool, randomised: float
) -> Iterator[dict[str, Any]]:
    rng = Random(f"telecom {seed}")
    jobs, bounds = list(_SHARES), list(accumulate(_SHARES.values()))
    drawn = [jobs[bisect(bounds, rng.random() * bounds[-1])] for _ in range(n_calls)]
    causes = _cause_calls(drawn.count("cause"), seed, difficulty, randomised, rng)
    for number, (job, time_s) in enumerate(zip(drawn, _times(n_calls, days, seed).tolist(), strict=True)):
        if job == "cause":
            asked = next(causes)
            call, group = asked.call, f"drive-{seed}-{asked.drive:06d}"
        else:
            call, group = _OTHER_CALLS[job](rng), f"{job}-{seed}-{number:07d}"
        record = _record(call, f"tel-{seed}-{number:07d}", time_s, group, rng)
        if with_truth:
            record["truth"] = {"job": call.job, "answer": call.truth}
        yield record


def _cause_calls(n: int, seed: int, difficulty: float, randomised: float, rng: Random) -> Iterator[Asked]:
    """Root-cause calls, those of one drive one after the other; simulated in blocks, as their text takes room."""
    first = 0
    for block in range(0, n, _BLOCK):
        size = min(_BLOCK, n - block)
        made = int(np.random.SeedSequence([seed, block]).generate_state(1)[0])
        windows = simulate_windows(size, made, difficulty=difficulty, per_cluster=PER_DRIVE)
        standard, shuffled = text.standard(windows), questions.randomised(windows, made)
        for place in range(size):
            truth = CAUSES[int(windows.cause[place])]
            is_randomised = rng.random() < randomised
            content = shuffled[place].text if is_randomised else standard[place]
            labels = offered(content)
            named = conclusion(rng, truth)
            named = named if named in labels else _pick([cause for cause in labels if cause != truth], rng)
            answer = reasoning(rng, windows.drives, place, named, _named_by(labels))
            call = Call("cause", [{"role": "user", "content": content}], answer, labels[truth], {}, label=labels[named])
            yield Asked(call, first + int(windows.cluster[place]))
        first += int(windows.cluster.max()) + 1


def offered(content: str) -> dict[str, str]:
    """The causes that a question offers, each with the label that it gives it."""
    causes = {said: cause for cause, said in text.OPTIONS.items()}
    parted = (line.partition(": ") for line in content.splitlines())
    return {causes[said]: label for label, _, said in parted if said in causes}


def _named_by(labels: Mapping[str, str]) -> Callable[[str], str]:
    return lambda cause: labels.get(cause, "")


def _pick(options: list[str], rng: Random) -> str:
    return options[int(rng.random() * len(options))]


def _times(n_calls: int, days: float, seed: int) -> FloatArray:
    """Sorted arrival times in seconds with the rhythm of the day: one in each n-th part of the expected load."""
    hours = np.append(np.arange(0.0, days * 24), days * 24)
    loads = np.array([_HOURS[int(hour) % 24] for hour in hours[:-1]]) * np.diff(hours)
    bounds = np.concatenate([[0.0], np.cumsum(loads)])
    rng = np.random.default_rng([seed, 1])
    load = (np.arange(n_calls) + rng.random(n_calls)) / max(n_calls, 1) * bounds[-1]
    return np.asarray(START_S + np.interp(load, bounds, hours) * 3600.0)


def _record(call: Call, id_: str, time_s: float, group: str, rng: Random) -> dict[str, Any]:
    input_tokens = sum(_n_tokens(message["content"]) + _TOKENS_PER_MESSAGE for message in call.messages)
    reasoned = int(_REASONING[call.job] * math.exp(_REASONING_SIGMA * rng.gauss(0, 1)))
    output_tokens = max(1, _n_tokens(call.answer)) + reasoned
    latency_s = _FIRST_TOKEN_S * math.exp(0.4 * rng.gauss(0, 1)) + output_tokens / _TOKENS_PER_S
    record = logged_call(
        id_,
        time_s,
        {"model": MODEL, "messages": call.messages, **call.parameters},
        {"role": "assistant", "content": call.answer},
        fields={"group": group},
        n_tokens=(input_tokens, output_tokens),
        usd_per_million=(INPUT_USD_PER_MILLION, OUTPUT_USD_PER_MILLION),
        latency_s=latency_s,
    )
    _judge(record, call, rng)
    return record


def _n_tokens(written: str) -> int:
    tables = sum(len(line) for line in written.splitlines() if line.count("|") > 1)
    return int((len(written) - tables) / _CHARS_PER_TOKEN + tables / _CHARS_PER_TABLE_TOKEN)


def _judge(record: dict[str, Any], call: Call, rng: Random) -> None:
    """What the engineers found afterwards, where they looked."""
    if call.truth is None or rng.random() >= _JUDGED[call.job]:
        return
    right = call.said == call.truth
    if rng.random() < _MISJUDGED:
        right = not right
    record["feedback"] = "correct" if right else "wrong"
    if not right and call.said != call.truth and rng.random() < _CORRECTED:
        record["correction"] = call.truth
