"""Streams: many at once, none cut, none mixed up, and no faster than the client reads."""

import asyncio
import time

import orjson

from metier.labs.upstream import Behaviour, FakeUpstream

N_STREAMS = 200


def said(events):
    """The text of a stream's events."""
    parts = [orjson.loads(event[6:]) for event in events.split(b"\n\n") if event.startswith(b"data: {")]
    return "".join(part["choices"][0]["delta"].get("content") or "" for part in parts)


def test_many_streams_at_once_come_whole_and_in_order(run, settings, opened):
    async def stream(upstreams, text):
        body = orjson.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]})
        reply = await upstreams.send(
            "/chat/completions", body, "m", headers=(), is_stream=True, deadline=time.monotonic() + 25
        )
        events = b"".join([chunk async for chunk in reply.chunks()])
        await reply.close()
        return events

    async def body():
        async with FakeUpstream(Behaviour(tokens_per_s=100)) as fake:
            upstreams = opened({"fake": settings(fake.url, idle_timeout_s=20, first_byte_timeout_s=20)})
            texts = [" ".join(f"{stream}-{word}" for word in range(10)) for stream in range(N_STREAMS)]
            found = await asyncio.gather(*(stream(upstreams, text) for text in texts))
            n_connections = fake.n_connections
            await upstreams.close()
            return texts, found, n_connections

    texts, found, n_connections = run(body())
    assert [said(events) for events in found] == texts
    assert all(events.endswith(b"data: [DONE]\n\n") for events in found)
    assert n_connections == N_STREAMS


def test_a_client_that_does_not_read_holds_the_upstream_up(run, settings, opened):
    text = "x" * 20_000_000

    async def body():
        async with FakeUpstream(Behaviour(answer=text)) as fake:
            upstreams = opened({"fake": settings(fake.url)})
            request = b'{"model":"m","stream":true,"messages":[]}'
            reply = await upstreams.send(
                "/chat/completions", request, "m", headers=(), is_stream=True, deadline=time.monotonic() + 25
            )
            await asyncio.sleep(0.3)
            sizes = [len(chunk) async for chunk in reply.chunks()]
            await reply.close()
            await upstreams.close()
            return sizes

    sizes = run(body())
    assert sum(sizes) > len(text)
    assert max(sizes) < 1_000_000
