"""Web pages: none may call unless it is named, and none may spend money where no key is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from starlette.testclient import TestClient

from metier.gateway.access import guard_browsers
from metier.gateway.access.browsers import Receive, Scope, Send

PAGE = "https://app.example.org"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-metier-trace", b"mtr-1")]})
    await send({"type": "http.response.body", "body": b"ok"})


def client(origins: Sequence[str] = (), needs_key: bool = True) -> TestClient:
    return TestClient(guard_browsers(echo, origins, lambda: needs_key), base_url="http://localhost:8484")  # type: ignore[arg-type]


def preflight(at: TestClient, origin: str = PAGE) -> dict[str, str]:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    }
    return dict(at.options("/v1/chat/completions", headers=asked).headers)


def test_cors_is_off_by_default() -> None:
    assert not [name for name in preflight(client()) if name.startswith("access-control")]
    answer = client().post("/", headers={"origin": PAGE})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_a_named_page_may_call_and_read_the_evidence() -> None:
    at = client([PAGE])
    allowed = preflight(at)
    assert allowed["access-control-allow-origin"] == PAGE
    assert "authorization" in allowed["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in allowed
    answer = at.post("/", headers={"origin": PAGE})
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "x-metier-trace" in answer.headers["access-control-expose-headers"].lower()
    assert answer.headers["vary"] == "Origin"


def test_another_page_gets_no_permission() -> None:
    at = client([PAGE])
    assert "access-control-allow-origin" not in preflight(at, "https://evil.example")
    assert "access-control-allow-origin" not in at.post("/", headers={"origin": "https://evil.example"}).headers


@pytest.mark.parametrize("origins", [(), (PAGE,), ("*",)])
def test_without_keys_a_foreign_page_is_refused_before_the_call_is_made(origins: tuple[str, ...]) -> None:
    at = client(origins, needs_key=False)
    for origin in ("https://evil.example", "null", "http://localhost:3000"):
        answer = at.post("/", headers={"origin": origin})
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "origin_not_allowed"
    assert at.post("/").status_code == 200


def test_without_keys_a_named_page_may_call() -> None:
    assert client([PAGE], needs_key=False).post("/", headers={"origin": PAGE}).status_code == 200


def test_with_keys_star_lets_every_page_ask() -> None:
    answer = client(["*"]).post("/", headers={"origin": "https://any.example"})
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8484", "127.0.0.1:8484", "[::1]:8484", "10.1.2.3", "a.localhost"]
)
def test_without_keys_the_gateway_answers_to_addresses_and_localhost(host: str) -> None:
    assert client(needs_key=False).get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8484", "127.0.0.1.evil.example", "localhost.evil.example", "[x"]
)
def test_without_keys_a_name_that_was_made_to_point_here_is_refused(host: str) -> None:
    assert client(needs_key=False).get("/", headers={"host": host}).status_code == 403
    assert client().get("/", headers={"host": host}).status_code == 200
