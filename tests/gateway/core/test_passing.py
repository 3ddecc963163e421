"""What is passed on arrives as it was sent, in both directions, and the record knows what was said."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest

from metier.labs.upstream import Behaviour

ASKED = {"model": "m", "messages": [{"role": "user", "content": "where is my parcel"}]}
BODY = b'{ "model":"m",  "messages" : [{"role":"user","content":"caf\\u00e9 \xc3\xa9"}], "x_unknown": {"a": 1e2} }'


def post(
    gateway: Any, content: bytes | dict[str, Any], path: str = "/chat/completions", **headers: str
) -> httpx.Response:
    data = content if isinstance(content, bytes) else orjson.dumps(content)
    given = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.post(gateway.url + path, content=data, headers=given, timeout=20)


def direct(gateway: Any, content: bytes, path: str = "/chat/completions") -> httpx.Response:
    return httpx.post(gateway.upstream.url + path, content=content, timeout=20)


def without_ids(body: bytes) -> bytes:
    """The fake upstream numbers its answers."""
    import re

    return re.sub(rb"(chatcmpl-|resp_|call_|msg_|fc_)[0-9a-f]+", rb"\1N", body)


def test_request_and_answer_pass_byte_for_byte(gateway: Any) -> None:
    answer = post(gateway, BODY)
    assert gateway.upstream.calls[-1].body == BODY
    assert without_ids(answer.content) == without_ids(direct(gateway, BODY).content)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["openai-version"] == "2020-10-01"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/chat/completions", {**ASKED, "stream": True}),
        ("/chat/completions", {**ASKED, "stream": True, "n": 2, "stream_options": {"include_usage": True}}),
        ("/chat/completions", {**ASKED, "n": 3, "logprobs": True, "response_format": {"type": "json_object"}}),
        ("/responses", {"model": "m", "input": "where is my parcel"}),
        ("/responses", {"model": "m", "input": "where is my parcel", "stream": True}),
        ("/embeddings", {"model": "m", "input": ["one", "two"]}),
    ],
)
def test_every_endpoint_and_form_passes_unchanged(gateway: Any, path: str, content: dict[str, Any]) -> None:
    data = orjson.dumps(content)
    answer = post(gateway, data, path)
    assert answer.status_code == 200
    assert gateway.upstream.calls[-1].body == data
    assert without_ids(answer.content) == without_ids(direct(gateway, data, path).content)


def test_the_record_of_a_plain_call(gateway: Any) -> None:
    answer = post(gateway, ASKED)
    record = gateway.book.wait()[0]
    assert record.request == ASKED
    assert (record.endpoint, record.status, record.model, record.upstream) == ("/v1/chat/completions", 200, "m", "fake")
    assert (record.response, record.finish_reason) == ("where is my parcel", "stop")
    assert record.response_id == answer.json()["id"]
    assert (record.input_tokens, record.output_tokens, record.is_estimated) == (4, 4, False)
    assert record.cost_usd == pytest.approx(4e-6 * 1 + 4e-6 * 2)
    assert gateway.door.charged == [(record.caller, record.cost_usd)]
    assert record.latency_s > 0
    assert record.ttft_s is None
    assert record.error is None
    assert not record.is_cancelled
    assert gateway.tally.finished_with == [record]


def test_the_record_of_a_stream(gateway: Any) -> None:
    post(gateway, {**ASKED, "stream": True, "stream_options": {"include_usage": True}})
    post(gateway, {**ASKED, "stream": True})
    told, untold = gateway.book.wait(2)
    assert [record.response for record in (told, untold)] == ["where is my parcel"] * 2
    assert (told.input_tokens, told.output_tokens, told.is_estimated) == (4, 4, False)
    assert untold.is_estimated
    assert untold.input_tokens > 0
    assert 0 < told.ttft_s <= told.latency_s


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_are_recorded_as_answer_text_writes_them(gateway: Any, stream: bool) -> None:
    tool = {
        "type": "function",
        "function": {"name": "label", "parameters": {"type": "object", "properties": {"label": {}}}},
    }
    post(gateway, {**ASKED, "stream": stream, "tools": [tool], "x_fake": {"tool_call": True}})
    record = gateway.book.wait()[0]
    assert json.loads(record.response)["name"] == "label"
    assert record.finish_reason == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
def test_responses_are_recorded(gateway: Any, stream: bool) -> None:
    post(gateway, {"model": "m", "input": "where is my parcel", "stream": stream}, "/responses")
    record = gateway.book.wait()[0]
    assert (record.endpoint, record.response) == ("/v1/responses", "where is my parcel")
    assert record.input_tokens is not None
    assert not record.is_estimated


def test_embeddings_are_counted_without_looking_at_the_numbers(gateway: Any) -> None:
    post(gateway, {"model": "m", "input": ["one two", "three"]}, "/embeddings")
    record = gateway.book.wait()[0]
    assert (record.input_tokens, record.output_tokens, record.response) == (3, 0, None)


def test_a_packed_answer_passes_packed_and_is_read(gateway: Any) -> None:
    with httpx.stream(
        "POST", gateway.url + "/chat/completions", json={**ASKED, "x_fake": {"fault": "gzip"}}, timeout=20
    ) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(raw))["choices"][0]["message"]["content"] == "where is my parcel"
    assert gateway.book.wait()[0].response == "where is my parcel"


def test_a_stream_arrives_as_it_is_made(gateway: Any) -> None:
    """The first events are here while the upstream has not finished: nothing is held back."""
    gateway.upstream.behaviour = Behaviour(tokens_per_s=20, n_chunks=20, answer="word " * 20)
    n_events, arrived = 0, []
    with httpx.stream("POST", gateway.url + "/chat/completions", json={**ASKED, "stream": True}, timeout=20) as answer:
        for part in answer.iter_raw():
            n_events += part.count(b"\n\n")
            arrived.append((time.monotonic(), n_events))
    # Ten or more separate arrivals; had the answer been buffered there would be one.
    assert len(arrived) >= 10
    assert answer.headers["x-metier-route"] == "passed"


def test_evidence_stands_on_every_answer_and_cannot_be_forged(gateway: Any) -> None:
    answer = post(gateway, ASKED, x_metier_route="kept", x_metier_trace="forged")
    record = gateway.book.wait()[0]
    assert answer.headers.get_list("x-metier-trace") == [record.trace_id]
    assert answer.headers.get_list("x-metier-route") == ["passed"]
    assert answer.headers["x-metier-reason"] == "not_recognised"
    assert record.trace_id.startswith("mtr-")
    assert len(record.trace_id) == 36


def test_the_call_carries_the_gateways_span_upstream(gateway: Any) -> None:
    post(gateway, ASKED, traceparent="00-the-clients-own", x_title="kept")
    sent = dict(gateway.upstream.calls[-1].headers)
    assert sent[b"traceparent"] == b"00-trace-1"
    assert sent[b"x-title"] == b"kept"


def errors(name: str, **rest: Any) -> dict[str, Any]:
    return {**ASKED, "x_fake": {"fault": name, **rest}}


@pytest.mark.parametrize(
    ("fault", "status"), [("rate_limit", 429), ("error", 500), ("bad_request", 400), ("not_found", 404)]
)
def test_an_upstreams_own_error_reaches_the_client(gateway: Any, fault: str, status: int) -> None:
    answer = post(gateway, errors(fault))
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    record = gateway.book.wait()[0]
    assert record.status == status
    assert record.error
    assert record.cost_usd is None


@pytest.mark.parametrize("fault", ["reset", "garbage", "truncated", "not_http", "reset_body"])
def test_an_upstream_that_fails_is_a_clean_error(gateway: Any, fault: str) -> None:
    answer = post(gateway, errors(fault))
    assert answer.status_code in (502, 504)
    assert answer.json()["error"]["type"] == "api_error"
    assert "x-metier-trace" in answer.headers
    assert gateway.book.wait()[0].error


@pytest.mark.parametrize("fault", ["reset_body", "truncated"])
def test_a_stream_that_breaks_off_ends_with_an_error_event(gateway: Any, fault: str) -> None:
    answer = post(gateway, {**errors(fault, fault_after=4, tokens_per_s=100), "stream": True})
    events = [event for event in answer.content.split(b"\n\n") if event]
    assert answer.status_code == 200
    assert json.loads(events[-1].removeprefix(b"data: "))["error"]["type"] == "api_error"
    assert b"[DONE]" not in answer.content
    record = gateway.book.wait()[0]
    assert record.error
    assert record.response


def test_a_call_that_takes_too_long_is_ended(start: Callable[..., Any]) -> None:
    with start(timeout_s=0.3) as gateway:
        answer = post(gateway, errors("hang"))
        assert answer.status_code == 504
        endless = post(gateway, {**errors("endless", pause_s=0.01), "stream": True})
        assert b'"error"' in endless.content.split(b"\n\n")[-2]
