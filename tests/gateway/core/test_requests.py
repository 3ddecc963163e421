"""Requests that are not what the API takes get an error that says what was received; odd but valid ones pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from metier.gateway.errors import ApiError
from metier.gateway.requests import parse

CHAT = "/v1/chat/completions"
GOOD = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"   ", "empty"),
        (b"{", "not valid JSON"),
        (b"[1]", "a list of 1"),
        (b'"x"', "a string ('x')"),
        (b"null", "null"),
        (b"{}", "'messages' must be a non-empty list of messages; received nothing"),
        (b'{"messages":[]}', "an empty list"),
        (b'{"messages":"hi"}', "a string ('hi')"),
        (b'{"messages":{"a":1}}', "an object of 1"),
        (b'{"messages":[1]}', "'messages[0]' must be an object; received a number (1)"),
        (b'{"messages":[{}], "model": 7}', "'model' must be a string; received a number (7)"),
        (b'{"messages":[{}], "stream": "yes"}', "'stream' must be true or false; received a string ('yes')"),
        (b'{"messages":[{}], "n": true}', "'n' must be a whole number; received a boolean"),
        (b'{"messages":[{}], "n": 1.5}', "a number (1.5)"),
        (b'{"messages":[{}], "stream_options": []}', "an empty list"),
        (b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not valid JSON"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "not valid JSON"),
        (b'{"messages": [{}], "x": NaN}', "not valid JSON"),
        (b'{"messages": [{}], "x": "\xff"}', "not valid JSON"),
        (b"\x00", "not valid JSON"),
    ],
)
def test_what_is_no_request_is_refused_with_what_was_received(body: bytes, said: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse(CHAT, body)
    assert caught.value.status == 400
    assert said in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[{"role":"user","content":null}],"model":null,"stream":null,"n":null,"stream_options":null}',
        b'{"messages":[{}],"messages":[{"role":"user"}]}',
        b'{"messages":[{}],"seed":' + b"9" * 400 + b"}",
        b'{"messages":[{}],"seed":1e400}',
        b'{"messages":[{"role":"user","content":"a\\u0000b"}]}',
        b'{"messages":[{"role":"user","content":"cut \\ud83d"}]}',
        b'{"messages":[{}],"x":' + b"[" * 100 + b"]" * 100 + b"}",
    ],
)
def test_odd_but_valid_requests_pass_untouched(gateway: Any, body: bytes) -> None:
    answer = httpx.post(gateway.root + CHAT, content=body, timeout=20)
    assert "x-metier-route" in answer.headers
    assert gateway.upstream.calls[-1].body == body


def test_half_a_surrogate_pair_is_remembered_as_a_replacement() -> None:
    request = parse(CHAT, b'{"messages":[{"role":"user","content":"\\ud83d \\ud83d\\ude00"}]}')
    assert request["messages"][0]["content"] == "\ufffd \U0001f600"


@pytest.mark.parametrize(("path", "body"), [("/v1/responses", b'{"input":7}'), ("/v1/embeddings", b'{"input":{}}')])
def test_other_endpoints_check_their_input(path: str, body: bytes) -> None:
    with pytest.raises(ApiError, match="'input' must be a string or a list"):
        parse(path, body)


def test_refusals_have_openais_shape_and_are_counted_but_not_recorded(gateway: Any) -> None:
    answer = httpx.post(gateway.root + CHAT, content=b'{"messages": 3}', timeout=20)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-metier-trace"].startswith("mtr-")
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "messages", "invalid_type")
    assert gateway.book.records == []
    assert gateway.tally.finished_with[0].status == 400
    assert gateway.upstream.calls == []


def test_a_caller_that_is_not_admitted_is_told_so_before_the_body_is_looked_at(gateway: Any) -> None:
    answer = httpx.post(gateway.root + CHAT, content=b"nonsense", headers={"authorization": "Bearer bad"}, timeout=20)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"


def test_an_unforeseen_fault_is_a_500_without_details(gateway: Any) -> None:
    def decide(request: Any) -> Any:
        raise RuntimeError("the secret is sk-123")

    gateway.router.decision = decide
    answer = httpx.post(gateway.root + CHAT, content=GOOD, timeout=20)
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "api_error"
    assert "secret" not in answer.text
    gateway.router.decision = gateway.router.__class__().decision
    assert httpx.post(gateway.root + CHAT, content=GOOD, timeout=20).status_code == 200


def test_a_body_over_the_limit_is_refused(start: Callable[..., Any]) -> None:
    with start(max_body_bytes=1000) as gateway:
        just = GOOD[:-1] + b" " * (1000 - len(GOOD)) + b"}"
        assert httpx.post(gateway.root + CHAT, content=just, timeout=20).status_code == 200
        answer = httpx.post(gateway.root + CHAT, content=just + b" ", timeout=20)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "request_too_large"
