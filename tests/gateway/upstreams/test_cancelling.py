"""Who goes early takes the upstream's connection along."""

import asyncio
import time

import pytest

from metier.labs.upstream import Behaviour, FakeUpstream, Fault

BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"a b c"}]}'


async def aborted(fake):
    """Until the fake has seen that its client went."""
    while not fake.calls[0].is_aborted:
        await asyncio.sleep(0.005)


async def send(upstreams, is_stream=True):
    return await upstreams.send(
        "/chat/completions", BODY, "m", headers=(), is_stream=is_stream, deadline=time.monotonic() + 20
    )


def test_closing_a_reply_early_ends_the_call_at_the_upstream(run, settings, opened):
    async def body():
        async with FakeUpstream(Behaviour(fault=Fault.ENDLESS)) as fake:
            upstreams = opened({"fake": settings(fake.url)})
            reply = await send(upstreams)
            chunks = reply.chunks()
            first = await anext(chunks)
            await chunks.aclose()
            await reply.close()
            await aborted(fake)
            state = upstreams.states()
            await upstreams.close()
            return first, state

    first, state = run(body())
    assert first.startswith(b"data: ")
    assert state == {"fake": "closed"}


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.HANG_BODY])
def test_cancelling_a_call_that_waits_ends_it_at_the_upstream(run, settings, opened, fault):
    async def body():
        async with FakeUpstream(Behaviour(fault=fault, fault_after=0)) as fake:
            upstreams = opened({"fake": settings(fake.url)})
            task = asyncio.create_task(send(upstreams))
            while not fake.calls:
                await asyncio.sleep(0.005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await aborted(fake)
            await upstreams.close()
            return task.cancelled(), len(fake.calls)

    assert run(body()) == (True, 1)


def test_closing_twice_or_after_the_end_keeps_the_connection(run, settings, opened):
    async def body():
        async with FakeUpstream() as fake:
            upstreams = opened({"fake": settings(fake.url)})
            for _ in range(3):
                reply = await send(upstreams)
                whole = b"".join([chunk async for chunk in reply.chunks()])
                await reply.close()
                await reply.close()
            n_connections = fake.n_connections
            await upstreams.close()
            return whole, n_connections

    whole, n_connections = run(body())
    assert whole.endswith(b"[DONE]\n\n")
    assert n_connections == 1


def test_chunks_come_before_the_answer_is_complete(run, settings, opened):
    async def body():
        async with FakeUpstream(Behaviour(fault=Fault.HANG_BODY, fault_after=3)) as fake:
            upstreams = opened({"fake": settings(fake.url)})
            reply = await send(upstreams)
            found = b""
            async for chunk in reply.chunks():
                found += chunk
                if found.count(b"data: ") == 3:
                    break
            await reply.close()
            await upstreams.close()
            return found

    assert run(body()).count(b"\n\n") == 3
