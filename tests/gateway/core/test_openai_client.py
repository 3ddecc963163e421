"""The official client, unmodified, and nothing changed but its base_url."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest

from metier.gateway.calls import Decision, Route, Written
from metier.labs.upstream import Behaviour, Fault

ASKED: Any = {"model": "m", "messages": [{"role": "user", "content": "where is my parcel"}]}
TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": "classify", "parameters": {"type": "object", "properties": {"label": {"type": "string"}}}},
    }
]
KEPT = Decision(Route.KEPT, task="t", label="track", score=1.0, written=Written("track"))
TOOL = replace(KEPT, written=Written(None, "classify", '{"label":"track"}'))


@pytest.fixture
def client(gateway: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.url, api_key="unused", max_retries=0, timeout=20) as client:
        yield client


@pytest.mark.parametrize(("decision", "text"), [(None, "where is my parcel"), (KEPT, "track")])
def test_plain(gateway: Any, client: openai.OpenAI, decision: Decision | None, text: str) -> None:
    gateway.router.decision = decision or gateway.router.decision
    found = client.chat.completions.create(**ASKED)
    assert found.choices[0].message.content == text
    assert found.usage is not None
    assert found._request_id


@pytest.mark.parametrize(("decision", "text"), [(None, "where is my parcel"), (KEPT, "track")])
def test_stream(gateway: Any, client: openai.OpenAI, decision: Decision | None, text: str) -> None:
    gateway.router.decision = decision or gateway.router.decision
    chunks = list(client.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
    assert chunks[-1].usage is not None


@pytest.mark.parametrize("decision", [None, TOOL])
@pytest.mark.parametrize("stream", [False, True])
def test_tools(gateway: Any, client: openai.OpenAI, decision: Decision | None, stream: bool) -> None:
    gateway.router.decision = decision or gateway.router.decision
    gateway.upstream.behaviour = Behaviour(tool_call=True)
    if not stream:
        calls = client.chat.completions.create(**ASKED, tools=TOOLS).choices[0].message.tool_calls
        assert [call.function.name for call in calls] == ["classify"]
        return
    with client.chat.completions.stream(**ASKED, tools=TOOLS) as events:
        final = events.get_final_completion()
    assert [call.function.name for call in final.choices[0].message.tool_calls] == ["classify"]
    assert final.choices[0].finish_reason == "tool_calls"


def test_async(gateway: Any) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=gateway.url, api_key="unused", max_retries=0, timeout=20) as client:
            plain = await client.chat.completions.create(**ASKED)
            stream: AsyncIterator[Any] = await client.chat.completions.create(**ASKED, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
            return [plain.choices[0].message.content or "", text]

    assert asyncio.run(ask()) == ["where is my parcel"] * 2


def test_the_other_endpoints(client: openai.OpenAI) -> None:
    assert client.responses.create(model="m", input="where is my parcel").output_text == "where is my parcel"
    assert len(client.embeddings.create(model="m", input=["a", "b"]).data) == 2
    assert [model.id for model in client.models.list()] == ["fake-model"]
    assert client.models.retrieve("fake-model").id == "fake-model"


def test_errors_are_the_clients_own_kinds(gateway: Any, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="non-empty list"):
        client.chat.completions.create(model="m", messages=[])
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")
    gateway.upstream.behaviour = Behaviour(fault=Fault.RATE_LIMIT)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**ASKED)
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="bad").chat.completions.create(**ASKED)


def test_a_stream_that_breaks_off_is_an_error_to_the_client(gateway: Any, client: openai.OpenAI) -> None:
    gateway.upstream.behaviour = Behaviour(fault=Fault.RESET_BODY, tokens_per_s=100)
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(**ASKED, stream=True))


def test_closing_a_stream_early_ends_the_upstream_call(gateway: Any, client: openai.OpenAI) -> None:
    gateway.upstream.behaviour = Behaviour(fault=Fault.ENDLESS, pause_s=0.01)
    stream = client.chat.completions.create(**ASKED, stream=True)
    next(iter(stream))
    stream.close()
    assert gateway.book.wait()[0].is_cancelled
