"""Every fault of the fake upstream, plain and streamed: an answer as it came, or an error in OpenAI's shape."""

import gzip

import pytest

from metier.labs.upstream import Behaviour, FakeUpstream, Fault

BOTH = pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])


@BOTH
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault.HANG, 504, "upstream_timeout"),
        (Fault.HANG_BODY, 504, "upstream_timeout"),
        (Fault.RESET, 502, "upstream_broken"),
        (Fault.RESET_BODY, 502, "upstream_broken"),
        (Fault.GARBAGE, 502, "upstream_broken"),
        (Fault.WRONG_TYPE, 502, "upstream_broken"),
        (Fault.NOT_HTTP, 502, "upstream_broken"),
        (Fault.TRUNCATED, 502, "upstream_broken"),
    ],
)
def test_no_usable_answer_is_an_error_of_the_gateway(run, settings, opened, ask, fault, status, code, is_stream):
    async def body():
        async with FakeUpstream(Behaviour(fault=fault)) as fake:
            limits = {"first_byte_timeout_s": 0.8, "idle_timeout_s": 0.8}
            upstreams = opened({"fake": settings(fake.url, **limits)})
            outcome = await ask(upstreams, is_stream=is_stream)
            await upstreams.close()
            return outcome, len(fake.calls)

    outcome, n_calls = run(body())
    assert (outcome.status, outcome.code) == (status, code)
    assert "'fake'" in outcome.error.message
    assert "127.0.0.1" not in outcome.error.message
    has_passed_a_byte_on = is_stream and fault in (Fault.HANG_BODY, Fault.RESET_BODY, Fault.TRUNCATED)
    assert n_calls == (1 if has_passed_a_byte_on else 2)


@BOTH
@pytest.mark.parametrize(
    ("fault", "status", "attempts"),
    [
        (Fault.RATE_LIMIT, 429, 2),
        (Fault.ERROR, 500, 2),
        (Fault.UNAUTHORIZED, 401, 1),
        (Fault.NOT_FOUND, 404, 1),
        (Fault.BAD_REQUEST, 400, 1),
    ],
)
def test_the_upstream_s_own_error_is_passed_on(run, settings, opened, ask, fault, status, attempts, is_stream):
    async def body():
        async with FakeUpstream(Behaviour(fault=fault)) as fake:
            upstreams = opened({"fake": settings(fake.url)})
            outcome = await ask(upstreams, is_stream=is_stream)
            await upstreams.close()
            return outcome

    outcome = run(body())
    assert (outcome.status, outcome.attempts) == (status, attempts)
    assert b'"error"' in outcome.body


@BOTH
def test_a_slow_answer_comes_whole(run, settings, opened, ask, is_stream):
    async def body():
        async with FakeUpstream(Behaviour(fault=Fault.SLOW, pause_s=0.005)) as fake:
            upstreams = opened({"fake": settings(fake.url)})
            outcome = await ask(upstreams, is_stream=is_stream)
            await upstreams.close()
            return outcome

    outcome = run(body())
    assert outcome.status == 200
    assert outcome.body.endswith(b"data: [DONE]\n\n" if is_stream else b"}")


@BOTH
def test_a_huge_answer_comes_whole(run, settings, opened, ask, is_stream):
    size = 3 * 2**20

    async def body():
        async with FakeUpstream(Behaviour(fault=Fault.HUGE, huge_bytes=size)) as fake:
            upstreams = opened({"fake": settings(fake.url)})
            outcome = await ask(upstreams, is_stream=is_stream)
            await upstreams.close()
            return outcome

    outcome = run(body())
    assert outcome.status == 200
    assert len(outcome.body) > size
    assert outcome.body.count(b"x" * 1023) == size // 1024


@BOTH
def test_a_packed_answer_is_passed_on_packed(run, settings, opened, ask, is_stream):
    async def body():
        async with FakeUpstream(Behaviour(fault=Fault.GZIP)) as fake:
            upstreams = opened({"fake": settings(fake.url)})
            outcome = await ask(upstreams, is_stream=is_stream)
            await upstreams.close()
            return outcome

    outcome = run(body())
    assert dict(outcome.headers)[b"content-encoding"] == b"gzip"
    assert b"chat.completion" in gzip.decompress(outcome.body)


@BOTH
def test_an_endless_answer_ends_with_the_call_s_time(run, settings, opened, ask, is_stream):
    async def body():
        async with FakeUpstream(Behaviour(fault=Fault.ENDLESS, pause_s=0.01)) as fake:
            upstreams = opened({"fake": settings(fake.url, max_retries=0)})
            outcome = await ask(upstreams, is_stream=is_stream, deadline_s=0.5)
            await upstreams.close()
            return outcome

    outcome = run(body())
    assert (outcome.status, outcome.code) == (504, "upstream_timeout")
    assert "time is over" in outcome.error.message


def test_a_refused_connection(run, settings, opened, ask):
    async def body():
        async with FakeUpstream() as fake:
            upstreams = opened({"fake": settings(fake.url)})
            await fake.refuse()
            refused = await ask(upstreams)
            await fake.listen()
            after = await ask(upstreams)
            await upstreams.close()
            return refused, after

    refused, after = run(body())
    assert (refused.status, refused.code) == (502, "upstream_unreachable")
    assert "refused" in refused.error.message
    assert after.status == 200


def test_a_redirect_is_not_followed(run, settings, opened, ask):
    import asyncio

    async def redirect(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.2/\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def body():
        server = await asyncio.start_server(redirect, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            upstreams = opened({"moved": settings(f"http://127.0.0.1:{port}/v1", max_retries=0)})
            outcome = await ask(upstreams)
            await upstreams.close()
            return outcome

    outcome = run(body())
    assert (outcome.status, outcome.code) == (502, "upstream_broken")
    assert "base_url" in outcome.error.message


def test_a_connection_that_never_opens_times_out(run, settings, opened, ask):
    import socket

    # A listener that never accepts, with a full backlog, drops further SYNs.
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = listener.getsockname()[1]
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))

    async def body():
        limits = {"connect_timeout_s": 0.3, "first_byte_timeout_s": 1.0, "max_retries": 0}
        upstreams = opened({"full": settings(f"http://127.0.0.1:{port}/v1", **limits)})
        outcome = await ask(upstreams)
        await upstreams.close()
        return outcome

    outcome = run(body())
    for each in [*fillers, listener]:
        each.close()
    assert (outcome.status, outcome.code) == (504, "upstream_timeout")


def test_a_server_without_tls_is_unreachable_by_https(run, settings, opened, ask):
    async def body():
        async with FakeUpstream() as fake:
            upstreams = opened({"fake": settings(fake.url.replace("http://", "https://"))})
            outcome = await ask(upstreams)
            await upstreams.close()
            return outcome

    outcome = run(body())
    assert (outcome.status, outcome.code) == (502, "upstream_unreachable")
    assert "TLS failed" in outcome.error.message
