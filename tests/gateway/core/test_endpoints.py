"""The gateway's own endpoints, and what stands where there is none."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from metier.gateway import openapi

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def get(gateway: Any, path: str, **rest: Any) -> httpx.Response:
    return httpx.get(gateway.root + path, timeout=20, **rest)


def test_models_are_those_named_and_those_of_the_upstream(start: Any) -> None:
    with start(settings={"models": ("named", "wild-*")}) as gateway:
        found = get(gateway, "/v1/models").json()
        assert found["object"] == "list"
        assert [model["id"] for model in found["data"]] == ["named", "fake-model"]
        assert get(gateway, "/v1/models/fake-model").json()["id"] == "fake-model"
        missing = get(gateway, "/v1/models/no/such")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


def test_models_are_listed_while_the_upstream_is_away(start: Any) -> None:
    with start(settings={"models": ("named",)}) as gateway:
        gateway.upstream.refuse()
        assert [model["id"] for model in get(gateway, "/v1/models").json()["data"]] == ["named"]


def test_health_and_readiness(gateway: Any) -> None:
    assert get(gateway, "/healthz").json() == {"status": "ok"}
    assert get(gateway, "/readyz").status_code == 200
    gateway.checks["specialists"] = False
    answer = get(gateway, "/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "checks": {"specialists": False}}
    assert get(gateway, "/healthz").status_code == 200


def test_metrics(gateway: Any) -> None:
    answer = get(gateway, "/metrics")
    assert answer.text == "metier_requests_total 0\n"
    assert answer.headers["content-type"] == "text/plain; version=0.0.4"


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ({"feedback": "correct"}, ("correct", None)),
        ({"feedback": "wrong", "correction": "other"}, ("wrong", "other")),
        ({"correction": "other"}, (None, "other")),
    ],
)
def test_feedback_is_kept(gateway: Any, content: dict[str, Any], kept: tuple[Any, Any]) -> None:
    id_ = httpx.post(gateway.url + "/chat/completions", json=ASKED, timeout=20).json()["id"]
    gateway.book.wait()
    answer = httpx.post(gateway.url + "/feedback", json={"id": id_, **content}, timeout=20)
    assert answer.json() == {"id": id_, "object": "feedback", "recorded": True}
    assert gateway.book.judgements == [(id_, *kept)]


@pytest.mark.parametrize(
    ("content", "status", "param"),
    [
        ({"id": "unknown", "feedback": "wrong"}, 404, "id"),
        ({"feedback": "wrong"}, 400, "id"),
        ({"id": "", "feedback": "wrong"}, 400, "id"),
        ({"id": 3, "feedback": "wrong"}, 400, "id"),
        ({"id": "x", "feedback": "good"}, 400, "feedback"),
        ({"id": "x"}, 400, "feedback"),
        ({"id": "x", "correction": 5}, 400, "correction"),
        ({"id": "x", "feedback": "wrong", "rating": 5}, 400, "rating"),
    ],
)
def test_feedback_that_makes_no_sense(gateway: Any, content: Any, status: int, param: str) -> None:
    answer = httpx.post(gateway.url + "/feedback", json=content, timeout=20)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/embeddings", 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/feedback", 405),
        ("POST", "/v1/images/generations", 404),
        ("GET", "/", 404),
        ("GET", "/v1/chat/completions/", 404),
        ("GET", "/%0d%0ax-evil:%201", 404),
    ],
)
def test_what_is_not_there(gateway: Any, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, gateway.root + path, timeout=20)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert "x-evil" not in answer.headers
    if status == 405:
        assert answer.headers["allow"]


def test_strangers_get_nothing_but_health(gateway: Any) -> None:
    bad = {"authorization": "Bearer bad"}
    assert get(gateway, "/v1/models", headers=bad).status_code == 401
    assert httpx.post(gateway.url + "/feedback", json={}, headers=bad, timeout=20).status_code == 401
    assert get(gateway, "/healthz", headers=bad).status_code == 200


def test_a_page_of_another_origin_is_refused_unless_it_is_allowed(start: Any) -> None:
    page = {"origin": "https://app.example"}
    with start() as gateway:
        assert httpx.post(gateway.url + "/chat/completions", json=ASKED, headers=page, timeout=20).status_code == 403
    with start(cors_origins=("https://app.example",)) as gateway:
        answer = httpx.post(gateway.url + "/chat/completions", json=ASKED, headers=page, timeout=20)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "x-metier-route" in answer.headers["access-control-expose-headers"]


def test_the_description_names_every_route(gateway: Any) -> None:
    found = get(gateway, "/openapi.json").json()
    assert found == json.loads(json.dumps(openapi.description()))
    assert found["openapi"] == "3.1.0"
    for path, operations in found["paths"].items():
        for method in operations:
            answer = httpx.request(method, gateway.root + path.replace("{model}", "fake-model"), timeout=20)
            assert answer.status_code not in (404, 405), f"{method} {path}"
            assert str(answer.status_code) in operations[method]["responses"]
