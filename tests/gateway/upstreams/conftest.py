"""Upstreams with short limits, and one call to them."""

import asyncio
import time
from dataclasses import dataclass
from random import Random

import orjson
import pytest

from metier.gateway.errors import ApiError
from metier.gateway.settings import UpstreamSettings
from metier.gateway.upstreams import open_upstreams

LONGEST_TEST_S = 30.0


class NoWaits(Random):
    """Draws 0: with full jitter, the shortest wait there is."""

    def random(self) -> float:
        return 0.0


@dataclass
class Outcome:
    """What a call came to: the answer, or the error."""

    status: int
    body: bytes = b""
    headers: tuple = ()
    attempts: int = 0
    upstream: str | None = None
    model: str | None = None
    error: ApiError | None = None

    @property
    def code(self):
        return self.error.code if self.error else None


@pytest.fixture
def run():
    def run(coroutine):
        return asyncio.run(asyncio.wait_for(coroutine, LONGEST_TEST_S))

    return run


@pytest.fixture
def settings():
    """Settings of an upstream that gives up early."""

    def settings(url, **changes):
        limits = {"connect_timeout_s": 2.0, "first_byte_timeout_s": 5.0, "idle_timeout_s": 5.0, "max_retries": 1}
        return UpstreamSettings(**{"base_url": url, "api_key_env": "", "breaker_failures": 100, **limits, **changes})

    return settings


@pytest.fixture
def opened():
    """open_upstreams without the process's environment, and without waits between attempts."""

    def opened(upstreams, aliases=None, *, environment=None, rng=None, **more):
        return open_upstreams(upstreams, aliases or {}, environment=environment or {}, rng=rng or NoWaits(), **more)

    return opened


@pytest.fixture
def ask():
    """A chat call: its Outcome, whether it came from send(), read() or chunks()."""

    async def ask(
        upstreams, model="m", *, is_stream=False, deadline_s=20.0, headers=(), path="/chat/completions", **more
    ):
        messages = [{"role": "user", "content": "where is my parcel"}]
        body = orjson.dumps({"model": model, "messages": messages, "stream": is_stream, **more})
        reply = None
        try:
            reply = await upstreams.send(
                path, body, model, headers=headers, is_stream=is_stream, deadline=time.monotonic() + deadline_s
            )
            if is_stream:
                content = b"".join([chunk async for chunk in reply.chunks()])
            else:
                content = await reply.read()
        except ApiError as error:
            return Outcome(error.status, error=error, attempts=0 if reply is None else reply.attempts)
        finally:
            if reply is not None:
                await reply.close()
        return Outcome(reply.status, content, tuple(reply.headers), reply.attempts, reply.upstream, reply.model)

    return ask
