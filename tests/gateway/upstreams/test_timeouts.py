import asyncio
from collections.abc import Coroutine

import pytest

from metier.gateway.upstreams.timeouts import Timeouts


def run(steps: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(steps, 20))


async def wait(timeouts: Timeouts, *delays_s: float) -> None:
    """Wait for ever within timeouts of these lengths, the first outermost."""
    if not delays_s:
        await asyncio.sleep(3600)
    with timeouts.after(delays_s[0]):
        await wait(timeouts, *delays_s[1:])


@pytest.mark.parametrize("delays_s", [(0.01,), (-1.0,), (3600, 0.01), (0.01, 3600)])
def test_what_takes_too_long_ends_and_leaves_no_cancellation(delays_s: tuple[float, ...]) -> None:
    async def steps() -> None:
        with pytest.raises(TimeoutError):
            await wait(Timeouts(), *delays_s)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)

    asyncio.run(steps())


def test_what_ends_in_time_is_left_alone() -> None:
    async def steps() -> None:
        timeouts = Timeouts()
        with timeouts.after(0.01):
            pass
        await asyncio.sleep(0.03)
        with pytest.raises(ValueError, match="its own"), timeouts.after(3600):
            raise ValueError("its own")

    run(steps())


def test_a_cancellation_from_outside_stays_one() -> None:
    async def steps() -> None:
        task = asyncio.create_task(wait(Timeouts(), 3600))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(steps())


def test_many_share_a_timer_and_each_ends() -> None:
    """A later one is not forgotten when the timer of an earlier one fires, an earlier one does not wait for a later."""

    async def steps() -> None:
        timeouts = Timeouts()
        delays = [0.15, 0.01, 0.3, 0.02, 0.08]
        waiting = [wait(timeouts, 3600), *(wait(timeouts, delay) for delay in delays)]
        tasks = [asyncio.create_task(each) for each in waiting]
        await asyncio.wait(tasks[1:])
        assert all(isinstance(task.exception(), TimeoutError) for task in tasks[1:])
        assert not tasks[0].done()
        tasks[0].cancel()

    run(steps())
