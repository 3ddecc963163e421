"""The servers of a benchmark, each a process of its own, started as a user would start it, and what they use."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from load import Address

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
LITELLM = ROOT / ".venv-litellm" / "bin" / "litellm"
_START_S = 120.0
_STOP_S = 60.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
# Load generator and mock hold thousands of connections; what is measured gets the limits that it was given.
_GIVEN_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)

METIER_TOML = """\
[serve]
port = {port}

[upstreams.mock]
base_url = "{upstream}"
api_key_env = ""
{more}"""
_LITELLM_YAML = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: {upstream}
      api_key: sk-none
litellm_settings:
  telemetry: false
  num_retries: 0
"""


@dataclass(frozen=True)
class Server:
    """A running process with its children."""

    name: str
    address: Address
    process: subprocess.Popen[bytes]
    log: Path
    key: str = ""

    @property
    def url(self) -> str:
        return f"http://{self.address.host}:{self.address.port}/v1"

    def processes(self) -> list[int]:
        """The process and all below it."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for path in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    waiting += map(int, path.read_text().split())
        return found

    def cpu_s(self) -> dict[int, float]:
        """CPU time, user and system, of each process so far."""
        return {pid: seconds for pid in self.processes() if (seconds := _cpu_s(pid)) is not None}

    def memory_mib(self) -> dict[int, float]:
        """Resident memory of each process now."""
        return {pid: mib for pid in self.processes() if (mib := _memory_mib(pid)) is not None}


def used_s(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    return sum(after.values()) - sum(before.values())


def _cpu_s(pid: int) -> float | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _memory_mib(pid: int) -> float | None:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MIB
    except OSError:
        return None


def allow_many_files() -> None:
    """Raise this process's own limit as far as it goes; servers under test start with the limit that was given."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_GIVEN_FILES[1], _GIVEN_FILES[1]))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str],
    port: int,
    ready: str,
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    key: str = "",
    has_given_limit: bool = True,
) -> Iterator[Server]:
    """The command in `folder`, once GET `ready` answers; stopped by SIGTERM at the end. Its output goes to a file."""
    log = folder / f"{name.replace(' ', '-').lower()}.log"
    limits = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, _GIVEN_FILES)) if has_given_limit else None
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **(env or {})}, stdout=file, stderr=file, preexec_fn=limits
        )
    server = Server(name, Address("127.0.0.1", port), process, log, key)
    try:
        _wait(server, ready)
        yield server
    finally:
        stop(server)


def stop(server: Server) -> float:
    """Ask it to stop; killed where it does not. Seconds that it took."""
    began = time.monotonic()
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGTERM)
        try:
            server.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()
    return time.monotonic() - began


def _wait(server: Server, ready: str) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        if server.process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(
                f"http://{server.address.host}:{server.address.port}{ready}", timeout=2
            ) as answer:
                if answer.status == 200:
                    return
        except (OSError, urllib.error.HTTPError):
            pass
        time.sleep(0.1)
    tail = server.log.read_bytes()[-2000:].decode("utf-8", "replace")
    raise RuntimeError(f"{server.name} did not start: exit code {server.process.poll()}\n{tail}")


@contextlib.contextmanager
def mock(folder: Path, *arguments: str) -> Iterator[Server]:
    """The fake upstream that metier ships."""
    port = free_port()
    command = [sys.executable, "-m", "metier.labs.upstream", "--port", str(port), *arguments]
    with running("mock upstream", command, port, "/v1/models", folder, has_given_limit=False) as server:
        yield server


@contextlib.contextmanager
def empty_proxy(folder: Path, upstream: Server) -> Iterator[Server]:
    """uvicorn with a handler that passes the call on and does nothing else, with metier's server and client."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "proxy:app", "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning", "--lifespan", "off"),
    ]
    env = {"UPSTREAM": upstream.url}
    with running("empty handler", command, port, "/healthz", folder, env=env) as server:
        yield server


@contextlib.contextmanager
def metier(folder: Path, upstream: Server, more: str = "") -> Iterator[Server]:
    """`metier serve` in `folder`, as it comes: recording into SQLite, JSON log lines; `more` goes to metier.toml."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    toml = METIER_TOML.format(port=port, upstream=upstream.url, more=more)
    (folder / "metier.toml").write_text(toml, encoding="utf-8")
    command = [sys.executable, "-m", "metier", "serve"]
    with running("metier", command, port, "/readyz", folder) as server:
        yield server


@contextlib.contextmanager
def litellm(folder: Path, upstream: Server, model: str) -> Iterator[Server]:
    """LiteLLM's proxy: one worker, no database, telemetry off, its own environment."""
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(_LITELLM_YAML.format(model=model, upstream=upstream.url), encoding="utf-8")
    command = [str(LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    key = f"sk-{secrets.token_hex(32)}"
    env = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_MASTER_KEY": key,  # without one it does not start
        "PATH": f"{LITELLM.parent}:{os.environ['PATH']}",
    }
    with running("LiteLLM", command, port, "/health/liveliness", folder, env=env, key=key) as server:
        yield server


def litellm_version() -> str | None:
    """The version that is installed; None where it is not."""
    if not LITELLM.exists():
        return None
    asked = "import importlib.metadata as m; print(m.version('litellm'))"
    done = subprocess.run([str(LITELLM.parent / "python"), "-c", asked], capture_output=True, text=True, check=True)
    found = re.fullmatch(r"[\w.]+", done.stdout.strip())
    return found.group() if found else None
