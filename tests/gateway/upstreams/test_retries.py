"""What is asked again, after how long, and what never is."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import pytest

from metier.gateway.upstreams import retrying
from metier.gateway.upstreams.retrying import Verdict
from metier.labs.upstream import Behaviour, FakeUpstream, Fault


class Draws(Random):
    def __init__(self, value):
        super().__init__(0)
        self.value = value

    def random(self):
        return self.value


@pytest.mark.parametrize("retry_after", ["0", "0.01", "", "soon"])
def test_a_rate_limit_passes(run, settings, opened, ask, retry_after):
    async def body():
        limited = Behaviour(fault=Fault.RATE_LIMIT, fault_first=2, retry_after=retry_after)
        async with FakeUpstream(limited) as fake:
            upstreams = opened({"fake": settings(fake.url, max_retries=2)})
            outcome = await ask(upstreams)
            await upstreams.close()
            return outcome, {call.body for call in fake.calls}

    outcome, bodies = run(body())
    assert (outcome.status, outcome.attempts) == (200, 3)
    assert len(bodies) == 1


@pytest.mark.parametrize("seconds", ["30", "date", "3600"])
def test_a_rate_limit_that_does_not_fit_into_the_deadline_is_passed_on(run, settings, opened, ask, seconds):
    if seconds == "date":
        seconds = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)

    async def body():
        async with FakeUpstream(Behaviour(fault=Fault.RATE_LIMIT, retry_after=seconds)) as fake:
            upstreams = opened({"fake": settings(fake.url, max_retries=5)})
            outcome = await ask(upstreams, deadline_s=5.0)
            await upstreams.close()
            return outcome, len(fake.calls)

    outcome, n_calls = run(body())
    assert (outcome.status, n_calls) == (429, 1)
    assert dict(outcome.headers)[b"retry-after"] == seconds.encode()


def test_half_of_the_answers_being_500_is_survived(run, settings, opened, ask):
    async def body():
        async with FakeUpstream(Behaviour(fault=Fault.ERROR, fault_share=0.5), seed=3) as fake:
            upstreams = opened({"fake": settings(fake.url, max_retries=10)})
            outcomes = [await ask(upstreams) for _ in range(40)]
            await upstreams.close()
            return outcomes, len(fake.calls)

    outcomes, n_calls = run(body())
    assert {outcome.status for outcome in outcomes} == {200}
    assert sum(outcome.attempts for outcome in outcomes) == n_calls
    assert 60 <= n_calls <= 110  # about two attempts a call


def test_a_stream_is_not_asked_again_after_its_first_byte(run, settings, opened, ask):
    async def body():
        async with FakeUpstream(Behaviour(fault=Fault.RESET_BODY, fault_first=1)) as fake:
            upstreams = opened({"fake": settings(fake.url, max_retries=3)})
            outcome = await ask(upstreams, is_stream=True)
            await upstreams.close()
            return outcome, len(fake.calls)

    outcome, n_calls = run(body())
    assert (outcome.code, n_calls) == ("upstream_broken", 1)


@pytest.mark.parametrize("fault", [Fault.RESET_BODY, Fault.TRUNCATED, Fault.GARBAGE, Fault.WRONG_TYPE, Fault.RESET])
def test_a_plain_answer_that_breaks_is_asked_again(run, settings, opened, ask, fault):
    async def body():
        async with FakeUpstream(Behaviour(fault=fault, fault_first=1)) as fake:
            upstreams = opened({"fake": settings(fake.url)})
            outcome = await ask(upstreams)
            await upstreams.close()
            return outcome

    outcome = run(body())
    assert (outcome.status, outcome.attempts) == (200, 2)


def test_a_pooled_connection_that_turns_out_closed_costs_no_attempt(run, settings, opened, ask):
    async def body():
        async with FakeUpstream() as fake:
            upstreams = opened({"fake": settings(fake.url, max_retries=0, breaker_failures=1)})
            first = await ask(upstreams)
            fake.behaviour = Behaviour(fault=Fault.RESET, fault_first=1)
            second = await ask(upstreams)
            fake.behaviour = Behaviour(fault=Fault.RESET)
            third = await ask(upstreams)
            await upstreams.close()
            return first, second, third, upstreams.states()

    first, second, third, states = run(body())
    assert (first.status, second.status, second.attempts) == (200, 200, 1)
    assert third.code == "upstream_broken"  # the fresh connection was reset as well
    assert states == {"fake": "open"}


def test_no_attempt_begins_after_the_deadline(run, settings, opened, ask):
    async def body():
        async with FakeUpstream() as fake:
            upstreams = opened({"fake": settings(fake.url)})
            outcome = await ask(upstreams, deadline_s=-1.0)
            await upstreams.close()
            return outcome, len(fake.calls)

    outcome, n_calls = run(body())
    assert (outcome.status, outcome.code, n_calls) == (504, "upstream_timeout", 0)


def test_a_deadline_within_an_attempt_is_no_failure_of_the_upstream(run, settings, opened, ask):
    async def body():
        async with FakeUpstream(Behaviour(fault=Fault.HANG)) as fake:
            upstreams = opened({"fake": settings(fake.url, breaker_failures=1)})
            outcome = await ask(upstreams, deadline_s=0.2)
            await upstreams.close()
            return outcome, upstreams.states()

    outcome, states = run(body())
    assert outcome.code == "upstream_timeout"
    assert states == {"fake": "closed"}


def test_the_backoff_has_full_jitter_up_to_a_limit_that_doubles():
    assert [retrying.backoff_s(attempt, Draws(1.0)) for attempt in (1, 2, 3, 4, 5, 6)] == [0.5, 1, 2, 4, 8, 8]
    assert [retrying.backoff_s(attempt, Draws(0.0)) for attempt in (1, 2, 3)] == [0, 0, 0]
    rng = Random(7)
    draws = [retrying.backoff_s(3, rng) for _ in range(4000)]
    assert min(draws) < 0.02
    assert max(draws) > 1.98
    assert abs(sum(draws) / len(draws) - 1.0) < 0.04  # uniform on [0, 2]: mean 1, standard error 0.009


def test_retry_after_is_heeded_within_reason():
    late = format_datetime(datetime.now(UTC) + timedelta(seconds=10), usegmt=True)
    never = Draws(0.0)
    assert retrying.wait_s(1, {"retry-after": "1.5"}, never, has_fallback=True) == 1.5
    assert 8 < retrying.wait_s(1, {"retry-after": late}, never, has_fallback=False) <= 10
    assert retrying.wait_s(1, {"retry-after": late}, never, has_fallback=True) is None
    assert retrying.wait_s(1, {"retry-after": "61"}, never, has_fallback=False) is None
    assert retrying.wait_s(1, {"retry-after": "0"}, Draws(1.0), has_fallback=False) == 0.5
    assert retrying.wait_s(2, {}, Draws(0.5), has_fallback=False) == 0.5


@pytest.mark.parametrize(
    ("status", "own_key", "expected"),
    [
        (200, True, Verdict.PASS_ON),
        (400, True, Verdict.PASS_ON),
        (422, True, Verdict.PASS_ON),
        (401, True, Verdict.NEXT),
        (401, False, Verdict.PASS_ON),
        (403, True, Verdict.NEXT),
        (404, True, Verdict.NEXT),
        (404, False, Verdict.PASS_ON),
        (408, True, Verdict.RETRY),
        (409, True, Verdict.RETRY),
        (429, False, Verdict.RETRY),
        (500, True, Verdict.RETRY),
        (503, True, Verdict.RETRY),
        (529, True, Verdict.RETRY),
    ],
)
def test_verdicts(status, own_key, expected):
    assert retrying.verdict(status, {}, own_key) is expected


def test_an_upstream_may_say_whether_to_ask_again():
    assert retrying.verdict(429, {"x-should-retry": "false"}, True) is Verdict.NEXT
    assert retrying.verdict(400, {"x-should-retry": "true"}, True) is Verdict.RETRY
    assert retrying.verdict(400, {"x-should-retry": "false"}, True) is Verdict.PASS_ON
