"""What is read off a stream does not depend on where its bytes are cut."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.gateway.gathering import MAX_GATHERED_BYTES, Gathered, StreamGatherer, gather

CHAT = "/v1/chat/completions"
HEAD = {"id": "chatcmpl-1", "model": "m"}


def event(delta: dict[str, Any], reason: str | None = None, index: int = 0) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


TEXT = [
    event({"role": "assistant", "content": ""}),
    *(event({"content": part}) for part in ("caf", "é ", "\U0001f600!")),
]
END = [event({}, "stop"), {**HEAD, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}]


def sse(events: list[dict[str, Any]], end: bytes = b"\n") -> bytes:
    lines = b"".join(b"data: " + orjson.dumps(each) + end + end for each in events)
    return b": a comment" + end + b"event: x" + end + lines + b"data: [DONE]" + end + end


def gathered(data: bytes, cuts: list[int], path: str = CHAT) -> Gathered:
    gatherer = StreamGatherer(path)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, stop in pairwise(places):
        gatherer.feed(data[start:stop])
    return gatherer.finish()


@given(cuts=st.lists(st.integers(0, 2000), max_size=40), end=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_a_stream_says_the_same_however_it_is_cut(cuts: list[int], end: bytes) -> None:
    assert gathered(sse(TEXT + END, end), cuts) == Gathered(
        "chatcmpl-1", "m", "café \U0001f600!", "stop", input_tokens=5, output_tokens=7
    )


@given(cut=st.integers(0, 2000))
def test_a_stream_that_breaks_off_leaves_what_was_said(cut: int) -> None:
    data = sse(TEXT + END)
    found = gathered(data[: cut % len(data)], [])
    assert "café \U0001f600!".startswith(found.text or "")


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=5))
def test_no_bytes_are_too_odd(data: bytes, cuts: list[int]) -> None:
    gathered(b"data: " + data, cuts)
    gathered(data, cuts, "/v1/responses")
    gather(CHAT, data)
    gather("/v1/responses", data)
    gather("/v1/embeddings", data)


NAMES = [
    *("id", "model", "choices", "index", "delta", "message", "content", "tool_calls", "function", "name", "arguments"),
    *("usage", "prompt_tokens", "output", "error", "code", "type", "response", "item"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=15,
)


@given(value=JSON, kind=st.sampled_from(["response.completed", "response.output_text.delta", "error"]))
def test_no_json_is_too_odd(value: Any, kind: str) -> None:
    for content in (value, {"choices": [value]}, {"choices": [{"delta": value, "message": value}]}):
        data = orjson.dumps(content)
        gather(CHAT, data)
        gather("/v1/responses", data)
        gathered(b"data: " + data + b"\n\n", [])
        gathered(
            b"data: " + orjson.dumps({"type": kind, "response": value, "delta": value}) + b"\n\n", [], "/v1/responses"
        )


def test_tool_calls_come_in_pieces() -> None:
    calls = [
        {"index": 0, "id": "a", "function": {"name": "classify", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"lab'}},
        {"index": 0, "function": {"arguments": 'el":1}'}},
        {"index": 1, "id": "b", "function": {"name": "other", "arguments": "no json"}},
    ]
    found = gathered(sse([event({"tool_calls": [call]}) for call in calls]), [])
    assert found.text == '[{"name":"classify","arguments":{"label":1}},{"name":"other","arguments":"no json"}]'


def test_of_several_choices_the_first_counts() -> None:
    events = [
        event({"content": "second"}, index=1),
        event({"content": "first"}),
        event({}, "length", 1),
        event({}, "stop"),
    ]
    found = gathered(sse(events), [])
    assert (found.text, found.finish_reason) == ("first", "stop")
    body = {"choices": [{"index": 1, "message": {"content": "b"}}, {"index": 0, "message": {"content": "a"}}]}
    assert gather(CHAT, orjson.dumps(body)).text == "a"


def test_data_on_several_lines_is_one_event() -> None:
    data = b'data: {"id":"x",\ndata: "choices":[{"delta":{"content":"hi"}}]}\n\n'
    found = gathered(data, [])
    assert (found.response_id, found.text) == ("x", "hi")


def test_the_first_token_is_not_the_role() -> None:
    gatherer = StreamGatherer(CHAT)
    gatherer.feed(sse(TEXT[:1]))
    assert not gatherer.has_begun
    gatherer.feed(sse(TEXT[1:2]))
    assert gatherer.has_begun


def test_a_refusal_and_an_error_are_heard() -> None:
    assert gathered(sse([event({"refusal": "I cannot"})]), []).text == "I cannot"
    assert gathered(sse([{"error": {"code": "overloaded", "message": "…"}}]), []).error == "overloaded"


@pytest.mark.parametrize("size", [1 << 16, 1 << 20])
def test_what_is_remembered_is_bounded(size: int) -> None:
    gatherer = StreamGatherer(CHAT)
    for _ in range(3 * MAX_GATHERED_BYTES // size):
        gatherer.feed(b"x" * size)
    gatherer.feed(b"\n\n" + sse([event({"content": "y" * size})] * (2 * MAX_GATHERED_BYTES // size)))
    found = gatherer.finish()
    assert found.text is not None
    assert len(found.text) <= MAX_GATHERED_BYTES


def test_the_items_of_a_response_are_its_answer() -> None:
    output = [
        {"type": "reasoning", "summary": []},
        {"type": "message", "content": [{"type": "output_text", "text": "hello"}]},
    ]
    body = {
        "id": "resp_1",
        "model": "m",
        "status": "completed",
        "output": output,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }
    assert gather("/v1/responses", orjson.dumps(body)) == Gathered("resp_1", "m", "hello", "completed", 3, 1)
    call = [{"type": "function_call", "name": "f", "arguments": '{"a":1}', "call_id": "c"}]
    assert gather("/v1/responses", orjson.dumps({**body, "output": call})).text == '{"name":"f","arguments":{"a":1}}'


@pytest.mark.parametrize("body", [{"id": "c-1", "choices": [{"message": {"content": "a"}}]}, [1], None, {}])
def test_a_body_that_was_read_before_says_the_same(body: object) -> None:
    data = orjson.dumps(body)
    assert gather(CHAT, data, orjson.loads(data)) == gather(CHAT, data)
