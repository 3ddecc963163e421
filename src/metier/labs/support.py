"""support: a month in the customer service of an online shop that sends every message to a frontier model.

Everything is made up: the customers, the messages and the model's answers. Real is only the list price by which the calls
are charged.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Any

from metier.errors import BadInput
from metier.labs.jobs import JOBS, Call
from metier.labs.logged import logged_call
from metier.labs.messages import Habit, habit
from metier.labs.structured import structured_intent_call

# A model of the frontier with its list price in USD per million tokens (genai-prices 0.2.3). Its name stands in the log so
# that prices can be looked up; its answers are not that model's.
MODEL = "gpt-5.5"
INPUT_USD_PER_MILLION = 5.0
OUTPUT_USD_PER_MILLION = 30.0
# Monday 2 March 2026, 00:00 UTC.
START_S = 1_772_409_600.0
_DAY_S = 86_400.0
# Calls by the hour of the day, relative; weekends bring fewer.
_HOURS = (2, 1, 1, 1, 1, 2, 4, 7, 11, 14, 15, 14, 13, 13, 13, 12, 11, 10, 10, 11, 11, 9, 6, 4)
_WEEKEND = 0.6
_CALLS_PER_CUSTOMER = 5
# Share of intent and order calls that an agent judged; of those judgements, the share that is wrong itself; and of the
# answers judged wrong, the share with the right one given.
_JUDGED = 0.50
_MISJUDGED = 0.005
_CORRECTED = 0.9
# English: characters a token, and tokens that a message's frame takes (OpenAI's cookbook on counting tokens).
_CHARS_PER_TOKEN = 4.4
_TOKENS_PER_MESSAGE = 4
# Hidden reasoning tokens, billed as output: median by job; they spread as a lognormal.
_REASONING = {"intent": 300.0, "order": 350.0, "note": 350.0, "open": 700.0}
_REASONING_SIGMA = 0.5
_FIRST_TOKEN_S = 0.6
_TOKENS_PER_S = 80.0


@dataclass(frozen=True)
class _Customer:
    name: str
    habit: Habit


def simulate(
    n_calls: int,
    seed: int = 0,
    *,
    days: float = 30.0,
    difficulty: float = 0.4,
    with_truth: bool = True,
    structured: float = 0.0,
) -> Iterator[dict[str, Any]]:
    """`n_calls` logged calls (source `openai-log`) over `days` days, in the order of their time.

    `difficulty` in [0, 1] scales how hard the messages are to sort. `with_truth` adds {"truth": {"job", "answer"}},
    which no importer reads; answer is None where the job has no single right one. `structured` is the share of the intent
    calls that want a JSON object or a tool call. The same arguments give the same calls.
    Raises BadInput on values out of range.
    """
    _check(n_calls, days, difficulty)
    if not 0 <= structured <= 1:
        raise BadInput(f"structured is {structured}; it must lie in [0, 1]")
    return _calls(n_calls, seed, days, difficulty, with_truth, structured)


def _calls(
    n_calls: int, seed: int, days: float, difficulty: float, with_truth: bool, structured: float
) -> Iterator[dict[str, Any]]:
    rng = Random(f"support {seed}")
    customers = _customers(max(40, n_calls // _CALLS_PER_CUSTOMER), rng)
    names, bounds = list(JOBS), list(accumulate(share for share, _ in JOBS.values()))
    for number, time_s in enumerate(_times(n_calls, days, rng)):
        # Squared: a few customers write a lot.
        customer = customers[int(rng.random() ** 2 * len(customers))]
        name = names[bisect(bounds, rng.random() * bounds[-1])]
        _, job = JOBS[name]
        # Without structured calls no number is drawn for them, so that the log stays the same.
        if structured and name == "intent" and rng.random() < structured:
            job = structured_intent_call
        call = job(rng, customer.habit, difficulty)
        record = _record(call, f"sup-{seed}-{number:07d}", time_s, customer.name, rng)
        if with_truth:
            record["truth"] = {"job": call.job, "answer": call.truth}
        yield record


def _check(n_calls: int, days: float, difficulty: float) -> None:
    if n_calls < 0:
        raise BadInput(f"n_calls is {n_calls}; it must be 0 or more")
    if not (math.isfinite(days) and days > 0):
        raise BadInput(f"days is {days}; it must be greater than 0")
    if not 0 <= difficulty <= 1:
        raise BadInput(f"difficulty is {difficulty}; it must lie in [0, 1]")


def _customers(n: int, rng: Random) -> list[_Customer]:
    return [_Customer(f"c-{number:06d}", habit(rng)) for number in range(n)]


def _times(n_calls: int, days: float, rng: Random) -> Iterator[float]:
    """Sorted arrival times in seconds with the rhythm of days and weeks: one in each n-th part of the expected load."""
    hours = math.ceil(days * 24)
    loads = [_HOURS[hour % 24] * (_WEEKEND if hour // 24 % 7 >= 5 else 1.0) for hour in range(hours)]
    if hours > days * 24:
        loads[-1] *= 1 - (hours - days * 24)
    bounds = list(accumulate(loads))
    width_s = [3600.0] * (hours - 1) + [(days * 24 - (hours - 1)) * 3600.0]
    hour = 0
    for number in range(n_calls):
        load = (number + rng.random()) / n_calls * bounds[-1]
        while bounds[hour] < load and hour < hours - 1:
            hour += 1
        before = bounds[hour - 1] if hour else 0.0
        share = min(1.0, (load - before) / loads[hour])
        yield START_S + hour * 3600.0 + share * width_s[hour]


def _record(call: Call, id_: str, time_s: float, customer: str, rng: Random) -> dict[str, Any]:
    chars = sum(len(message["content"]) for message in call.messages)
    input_tokens = int(chars / _CHARS_PER_TOKEN) + _TOKENS_PER_MESSAGE * len(call.messages)
    reasoning = int(_REASONING[call.job] * math.exp(_REASONING_SIGMA * rng.gauss(0, 1)))
    output_tokens = max(1, int(len(call.answer) / _CHARS_PER_TOKEN)) + reasoning
    latency_s = _FIRST_TOKEN_S * math.exp(0.4 * rng.gauss(0, 1)) + output_tokens / _TOKENS_PER_S
    record = logged_call(
        id_,
        time_s,
        {"model": MODEL, "messages": call.messages, **call.parameters},
        _message(call),
        fields={"customer": customer},
        n_tokens=(input_tokens, output_tokens),
        usd_per_million=(INPUT_USD_PER_MILLION, OUTPUT_USD_PER_MILLION),
        latency_s=latency_s,
    )
    _judge(record, call, rng)
    return record


def _message(call: Call) -> dict[str, Any]:
    """The assistant's message."""
    if call.tool is None:
        return {"role": "assistant", "content": call.answer}
    function = {"name": call.tool, "arguments": call.answer}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_0", "type": "function", "function": function}],
    }


def _judge(record: dict[str, Any], call: Call, rng: Random) -> None:
    """What the service's agents said about the answer, if they did."""
    if call.truth is None or rng.random() >= _JUDGED:
        return
    right = call.said == call.truth
    if rng.random() < _MISJUDGED:
        right = not right
    record["feedback"] = "correct" if right else "wrong"
    if not right and call.said != call.truth and rng.random() < _CORRECTED:
        record["correction"] = call.truth
