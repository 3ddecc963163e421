"""A real OpenAI-compatible server on the loopback, with the manners of bad days."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class ChatServer(ThreadingHTTPServer):
    """Answers "label of INPUT" unless `plan[INPUT]` holds behaviours, which are used up one a request.

    A behaviour is (kind, argument): answer, refusal, filtered, empty, cut, parts, no_usage, status, retry, garbage, html,
    not_chat, hang, reset.
    """

    daemon_threads = True
    # Connections that we reset on purpose are not worth a traceback on stderr.
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.plan: dict[str, list[tuple[str, Any]]] = defaultdict(list)
        self.seen: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.authorisations: set[str] = set()
        self.times: list[float] = []
        self.under_way = 0
        self.most_under_way = 0
        self.lock = threading.Lock()
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        import time

        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = body["messages"][-1]["content"]
        with self.server.lock:
            self.server.seen[text] += 1
            self.server.requests.append(body)
            self.server.authorisations.add(self.headers["authorization"])
            self.server.times.append(time.monotonic())
            self.server.under_way += 1
            self.server.most_under_way = max(self.server.most_under_way, self.server.under_way)
            planned = self.server.plan[text] or self.server.plan["*"]
            kind, argument = planned.pop(0) if planned else ("answer", f"label of {text}")
        try:
            self._behave(kind, argument)
        finally:
            with self.server.lock:
                self.server.under_way -= 1

    def _behave(self, kind: str, argument: Any) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": argument}
        finish, usage = "stop", {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        match kind:
            case "status":
                status, content = argument
                return self._send(status, json.dumps(content).encode())
            case "retry":
                status, after = argument
                error = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}
                return self._send(status, json.dumps(error).encode(), {"Retry-After": after})
            case "garbage":
                return self._send(200, b'{"choices": [{"mess')
            case "html":
                return self._send(200, b"<html>gateway</html>", content_type="text/html")
            case "not_chat":
                return self._send(200, json.dumps(argument).encode())
            case "hang":
                self.server.released.wait(argument)
                self.close_connection = True
                return None
            case "reset":
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                self.close_connection = True
                return None
            case "slow":
                self.server.released.wait(argument)
                message["content"] = "slow answer"
            case "refusal":
                message = {"role": "assistant", "content": None, "refusal": argument}
            case "filtered":
                finish = "content_filter"
            case "empty":
                message["content"] = "  "
            case "cut":
                message["content"], finish = "", "length"
            case "parts":
                message["content"] = [{"type": "text", "text": argument}]
        reply: dict[str, Any] = {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": "test",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        }
        if kind != "no_usage":
            reply["usage"] = usage
        return self._send(200, json.dumps(reply).encode())

    def _send(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, content_type: str = "application/json"
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Type": content_type, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def chat_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ChatServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
