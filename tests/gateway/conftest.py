"""Gateways as their users run them: a project with a certified specialist, and `metier serve` in its folder."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.faults.serving import UPSTREAM_KEY_VARIABLE, Gateway
from tests.gateway.routing.conftest import TASK, Shop, clock, made

from metier.labs.upstream import Behaviour, RunningUpstream, running_upstream
from metier.store.aliases import AliasStore

__all__ = ["made"]

ANSWER = "an answer of the frontier"
# A model that agrees with the specialist, and takes its time.
AGREEING = "agreeing"
# Asked for by alias only: any other name goes to the fake upstream, which stands before it.
_REPEATING = f"""\
[upstreams.repeating]
base_url = "{{}}"
api_key_env = "{UPSTREAM_KEY_VARIABLE}"
models = ["answer-*"]
max_retries = 0
breaker_failures = 100000
[models]
repeat-400 = ["repeating/answer-400"]
repeat-401 = ["repeating/answer-401"]
repeat-429 = ["repeating/answer-429"]
repeat-500 = ["repeating/answer-500"]
"""
Make = Callable[..., Gateway]


@pytest.fixture(scope="session")
def frontier() -> Iterator[RunningUpstream]:
    """The upstream of every gateway here: it says ANSWER, unless a request's x_fake asks for a fault."""
    agreeing = Behaviour(answer="money_transfer", latency_s=0.2)
    with running_upstream(Behaviour(answer=ANSWER), models={AGREEING: agreeing}) as running:
        yield running


@pytest.fixture(scope="session")
def make_gateway(made: Shop, frontier: RunningUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """make_gateway(**options of Gateway): a new project with the specialist promoted; not started."""
    gateways: list[Gateway] = []

    def make(**options: Any) -> Gateway:
        folder: Path = tmp_path_factory.mktemp("project")
        shutil.copytree(made.store.root, folder / ".metier")
        AliasStore(folder / ".metier").promote(TASK, made.policy_id, clock())
        gateways.append(Gateway(folder, frontier.url, **options))
        return gateways[-1]

    yield make
    for gateway in gateways:
        gateway.end()


class _Repeating(BaseHTTPRequestHandler):
    """Refuses a call with the status that its model's name ends in, and says what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        sent = self.headers["authorization"]
        error = {"message": f"refused: {sent}", "type": "invalid_request_error", "param": None, "code": "refused"}
        body = json.dumps({"error": error}).encode()
        self.send_response(int(request["model"].rpartition("-")[2]))
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-was-sent", sent)
        self.send_header("retry-after", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture(scope="session")
def repeating_url() -> Iterator[str]:
    """An upstream that repeats the key it was sent."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Repeating) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join(10)


@pytest.fixture(scope="session")
def served(make_gateway: Make, repeating_url: str) -> Iterator[Gateway]:
    """A gateway that many tests share, so it is the better for surviving all of them; with little patience."""
    gateway = make_gateway()
    gateway.configure(
        serve=["timeout_s = 5.0", "client_timeout_s = 1.0", "max_body_mb = 4.0", "drain_s = 5.0"],
        options=["first_byte_timeout_s = 1.0", "idle_timeout_s = 1.0", "breaker_failures = 100000"],
        more=_REPEATING.format(repeating_url),
    )
    gateway.make_key("shop")
    gateway.start()
    yield gateway
    assert gateway.stop() == 0
    assert "Traceback" not in gateway.said
    gateway.check_secrets()
