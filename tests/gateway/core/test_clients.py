"""Clients that hang up, dawdle, overfill, or write what is no HTTP; each on a socket of its own."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.gateway.sockets import read_all

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi there"}]}'


def head(length: int | None = None, extra: bytes = b"", path: bytes = b"/v1/chat/completions") -> bytes:
    framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
    return b"POST %b HTTP/1.1\r\nhost: localhost\r\n%b\r\n%b\r\n" % (path, framing, extra)


def request(body: bytes = BODY, extra: bytes = b"") -> bytes:
    return head(len(body), extra) + body


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def error_of(answer: bytes) -> tuple[int, Any]:
    top, _, body = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(body)["error"]["code"]


@pytest.mark.parametrize("fault", ["endless", "hang", "hang_body"])
def test_a_client_that_hangs_up_cancels_the_upstream_call(gateway: Any, fault: str) -> None:
    body = b'{"model":"m","stream":true,"x_fake":{"fault":"%b","pause_s":0.01},"messages":[{"content":"a b c d e"}]}'
    connection = gateway.connect()
    connection.sendall(request(body % fault.encode()))
    if fault == "endless":
        seen = b""
        while seen.count(b'"content"') < 3:
            seen += connection.recv(1000)
    until(lambda: gateway.upstream.upstream.n_connections == 1, "the call has not reached the upstream")
    until(lambda: len(gateway.upstream.calls) == 1, "the call has not reached the upstream")
    if fault == "hang_body":
        connection.recv(10)
    connection.close()
    until(lambda: gateway.upstream.upstream.n_connections == 0, "the upstream call goes on")
    record = gateway.book.wait()[0]
    assert record.is_cancelled
    assert record.error is None
    if fault == "endless":
        assert record.response
        assert record.status == 200
    if fault == "hang":
        assert record.status == 499


def test_a_client_that_resets_its_connection_is_noticed(gateway: Any) -> None:
    connection = gateway.connect()
    connection.sendall(request(BODY[:-1] + b',"x_fake":{"fault":"hang"}}'))
    until(lambda: len(gateway.upstream.calls) == 1, "the call has not reached the upstream")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    assert gateway.book.wait()[0].is_cancelled


def test_a_client_that_leaves_within_its_body_is_forgotten(gateway: Any) -> None:
    connection = gateway.connect()
    connection.sendall(request()[:-5])
    connection.close()
    until(lambda: len(gateway.tally.finished_with) == 1, "the call does not end")
    assert gateway.tally.finished_with[0].is_cancelled
    assert gateway.book.records == []


def test_a_length_over_the_limit_is_refused_before_the_body_comes(gateway: Any) -> None:
    with gateway.connect() as connection:
        connection.sendall(head(100 << 20))
        answer = connection.recv(65536)
        assert error_of(answer) == (413, "request_too_large")


def test_a_client_that_sends_100_mb_can_read_why_it_was_refused(gateway: Any) -> None:
    block = b"x" * (1 << 20)
    with gateway.connect() as connection:
        connection.sendall(head(100 << 20))
        for _ in range(100):
            connection.sendall(block)
        connection.shutdown(socket.SHUT_WR)
        assert error_of(read_all(connection)) == (413, "request_too_large")


def test_a_body_without_length_is_cut_off_at_the_limit(gateway: Any) -> None:
    block = b"%x\r\n%b\r\n" % (1 << 16, b"x" * (1 << 16))
    with gateway.connect() as connection:
        connection.sendall(head())
        for _ in range(17):
            connection.sendall(block)
        assert error_of(connection.recv(65536)) == (413, "request_too_large")


@pytest.mark.parametrize("length", [b"abc", b"-5", b"1e3", b"5, 6"])
def test_a_length_that_is_no_number(gateway: Any, length: bytes) -> None:
    answer = gateway.exchange(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %b\r\n\r\n" % length
    )
    assert error_of(answer)[0] == 400


def test_a_body_that_does_not_come_is_given_up(start: Callable[..., Any]) -> None:
    with start(client_timeout_s=0.3) as gateway:
        assert error_of(gateway.exchange(request()[:-5])) == (408, "request_timeout")


def test_a_body_that_drips_is_given_up(start: Callable[..., Any]) -> None:
    """Each pause is short enough, but a byte each tenth of a second is no way to send a request."""
    with start(client_timeout_s=0.5) as gateway, gateway.connect() as connection:
        connection.sendall(head(1000))
        connection.settimeout(0.1)
        answer = b""
        for _ in range(100):
            connection.sendall(b" ")
            try:
                answer = connection.recv(65536)
            except TimeoutError:
                continue
            break
        assert error_of(answer) == (408, "request_timeout")


@pytest.mark.parametrize("sent", [b"", b"POST /v1/chat/comp", b"POST / HTTP/1.1\r\nhost: localhost\r\nx-long: "])
def test_headers_that_do_not_come_are_given_up(start: Callable[..., Any], sent: bytes) -> None:
    with start(client_timeout_s=0.3) as gateway:
        answer = gateway.exchange(sent)
        assert answer == b"" if not sent else error_of(answer) == (408, "request_timeout")


def test_headers_that_do_not_come_on_a_connection_in_use(start: Callable[..., Any]) -> None:
    with start(client_timeout_s=0.3) as gateway, gateway.connect() as connection:
        connection.sendall(request())
        assert b" 200 " in connection.recv(65536)
        connection.sendall(b"POST /v1/chat")
        assert error_of(read_all(connection)) == (408, "request_timeout")


def test_headers_without_end_are_refused(gateway: Any) -> None:
    with gateway.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\n")
        answer = b""
        for number in range(200):
            try:
                connection.sendall(b"x-%d: %b\r\n" % (number, b"y" * 1000))
            except OSError:
                break
        answer = read_all(connection)
        # The client may have been sending still when the gateway closed: then it sees a reset.
        assert answer == b"" or error_of(answer) == (431, "headers_too_large")


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx bad: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_an_error_in_openais_shape(gateway: Any, sent: bytes) -> None:
    assert error_of(gateway.exchange(sent)) == (400, "invalid_http")


@pytest.mark.parametrize(
    "name", [b"x-title: a\r\n\tb", b"x-title: \xff\xfe", b"x-title: " + b"z" * 30_000, b"traceparent: \xe2\x80\xa8"]
)
def test_odd_headers_do_no_harm(gateway: Any, name: bytes) -> None:
    answer = gateway.exchange(request(extra=name + b"\r\nconnection: close\r\n"))
    assert int(answer.split()[1]) in (200, 400)


def test_requests_sent_in_one_go_are_answered_in_turn(gateway: Any) -> None:
    bodies = [BODY.replace(b"hi there", b"number %d" % number) for number in range(5)]
    last = request(bodies[4], b"connection: close\r\n")
    answer = gateway.exchange(b"".join(request(body) for body in bodies[:4]) + last)
    found = [answer.index(b'"content":"number %d"' % number) for number in range(5)]
    assert found == sorted(found)
    assert answer.count(b"HTTP/1.1 200 OK") == 5


def test_a_client_that_does_not_read_is_cut_off(start: Callable[..., Any]) -> None:
    with start(client_timeout_s=0.5) as gateway, gateway.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = b'{"model":"m","stream":true,"x_fake":{"fault":"huge","huge_bytes":%d},"messages":[{"content":"a"}]}'
        connection.sendall(request(body % (32 << 20)))
        record = gateway.book.wait()[0]
        assert record.is_cancelled
        until(lambda: gateway.upstream.upstream.n_connections == 0, "the upstream call goes on")


def test_a_client_that_reads_slowly_gets_everything(start: Callable[..., Any]) -> None:
    with start(client_timeout_s=0.5) as gateway, gateway.connect() as connection:
        body = b'{"model":"m","x_fake":{"fault":"huge","huge_bytes":%d},"messages":[{"content":"a"}]}'
        connection.sendall(request(body % (8 << 20), b"connection: close\r\n"))
        n_bytes, n_pauses = 0, 0
        while part := connection.recv(1 << 16):
            n_bytes += len(part)
            if n_bytes // (1 << 20) > n_pauses:
                n_pauses += 1
                time.sleep(0.15)
        assert n_bytes > 8 << 20


def test_expect_100_continue(gateway: Any) -> None:
    with gateway.connect() as connection:
        connection.sendall(head(len(BODY), b"expect: 100-continue\r\nconnection: close\r\n"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(BODY)
        assert b" 200 OK" in read_all(connection)
