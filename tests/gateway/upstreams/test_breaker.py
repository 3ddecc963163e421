"""closed -> open -> half-open -> closed, on a clock that the test turns."""

import asyncio
import time

import pytest

from metier.gateway.upstreams.breaker import Breaker, State
from metier.labs.upstream import Behaviour, FakeUpstream, Fault


class Clock:
    def __init__(self, now=100.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker(failures=3, reset_s=10.0, clock=clock)


def open_it(breaker):
    for _ in range(3):
        breaker.failed(breaker.enter())


def test_it_opens_after_so_many_failures_in_a_row(breaker):
    for _ in range(5):
        breaker.failed(breaker.enter())
        breaker.failed(breaker.enter())
        breaker.finished(breaker.enter())
    assert breaker.state is State.CLOSED
    open_it(breaker)
    assert breaker.state is State.OPEN
    assert breaker.enter() is None
    assert breaker.wait_s == 10.0


def test_one_probe_after_the_wait_closes_it(breaker, clock):
    open_it(breaker)
    clock.now += 9.9
    assert breaker.enter() is None
    clock.now += 0.2
    assert breaker.state is State.HALF_OPEN
    probe = breaker.enter()
    assert probe is not None
    assert breaker.enter() is None
    breaker.finished(breaker.answered(probe))
    assert breaker.state is State.CLOSED
    assert breaker.enter() is not None


def test_a_probe_that_fails_opens_it_again(breaker, clock):
    open_it(breaker)
    clock.now += 10
    breaker.failed(breaker.enter())
    assert breaker.state is State.OPEN
    assert breaker.wait_s == 10.0


def test_a_probe_that_is_given_up_leaves_room_for_the_next(breaker, clock):
    open_it(breaker)
    clock.now += 10
    breaker.released(breaker.enter())
    assert breaker.state is State.HALF_OPEN
    assert breaker.enter() is not None


def test_calls_from_before_a_change_have_no_say(breaker, clock):
    early = breaker.enter()
    open_it(breaker)
    breaker.failed(early)
    clock.now += 10
    probe = breaker.enter()
    breaker.finished(early)
    breaker.failed(early)
    breaker.released(early)
    assert breaker.state is State.HALF_OPEN
    assert breaker.enter() is None
    breaker.answered(probe)
    assert breaker.state is State.CLOSED


def test_a_failure_within_the_body_counts_though_answers_begin(breaker):
    for _ in range(3):
        breaker.failed(breaker.answered(breaker.enter()))
    assert breaker.state is State.OPEN


def test_an_upstream_that_fails_is_left_alone_and_tried_again(run, settings, opened, ask):
    async def body():
        clock = Clock(time.monotonic())
        async with FakeUpstream(Behaviour(fault=Fault.ERROR)) as fake:
            given = settings(fake.url, max_retries=0, breaker_failures=2, breaker_reset_s=30)
            upstreams = opened({"fake": given}, clock=clock)
            statuses = [(await ask(upstreams)).status for _ in range(2)]
            refused = await ask(upstreams)
            n_calls = len(fake.calls)
            fake.behaviour = Behaviour()
            clock.now += 31
            half_open = upstreams.states()
            after = await ask(upstreams, deadline_s=60)
            closed = upstreams.states()
            await upstreams.close()
            return statuses, refused, n_calls, half_open, after, closed

    statuses, refused, n_calls, half_open, after, closed = run(body())
    assert (statuses, n_calls) == ([500, 500], 2)
    assert (refused.status, refused.code) == (503, "upstream_unavailable")
    assert dict(refused.error.headers)["retry-after"] == "30"
    assert half_open == {"fake": "half-open"}
    assert after.status == 200
    assert closed == {"fake": "closed"}


def test_what_does_not_count(run, settings, opened, ask):
    async def body():
        states = []
        for fault in (Fault.RATE_LIMIT, Fault.UNAUTHORIZED, Fault.NOT_FOUND, Fault.BAD_REQUEST):
            async with FakeUpstream(Behaviour(fault=fault)) as fake:
                upstreams = opened({"fake": settings(fake.url, breaker_failures=1)})
                await ask(upstreams)
                states.append(upstreams.states()["fake"])
                await upstreams.close()
        return states

    assert set(run(body())) == {"closed"}


@pytest.mark.parametrize(
    "fault", [Fault.ERROR, Fault.RESET, Fault.NOT_HTTP, Fault.GARBAGE, Fault.HANG, Fault.TRUNCATED]
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_what_counts(run, settings, opened, ask, fault, is_stream):
    async def body():
        async with FakeUpstream(Behaviour(fault=fault)) as fake:
            given = settings(fake.url, breaker_failures=1, first_byte_timeout_s=0.8, max_retries=3)
            upstreams = opened({"fake": given})
            await ask(upstreams, is_stream=is_stream)
            await upstreams.close()
            return upstreams.states(), len(fake.calls)

    # An open breaker ends the attempts of the call that opened it, too.
    assert run(body()) == ({"fake": "open"}, 1)


def test_a_cancelled_call_does_not_count_and_frees_the_probe(run, settings, opened, ask):
    async def body():
        async with FakeUpstream(Behaviour(fault=Fault.ERROR)) as fake:
            given = settings(fake.url, max_retries=0, breaker_failures=1, breaker_reset_s=0.001)
            upstreams = opened({"fake": given})
            await ask(upstreams)
            await asyncio.sleep(0.01)
            fake.behaviour = Behaviour(fault=Fault.HANG)
            probe = asyncio.create_task(ask(upstreams))
            while len(fake.calls) < 2:
                await asyncio.sleep(0.005)
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)
            fake.behaviour = Behaviour()
            half_open = upstreams.states()["fake"]
            after = await ask(upstreams)
            await upstreams.close()
            return half_open, after.status

    assert run(body()) == ("half-open", 200)
