"""What a client may do to a running gateway: it is told so in OpenAI's shape, and nobody else notices."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.gateway.conftest import ANSWER
from tests.gateway.faults.serving import PROMPT_KEY, Gateway, Outcome, read_all, until
from tests.gateway.routing.conftest import request as kept_request

from metier.labs.upstream import RunningUpstream

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": f"is {PROMPT_KEY} any good?"}]}


@pytest.fixture(autouse=True)
def _others_are_served(served: Gateway) -> Iterator[None]:
    """After each test, and whatever its client did, another client gets a right answer, and that is recorded."""
    yield
    outcomes = [served.call(ASKED), served.call(kept_request())]
    assert [outcome.text for outcome in outcomes] == [ANSWER, "money_transfer"]
    served.wait_for(outcome.trace_id for outcome in outcomes)


def head(gateway: Gateway, length: int, extra: bytes = b"") -> bytes:
    authorization = f"Bearer {gateway.key}".encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: %b\r\ncontent-length: %d\r\n%b\r\n"
        % (authorization, length, extra)
    )


def outcome_of(answer: bytes) -> Outcome:
    """An answer read off a socket."""
    top, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Outcome(0.0, 0.0, int(status.split()[1]), headers, body)


@contextmanager
def sending(gateway: Gateway, request: dict[str, Any]) -> Iterator[socket.socket]:
    """A connection on which a request has been sent."""
    body = json.dumps(request).encode()
    with gateway.connect() as connection:
        connection.sendall(head(gateway, len(body)) + body)
        yield connection


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_disconnects_in_mid_stream_ends_the_upstream_call(
    served: Gateway, frontier: RunningUpstream, how: str
) -> None:
    request = {**ASKED, "stream": True, "x_fake": {"fault": "endless", "pause_s": 0.02}}
    with sending(served, request) as connection:
        answer = connection.recv(65536)
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(65536)
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    trace_id = outcome_of(answer).trace_id
    (call,) = [call for call in frontier.calls[-20:] if call.request.get("x_fake") == request["x_fake"]][-1:]
    until(lambda: call.is_aborted, "the upstream call goes on")
    evidence = served.wait_for([trace_id])[trace_id or ""]["evidence"]
    assert evidence["is_cancelled"]
    assert "error" not in evidence


def test_a_client_that_sends_100_mb_is_told_the_limit(served: Gateway) -> None:
    block = b"x" * (1 << 20)
    with served.connect() as connection:
        connection.sendall(head(served, 100 << 20))
        for _ in range(100):
            connection.sendall(block)
        connection.shutdown(socket.SHUT_WR)
        outcome = outcome_of(read_all(connection))
    assert (outcome.status, outcome.error["code"]) == (413, "request_too_large")
    assert "allowed are 4 MiB" in outcome.error["message"]


DEEP = 5_000
_MESSAGES = b'"messages":[{"role":"user","content":"hi"}]'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"messages":[{"role":"user","content":"\xff\xfe"}]}', 400),
        (b'{"messages":[{"role":"user","content":NaN}]}', 400),
        (b"[" * DEEP + b"]" * DEEP, 400),
        (b'{"a":' * DEEP + b"1" + b"}" * DEEP, 400),
        (b'{%b,"x":%b1%b}' % (_MESSAGES, b"[" * 100, b"]" * 100), 200),
        (b'{"messages":[{"role":"user","content":%b"hi"%b}]}' % (b"[" * 200, b"]" * 200), 200),
        (b'{"messages":[{"role":5,"content":{"a":[null,1e999]}}]}', 200),
        (b"[1]", 400),
        (b'"text"', 400),
        (b"null", 400),
        (b"{}", 400),
        (b'{"messages":{}}', 400),
        (b'{"messages":[]}', 400),
        (b'{"messages":["hi"]}', 400),
        (b'{"model":5,%b}' % _MESSAGES, 400),
        (b'{"stream":"yes",%b}' % _MESSAGES, 400),
        (b'{"n":"two",%b}' % _MESSAGES, 400),
        (b'{"stream_options":[],%b}' % _MESSAGES, 400),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else str(value),
)
def test_what_is_no_request_is_refused(served: Gateway, body: bytes, status: int) -> None:
    outcome = served.call(body)
    assert outcome.status == status, outcome.body
    if status == 200:
        served.wait_for([outcome.trace_id])
    else:
        assert outcome.error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "extra",
    [
        b"x-metier-route: kept\r\nx-metier-trace: forged\r\n",
        b"x-odd: a\rb: c\r\n",
        b"x-odd: a\nx-injected: c\r\n",
        b"x-odd: a\x00b\r\n",
        b"x odd: a\r\n",
        b"x-odd: a\r\n folded: c\r\n",
        b"transfer-encoding: chunked\r\n",
        b"content-length: 7\r\n",
        b"x-odd: \xff\xfe\r\n",
    ],
)
def test_headers_cannot_be_injected(served: Gateway, frontier: RunningUpstream, extra: bytes) -> None:
    body = json.dumps(ASKED).encode()
    with served.connect() as connection:
        connection.sendall(head(served, len(body), extra + b"connection: close\r\n") + body)
        answer = read_all(connection)
    outcome = outcome_of(answer)
    outcome.check(ANSWER)
    # One answer, with no header of the client's making, and none upstream either.
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"injected" not in answer
    assert b"forged" not in answer
    assert answer.lower().count(b"x-metier-route:") <= 1
    sent = [name for call in frontier.calls[-3:] for name, _ in call.headers]
    assert not {b"x-injected", b"folded", b"b", b"x-metier-route"} & set(sent)


def test_a_model_name_cannot_break_lines(served: Gateway) -> None:
    """What a client names turns up in headers, log lines and metrics."""
    name = 'm\r\nx-injected: 1\r\n\r\n{"event":"forged"}\n'
    outcome = served.call({**ASKED, "model": name})
    assert outcome.text == ANSWER
    assert "x-injected" not in outcome.headers
    assert served.log("forged") == []
    metrics = served.call(None, "/metrics", method="GET")
    assert metrics.status == 200
    assert b"\nx-injected" not in metrics.body


def test_a_body_that_does_not_come_is_given_up(served: Gateway) -> None:
    body = json.dumps(ASKED).encode()
    with served.connect() as connection:
        connection.sendall(head(served, len(body)) + body[:-5])
        outcome = outcome_of(read_all(connection))
    assert (outcome.status, outcome.error["code"]) == (408, "request_timeout")


def test_a_revoked_key_that_is_replayed_is_refused(served: Gateway) -> None:
    key = served.make_key("thief")
    until(lambda: served.call(ASKED, key=key).status == 200, "the new key is not taken")
    served.revoke(key)
    until(lambda: served.call(ASKED, key=key).status == 401, "the revoked key is still taken")
    replayed = served.call(ASKED, key=key)
    assert (replayed.status, replayed.error["code"]) == (401, "invalid_api_key")
    for wrong in (key[:-1] + "x", "mtr_", "Bearer", "\xe9", "x" * 5_000, ""):
        outcome = served.call(ASKED, key=wrong)
        assert (outcome.status, outcome.error["code"]) == (401, "invalid_api_key")
