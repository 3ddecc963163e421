"""OpenAI's own client and curl, unmodified, against a running gateway: everything that a call may ask for."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel
from tests.gateway.conftest import ANSWER
from tests.gateway.faults.serving import PATIENCE_S, PROMPT_KEY, Gateway
from tests.gateway.routing.conftest import JSON_FORMAT, TOOL
from tests.gateway.routing.conftest import request as kept_request

MESSAGES: Any = [{"role": "user", "content": f"is {PROMPT_KEY} any good?"}]
ASKED: Any = {"model": "m", "messages": MESSAGES}
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256))).decode()


@pytest.fixture
def client(served: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url(served), api_key=served.key, max_retries=0, timeout=PATIENCE_S) as client:
        yield client


def url(served: Gateway) -> str:
    host, port = served.address
    return f"http://{host}:{port}/v1"


def fake(**behaviour: Any) -> dict[str, Any]:
    return {"x_fake": behaviour}


def test_choices_and_logprobs(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(**ASKED, n=3, logprobs=True, top_logprobs=2)
    assert [choice.message.content for choice in found.choices] == [ANSWER] * 3
    assert all(choice.logprobs and choice.logprobs.content for choice in found.choices)
    chunks = list(client.chat.completions.create(**ASKED, n=2, stream=True))
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1}


class Filed(BaseModel):
    label: Literal["food", "money_transfer", "weather"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_structured_answer_of_the_specialist_is_parsed(client: openai.OpenAI, stream: bool) -> None:
    asked: Any = kept_request(response_format=JSON_FORMAT)
    if stream:
        parts = list(client.chat.completions.create(**asked, stream=True))
        text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    else:
        answer = client.chat.completions.with_raw_response.create(**asked)
        assert answer.headers["x-metier-route"] == "kept"
        text = answer.parse().choices[0].message.content or ""
    assert Filed.model_validate_json(text) == Filed(label="money_transfer")


def test_a_structured_answer_of_the_frontier_is_parsed(client: openai.OpenAI) -> None:
    found = client.chat.completions.parse(
        **ASKED, response_format=Filed, extra_body=fake(answer='{"label": "weather"}')
    )
    assert found.choices[0].message.parsed == Filed(label="weather")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("who", ["kept", "passed"])
def test_tool_calls(client: openai.OpenAI, who: str, stream: bool) -> None:
    asked: Any = {**(kept_request() if who == "kept" else ASKED), "tools": [TOOL]}
    body = {} if who == "kept" else fake(tool_call=True)
    if stream:
        with client.chat.completions.stream(**asked, extra_body=body) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(**asked, extra_body=body).choices[0].message
    (call,) = message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "file_under"
    assert isinstance(json.loads(call.function.arguments), dict)


def test_a_picture_is_passed_on(client: openai.OpenAI, frontier: Any) -> None:
    content: Any = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
    ]
    found = client.chat.completions.create(model="m", messages=[{"role": "user", "content": content}])
    assert found.choices[0].message.content == ANSWER
    sent = [call for call in frontier.calls if PICTURE.encode() in call.body]
    assert sent[-1].request["messages"][0]["content"] == content


def test_the_answer_as_it_comes(client: openai.OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(**ASKED, stream=True) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-metier-trace"].startswith("mtr-")
        lines = [line for line in answer.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    with client.chat.completions.with_streaming_response.create(**ASKED) as answer:
        assert answer.parse().choices[0].message.content == ANSWER


def test_responses_embeddings_and_models(client: openai.OpenAI) -> None:
    assert client.responses.create(model="m", input=MESSAGES).output_text == ANSWER
    events = list(client.responses.create(model="m", input="hello", stream=True))
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
    with client.responses.stream(model="m", input="hello") as stream:
        assert stream.get_final_response().output_text == ANSWER
    found = client.embeddings.create(model="m", input=["a", "b"], dimensions=4)
    assert [len(row.embedding) for row in found.data] == [4, 4]
    names = [model.id for model in client.models.list()]
    assert "repeat-400" in names
    assert client.models.retrieve("repeat-400").id == "repeat-400"


def test_many_calls_at_once_through_the_async_client(served: Gateway) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(
            base_url=url(served), api_key=served.key, max_retries=0, timeout=PATIENCE_S
        ) as client:

            async def streamed() -> str:
                asked: Any = kept_request(stream=True)
                parts = [part async for part in await client.chat.completions.create(**asked)]
                return "".join(part.choices[0].delta.content or "" for part in parts if part.choices)

            async def plain() -> str:
                return (await client.chat.completions.create(**ASKED)).choices[0].message.content or ""

            return list(await asyncio.gather(*(streamed() for _ in range(10)), *(plain() for _ in range(10))))

    assert asyncio.run(ask()) == ["money_transfer"] * 10 + [ANSWER] * 10


def test_each_error_is_the_clients_own_kind(served: Gateway, client: openai.OpenAI) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.BadRequestError) as bad:
        create(model="m", messages="hi")  # type: ignore[call-overload]
    assert (bad.value.param, bad.value.code) == ("messages", "invalid_type")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="mtr_nobody").chat.completions.create(**ASKED)
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")
    with pytest.raises(openai.NotFoundError):
        create(**ASKED, extra_body=fake(fault="not_found"))
    with pytest.raises(openai.InternalServerError):
        create(**ASKED, extra_body=fake(fault="reset"))
    with pytest.raises(openai.APIError, match="broke off"):
        list(create(**ASKED, stream=True, extra_body=fake(fault="reset_body", tokens_per_s=100)))
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).chat.completions.create(**ASKED, extra_body=fake(fault="hang"))


def test_a_rate_limit_is_waited_for_as_the_upstream_asks(served: Gateway, client: openai.OpenAI) -> None:
    """The client's own backoff would be half a second at most; Retry-After says a second."""
    begun = time.monotonic()
    with pytest.raises(openai.RateLimitError) as limited:
        client.with_options(max_retries=1).chat.completions.create(model="repeat-429", messages=MESSAGES)
    assert time.monotonic() - begun >= 1.0
    assert limited.value.response.headers["retry-after"] == "1"
    assert limited.value.code == "refused"


def test_curl(served: Gateway) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")

    def curl(*arguments: str) -> str:
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "60", "-H", f"Authorization: Bearer {served.key}", *arguments],
            capture_output=True, text=True, check=True, timeout=PATIENCE_S,
        )  # fmt: skip
        return done.stdout

    chat = f"{url(served)}/chat/completions"
    plain = curl(chat, "-H", "content-type: application/json", "-d", json.dumps(ASKED))
    assert json.loads(plain)["choices"][0]["message"]["content"] == ANSWER
    # Without a content type curl sends a form's; what counts is the body.
    kept = curl("-i", chat, "-d", json.dumps(kept_request()))
    assert "x-metier-route: kept" in kept
    assert '"content":"money_transfer"' in kept
    assert curl("-N", chat, "-d", json.dumps({**ASKED, "stream": True})).endswith("data: [DONE]\n\n")
    # Over a mebibyte, so that curl asks with Expect: 100-continue first.
    large = json.dumps({**ASKED, "messages": [{"role": "user", "content": "x" * (2 << 20)}]})
    done = subprocess.run(
        ["curl", "-sS", "-H", f"Authorization: Bearer {served.key}", "--data-binary", "@-", chat],
        input=large, capture_output=True, text=True, check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == ANSWER
    assert json.loads(curl(chat, "-d", "{"))["error"]["code"] == "invalid_json"
