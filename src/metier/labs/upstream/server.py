"""The fake upstream as a server: in this event loop, or in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import threading
from collections import Counter, deque
from collections.abc import Coroutine, Iterator, Mapping
from random import Random
from typing import Any, Self

import orjson

from metier.labs.upstream import answers, others, playing
from metier.labs.upstream.behaviour import Behaviour, Fault, changed
from metier.labs.upstream.http import Call, Connection

# A model of this name has the fault: "fault:reset_body".
_FAULT_MODEL = "fault:"
_HEADER = b"x-fake"
_FIELD = "x_fake"
_HUGE_WORD = "x" * 1023 + " "
_BACKLOG = 4096
_START_TIMEOUT_S = 10.0


class FakeUpstream:
    """An OpenAI-compatible server under `url` (which ends in /v1). `behaviour` and `models` (by name) may be changed while
    it runs. A request changes them for itself with a header `x-fake: {"latency_s": 0.1}`, a body field "x_fake", or a model
    named "fault:NAME". `calls` holds the newest requests, `n_calls` counts all by path."""

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        models: Mapping[str, Behaviour] | None = None,
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        max_calls: int = 10_000,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.models = dict(models or {})
        self.calls: deque[Call] = deque(maxlen=max_calls)
        self.n_calls: Counter[str] = Counter()
        self._n_faulted: Counter[Fault] = Counter()
        self._random = Random(seed)
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._prefix = secrets.token_hex(4)
        self._n_answers = 0

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}/v1"

    @property
    def n_connections(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.refuse()

    async def listen(self) -> None:
        """Open the port, the same one as before."""
        loop = asyncio.get_running_loop()
        listener = socket.create_server((self._host, self._port), backlog=_BACKLOG)
        self._port = listener.getsockname()[1]
        self._server = await loop.create_server(self._connect, sock=listener, backlog=_BACKLOG)

    async def refuse(self) -> None:
        """Close the port and drop every connection: further ones are refused until `listen`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self._connections):
            connection.reset()
        while self._connections:
            await asyncio.sleep(0)

    def _connect(self) -> Connection:
        return Connection(self._answer, self._connections.add, self._connections.discard)

    def _answer(self, call: Call, connection: Connection) -> Coroutine[Any, Any, None] | None:
        self.calls.append(call)
        self.n_calls[call.path] += 1
        self._n_answers += 1
        number = f"{self._prefix}{self._n_answers:08x}"
        request_id = b"req_" + number.encode()
        try:
            behaviour = self._struck(self._behaviour(call))
            content = self._content(call, behaviour, number)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            content = (400, others.error(f"fake upstream: {error!r}", "invalid_request_error", None))
        if isinstance(content, tuple):
            status, body = content
            connection.write(playing.head(status, b"application/json", request_id, len(body)) + body)
            return None
        if isinstance(content, list):
            return playing.stream(content, behaviour, request_id, connection)
        if behaviour.is_instant:
            connection.write(playing.whole(content, behaviour, request_id))
            return None
        return playing.play(content, behaviour, request_id, connection)

    def _behaviour(self, call: Call) -> Behaviour:
        """The server's, overridden by the model's, the header's and the field's."""
        request = call.request
        model = request.get("model")
        found = self.behaviour
        if isinstance(model, str):
            found = self.models.get(model, found)
            if model.startswith(_FAULT_MODEL):
                found = changed(found, {"fault": model.removeprefix(_FAULT_MODEL)})
        for name, value in call.headers:
            if name == _HEADER:
                found = changed(found, orjson.loads(value))
        return changed(found, request[_FIELD]) if _FIELD in request else found

    def _struck(self, behaviour: Behaviour) -> Behaviour:
        """`behaviour`, without its fault where this call is spared."""
        fault = behaviour.fault
        if not fault:
            return behaviour
        is_over = behaviour.fault_first is not None and self._n_faulted[fault] >= behaviour.fault_first
        if is_over or (behaviour.fault_share < 1.0 and self._random.random() >= behaviour.fault_share):
            return changed(behaviour, {"fault": ""})
        self._n_faulted[fault] += 1
        if fault is Fault.HUGE:
            return changed(behaviour, {"answer": _HUGE_WORD * (behaviour.huge_bytes // len(_HUGE_WORD))})
        return behaviour

    def _content(self, call: Call, behaviour: Behaviour, number: str) -> bytes | list[bytes] | tuple[int, bytes]:
        """A whole body, the events of a stream, or an error with its status."""
        request, path = call.request, call.path
        if path == "/v1/models" and call.method == "GET":
            return orjson.dumps(others.models(self.models or ("fake-model",)))
        if call.method != "POST":
            return 404, others.error(f"unknown path {call.method} {path}", "invalid_request_error", None)
        if path == "/v1/chat/completions":
            if request.get("stream"):
                return answers.chat_events(request, behaviour, f"chatcmpl-{number}")
            return orjson.dumps(answers.chat(request, behaviour, f"chatcmpl-{number}"))
        if path == "/v1/responses":
            if request.get("stream"):
                return others.responses_events(request, behaviour, f"resp_{number}")
            return orjson.dumps(others.responses(request, behaviour, f"resp_{number}"))
        if path == "/v1/embeddings":
            return orjson.dumps(others.embeddings(request, behaviour))
        return 404, others.error(f"unknown path {call.method} {path}", "invalid_request_error", None)


class RunningUpstream:
    """A FakeUpstream in a thread, for tests and programs without an event loop."""

    def __init__(self, upstream: FakeUpstream, loop: asyncio.AbstractEventLoop) -> None:
        self.upstream = upstream
        self._loop = loop

    @property
    def url(self) -> str:
        return self.upstream.url

    @property
    def calls(self) -> list[Call]:
        return list(self.upstream.calls)

    @property
    def behaviour(self) -> Behaviour:
        return self.upstream.behaviour

    @behaviour.setter
    def behaviour(self, value: Behaviour) -> None:
        self.upstream.behaviour = value

    def refuse(self) -> None:
        self._run(self.upstream.refuse())

    def listen(self) -> None:
        self._run(self.upstream.listen())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_TIMEOUT_S)


@contextlib.contextmanager
def running_upstream(
    behaviour: Behaviour | None = None, *, models: Mapping[str, Behaviour] | None = None, seed: int = 0, port: int = 0
) -> Iterator[RunningUpstream]:
    """A fake upstream that runs in a daemon thread while the block does."""
    loop = asyncio.new_event_loop()
    running = RunningUpstream(FakeUpstream(behaviour, models=models, seed=seed, port=port), loop)
    thread = threading.Thread(target=loop.run_forever, name="fake-upstream", daemon=True)
    thread.start()
    try:
        running.listen()
        try:
            yield running
        finally:
            running.refuse()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_START_TIMEOUT_S)
        loop.close()
