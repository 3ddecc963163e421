"""`metier serve` as a process of its own, over the shipped fake upstream, with clients that note what they got."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.gateway.sockets import read_all

from metier.store.traffic import TrafficStore

PATIENCE_S = 60.0
CHAT = "/v1/chat/completions"
ERROR_FIELDS = {"message", "type", "param", "code"}
UPSTREAM_KEY_VARIABLE = "FAULTS_UPSTREAM_KEY"
# Planted where secrets live; none of them may turn up in what metier writes or says of itself.
UPSTREAM_KEY = "sk-proj-9fKq27LmXw41TzRb8VnE30HdYc65JsPg"
PROMPT_KEY = "sk-proj-Zx81WvUt72SrQp63OnMl54KjIh45GfEd"
_ADDRESS = re.compile(r"gateway on http://(\S+?):(\d+)/v1")
_TOML = """\
[project]
traffic = "{traffic}"
[serve]
port = {port}
{serve}
[route]
mode = "route"
audit_share = {audit_share}
[upstreams.fake]
base_url = "{upstream}"
api_key_env = "{variable}"
input_usd_per_million = 1.0
output_usd_per_million = 2.0
{options}
{more}
"""


def until(is_so: Callable[[], object], what: Callable[[], str] | str, pause_s: float = 0.02) -> None:
    """Wait for it; fails with `what` where it does not come about."""
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, what if isinstance(what, str) else what()
        time.sleep(pause_s)


@dataclass(frozen=True)
class Outcome:
    """What a client got of one call. Times are time.monotonic(); `broken` is why there is no whole HTTP answer."""

    sent_at: float
    done_at: float
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    broken: str | None = None

    @property
    def trace_id(self) -> str | None:
        return self.headers.get("x-metier-trace")

    @property
    def route(self) -> str | None:
        return self.headers.get("x-metier-route")

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[bytes]:
        return [event.removeprefix(b"data: ") for event in self.body.split(b"\n\n") if event]

    @property
    def error(self) -> dict[str, Any]:
        """The error object; fails where the answer is none in OpenAI's shape."""
        found = self.json["error"] if self.status >= 400 else json.loads(self.events[-1])["error"]
        assert set(found) == ERROR_FIELDS, found
        assert isinstance(found["message"], str), found
        assert found["message"]
        assert isinstance(found["type"], str), found
        return dict(found)

    @property
    def text(self) -> str:
        """The answer's text; fails where it is not a whole and sound answer."""
        assert self.status == 200, (self.status, self.body[:500], self.broken)
        if not self.headers["content-type"].startswith("text/event-stream"):
            return str(self.json["choices"][0]["message"]["content"])
        assert self.events[-1] == b"[DONE]", self.body[-500:]
        deltas = [json.loads(event)["choices"] for event in self.events[:-1]]
        return "".join(choices[0]["delta"].get("content") or "" for choices in deltas if choices)

    def check(self, expected: str | None = None) -> None:
        """A correct answer, or an error in OpenAI's shape."""
        is_stream = self.headers.get("content-type", "").startswith("text/event-stream")
        if self.status == 200 and not (is_stream and self.events[-1] != b"[DONE]"):
            assert expected is None or self.text == expected
        else:
            assert self.error


def content_of(request: Mapping[str, Any]) -> bytes:
    return json.dumps(request).encode()


class Client:
    """One kept-alive connection at a time to a gateway; a call never raises, it says what came of it."""

    def __init__(self, gateway: Gateway, key: str | None = None) -> None:
        self._gateway = gateway
        self._key = gateway.key if key is None else key
        self._connection: http.client.HTTPConnection | None = None

    def call(
        self,
        request: Mapping[str, Any] | bytes | None,
        path: str = CHAT,
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> Outcome:
        body = request if isinstance(request, bytes) or request is None else content_of(request)
        sent = {"authorization": f"Bearer {self._key}", "content-type": "application/json", **(headers or {})}
        sent_at = time.monotonic()
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(*self._gateway.address, timeout=PATIENCE_S)
            self._connection.request(method, path, body, sent)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as problem:
            self.close()
            return Outcome(sent_at, time.monotonic(), broken=f"{type(problem).__name__}: {problem}")
        found = {name.lower(): value for name, value in answer.getheaders()}
        outcome = Outcome(sent_at, time.monotonic(), answer.status, found, content)
        self._gateway.hear(outcome)
        return outcome

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Gateway:
    """A project's gateway. `start` and `stop` it as often as a test wants; `said` is all it ever wrote to its terminal."""

    def __init__(self, folder: Path, upstream_url: str, *, location: str | None = None, password: str = "") -> None:
        self.folder = folder
        self.location = location or str(folder / ".metier" / "traffic.db")
        self.key = ""
        self.port = _free_port()
        self.secrets = [UPSTREAM_KEY, PROMPT_KEY, *([password] if password else [])]
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._upstream_url = upstream_url
        self._output = folder / "output.log"
        self._heard: list[bytes] = []
        self._readers: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.configure()

    # The project

    def configure(
        self, serve: Sequence[str] = (), options: Sequence[str] = (), more: str = "", audit_share: float = 0.0
    ) -> None:
        """Write metier.toml with these lines in [serve] and in the upstream's section, and with `more` after it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = _TOML.format(
            port=self.port,
            upstream=self._upstream_url,
            variable=UPSTREAM_KEY_VARIABLE,
            serve="\n".join(serve),
            options="\n".join(options),
            more=more,
            audit_share=audit_share,
            traffic=self.location if "://" in self.location else "",
        )
        (self.folder / "metier.toml").write_text(text)

    def make_key(self, name: str) -> str:
        from metier.store.keys import KeyStore

        with KeyStore(self.location) as keys:
            text, _ = keys.create(name, time.time())
        self.secrets.append(text)
        self.key = self.key or text
        return text

    def revoke(self, key: str) -> None:
        from metier.artefacts.keys import key_id
        from metier.store.keys import KeyStore

        with KeyStore(self.location) as keys:
            keys.revoke(key_id(key) or "", time.time())

    # The process

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    @property
    def said(self) -> str:
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it takes calls."""
        before = len(self.said)
        reader, writer = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "metier", "serve"],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            env={**os.environ, "COLUMNS": "200", UPSTREAM_KEY_VARIABLE: UPSTREAM_KEY, **self.environment},
        )
        os.close(writer)
        self._readers.append(threading.Thread(target=self._read, args=(reader,), daemon=True))
        self._readers[-1].start()
        until(lambda: "metrics:" in self.said[before:] or not self.is_running, lambda: self.said[before:])
        assert self.is_running, self.said[before:]
        assert _ADDRESS.search(self.said[before:])

    def _read(self, reader: int) -> None:
        """Into a file, but through a pipe: what a limit does to the gateway's files is not to be done to its log."""
        with open(reader, "rb", buffering=0) as source, self._output.open("ab", buffering=0) as output:
            while said := source.read(65536):
                output.write(said)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.is_running:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE_S)
        self._finish_reading()
        return status

    def _finish_reading(self) -> None:
        for thread in self._readers:
            thread.join(PATIENCE_S)
        self._readers.clear()

    def end(self) -> None:
        """Whatever state it is in: gone, with all of its children."""
        if self.process is None:
            return
        children = self.children()
        self.process.kill()
        self.process.wait(PATIENCE_S)
        for pid in children:
            _kill(pid)
        self._finish_reading()

    def children(self, module: str = "metier.gateway.process") -> list[int]:
        """Process ids of the gateway's processes that run `module`; the supervisor is not among them. They are found by
        the folder that they run in: one whose supervisor was killed has another parent."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                command = (path / "cmdline").read_bytes().split(b"\0")
                is_here = (path / "cwd").resolve() == self.folder.resolve()
                is_alive = (path / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
            except OSError:
                continue
            if is_here and is_alive and any(part.startswith(module.encode()) for part in command):
                found.append(int(path.name))
        return found

    def kill_everything(self) -> float:
        """SIGKILL to the supervisor and all of its children; time.monotonic() just before."""
        assert self.process is not None
        pids = [self.process.pid, *self.children()]
        now = time.monotonic()
        for pid in pids:
            _kill(pid)
        self.process.wait(PATIENCE_S)
        return now

    def log(self, event: str) -> list[dict[str, Any]]:
        """The JSON log lines of one event."""
        found = []
        for line in self.said.splitlines():
            if line.startswith("{"):
                try:
                    read = json.loads(line)
                except ValueError:
                    continue  # cut short by a kill
                if read.get("event") == event:
                    found.append(read)
        return found

    def stated_loss(self) -> int:
        """How many calls the gateway has said it lost, in all."""
        return sum(line.get("lost", 0) + line.get("dropped", 0) for line in self.log("recording"))

    def call(
        self,
        request: Mapping[str, Any] | bytes | None,
        path: str = CHAT,
        *,
        key: str | None = None,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> Outcome:
        """A call on a connection of its own."""
        client = Client(self, key)
        try:
            return client.call(request, path, method=method, headers=headers)
        finally:
            client.close()

    def exchange(self, request: bytes) -> bytes:
        """Everything that comes back on a connection that sends `request`, until the gateway closes it."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_all(connection)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=PATIENCE_S)

    # What came of it

    def hear(self, outcome: Outcome) -> None:
        """Remember what clients were told that is no answer of a model: headers, and the bodies of errors."""
        said = [f"{name}: {value}".encode() for name, value in outcome.headers.items()]
        if outcome.status >= 400 or b'"error"' in outcome.body[-1000:]:
            said.append(outcome.body)
        with self._lock:
            self._heard += said

    def traces(self) -> dict[str, dict[str, Any]]:
        """Every trace in the database by id: response, evidence, route, latency_s."""
        columns = ("id", "response", "evidence", "route", "latency_s", "ttft_s", "time", "reference")
        with TrafficStore(self.location) as store:
            rows = [row for frame in store.batches(columns) for row in frame.iter_rows(named=True)]
        return {row["id"]: {**row, "evidence": json.loads(row["evidence"])} for row in rows}

    def trace_ids(self) -> set[str]:
        """The ids of every trace in the database."""
        with TrafficStore(self.location) as store:
            return {row[0] for frame in store.batches(("id",)) for row in frame.iter_rows()}

    def wait_for(self, ids: Iterable[str | None]) -> dict[str, dict[str, Any]]:
        """The traces, once all of `ids` are among them."""
        missing = {id_ for id_ in ids if id_ is not None}

        def are_there() -> bool:
            missing.difference_update(self.trace_ids())
            return not missing

        until(are_there, lambda: f"{len(missing)} calls are not in the database", pause_s=0.1)
        return self.traces()

    def check_secrets(self) -> None:
        """None of the planted secrets is in a file of the project (metier.toml, log, journal, database, artefacts), on the
        terminal, in an error, or in a header."""
        held = {str(path): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        assert str(self._output) in held
        with self._lock:
            held["what clients were told"] = b"\n".join(self._heard)
        for place, content in held.items():
            for secret in self.secrets:
                assert secret.encode() not in content, f"{secret[:12]}... is in {place}"


class Load:
    """Clients that call without end, each on a connection of its own, until the block is left."""

    def __init__(self, gateway: Gateway, requests: Sequence[Mapping[str, Any]], n_clients: int = 4) -> None:
        self.outcomes: list[tuple[Mapping[str, Any], Outcome]] = []
        self.n_clients = n_clients
        self._gateway = gateway
        self._requests = requests
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(number,), daemon=True) for number in range(n_clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        assert not any(thread.is_alive() for thread in self._threads)

    def _call(self, number: int) -> None:
        client = Client(self._gateway)
        while not self._over.is_set():
            request = self._requests[number % len(self._requests)]
            number += 1
            outcome = client.call(request)
            self.outcomes.append((request, outcome))
            if outcome.broken:
                time.sleep(0.05)
        client.close()

    def wait(self, n: int) -> None:
        """Until `n` more calls have been answered."""
        wanted = len(self.answered) + n
        until(lambda: len(self.answered) >= wanted, lambda: f"no {n} answers: {self.outcomes[-3:]}")

    @property
    def answered(self) -> list[tuple[Mapping[str, Any], Outcome]]:
        return [each for each in list(self.outcomes) if each[1].broken is None]

    @property
    def broken(self) -> list[Outcome]:
        return [outcome for _, outcome in list(self.outcomes) if outcome.broken is not None]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
