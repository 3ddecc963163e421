"""`metier serve` as a process: start, stop, reload, and the deaths it survives."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from metier.labs.upstream import Behaviour, RunningUpstream, running_upstream

PATIENCE_S = 60.0
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi there"}]}
_ADDRESS = re.compile(r"gateway on (http://\S+?)/v1")


class Serving:
    """A gateway that runs as a process of its own."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            for line in stderr:
                self.lines.append(line)

    def close(self) -> None:
        """Wait until its last words are read."""
        self._reader.join(PATIENCE_S)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    @property
    def root(self) -> str:
        found = _ADDRESS.search(self.text)
        assert found, self.text
        return found[1]

    def wait_for(self, text: str) -> None:
        until(lambda: text in self.text or self.process.poll() is not None, f"{text!r} in {self.text}")
        assert text in self.text, self.text

    def post(self, **changes: Any) -> httpx.Response:
        return httpx.post(f"{self.root}/v1/chat/completions", json={**ASKED, **changes}, timeout=PATIENCE_S)

    def children(self, module: str) -> list[int]:
        """Process ids of the gateway's children that run `module`."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(path.read_text().rpartition(")")[2].split()[1])
                command = (path.parent / "cmdline").read_text()
            except (OSError, IndexError):
                continue
            if parent == self.process.pid and module in command:
                found.append(int(path.parent.name))
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def traces(self) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / ".metier" / "traffic.db")) as database:
            return database.execute("select id, response, evidence from traces").fetchall()


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@contextmanager
def serving(folder: Path, upstream: str, *options: str) -> Iterator[Serving]:
    (folder / "metier.toml").write_text(
        f'[upstreams.fake]\nbase_url = "{upstream}"\napi_key_env = ""\n[serve]\nport = 0\ndrain_s = 5.0\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "metier", "serve", *options],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    running = Serving(process, folder)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        running.close()


@pytest.fixture(scope="module")
def upstream() -> Iterator[RunningUpstream]:
    with running_upstream(Behaviour()) as running:
        yield running


def test_a_gateway_from_start_to_end(tmp_path: Path, upstream: RunningUpstream) -> None:
    """What it says, SIGHUP, a stream that is open when SIGTERM comes, and what is in the database afterwards."""
    with serving(tmp_path, upstream.url) as gateway:
        gateway.wait_for("metrics:")
        for said in (upstream.url, "no keys: only this machine may connect", "traffic.db", "tasks: none known yet"):
            assert said in gateway.text
        assert gateway.post().json()["choices"][0]["message"]["content"] == "hi there"
        assert httpx.get(f"{gateway.root}/readyz", timeout=20).json()["checks"] == {
            "specialists": True,
            "recorder": True,
            "keys": True,
            "accepting": True,
        }
        assert "metier_requests_total" in httpx.get(f"{gateway.root}/metrics", timeout=20).text

        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_for('"event":"reload"')
        (tmp_path / "metier.toml").write_text("[serve]\nport = 'none'\n")
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_for('"event":"reload_failed"')
        assert gateway.post().status_code == 200

        slow = {"tokens_per_s": 10, "answer": "one two three four five six seven eight nine ten"}
        with httpx.stream(
            "POST", f"{gateway.root}/v1/chat/completions", json={**ASKED, "stream": True, "x_fake": slow}, timeout=20
        ) as answer:
            parts = answer.iter_raw()
            first = next(parts)
            gateway.process.send_signal(signal.SIGTERM)
            whole = first + b"".join(parts)
        assert whole.endswith(b"data: [DONE]\n\n")
        assert gateway.process.wait(PATIENCE_S) == 0
        assert "Traceback" not in gateway.text
        traces = gateway.traces()
        assert len(traces) == 3
        assert "one two three four five six seven eight nine ten" in [trace[1] for trace in traces]
        with pytest.raises(httpx.ConnectError):
            gateway.post()


def test_a_killed_worker_is_replaced_and_nothing_recorded_is_lost(tmp_path: Path, upstream: RunningUpstream) -> None:
    with serving(tmp_path, upstream.url, "--workers", "2") as gateway:
        gateway.wait_for("metrics:")
        assert [gateway.post().status_code for _ in range(20)] == [200] * 20
        time.sleep(1.0)  # what a kill can undo is the last second, by the product's own promise
        workers = gateway.children("process.worker")
        assert len(workers) == 2
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        gateway.wait_for("SIGKILL")
        until(lambda: len(set(gateway.children("process.worker")) - set(workers)) == 2, "two new workers")
        assert gateway.post().status_code == 200
        until(lambda: "metier_requests_total" in httpx.get(f"{gateway.root}/metrics", timeout=20).text, "metrics")
        assert gateway.stop(signal.SIGINT) == 0
        assert len(gateway.traces()) == 21


def test_workers_leave_when_the_supervisor_is_killed(tmp_path: Path, upstream: RunningUpstream) -> None:
    with serving(tmp_path, upstream.url) as gateway:
        gateway.wait_for("metrics:")
        pids = gateway.children("gateway.process")
        assert len(pids) == 2
        gateway.post()
        gateway.process.kill()
        gateway.process.wait(PATIENCE_S)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the children live on")
    # The ingester may have left before the worker had written: what is in the journal then is for the next start.
    with serving(tmp_path, upstream.url) as gateway:
        until(lambda: len(gateway.traces()) == 1, "the call is lost")


def test_a_call_that_outlasts_the_time_to_drain_is_ended_with_an_error(
    tmp_path: Path, upstream: RunningUpstream
) -> None:
    with serving(tmp_path, upstream.url, "--drain-s", "0.5") as gateway:
        gateway.wait_for("metrics:")
        endless = {**ASKED, "stream": True, "x_fake": {"fault": "endless", "pause_s": 0.05}}
        with httpx.stream("POST", f"{gateway.root}/v1/chat/completions", json=endless, timeout=20) as answer:
            parts = answer.iter_raw()
            next(parts)
            gateway.process.send_signal(signal.SIGTERM)
            rest = b"".join(parts)
        last = [event for event in rest.split(b"\n\n") if event][-1]
        assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "shutting_down"
        assert gateway.process.wait(PATIENCE_S) == 0
        assert json.loads(gateway.traces()[0][2])["error"] == "shutting_down"


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "metier", "serve", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = run(tmp_path, "--port", str(port))
    assert found.returncode == 1
    assert f"127.0.0.1:{port} cannot be listened on" in found.stderr
    assert "--port" in found.stderr
    assert "Traceback" not in found.stderr


def test_an_open_address_without_a_key_is_refused(tmp_path: Path) -> None:
    found = run(tmp_path, "--host", "0.0.0.0", "--port", "0")
    assert found.returncode == 1
    assert "metier key create NAME" in found.stderr


def test_settings_that_are_wrong_are_named(tmp_path: Path) -> None:
    (tmp_path / "metier.toml").write_text('[upstreams.bad]\nbase_url = "ftp://nowhere"\n')
    found = run(tmp_path, "--port", "0")
    assert found.returncode == 1
    assert "[upstreams.bad] base_url" in found.stderr
    assert "Traceback" not in found.stderr
