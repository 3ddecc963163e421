"""The gateway's own endpoints: models, feedback, health, readiness, metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from metier.gateway.access.hosts import is_loopback
from metier.gateway.body import read_body
from metier.gateway.calls import Caller
from metier.gateway.errors import ApiError
from metier.gateway.judgements import parse_judgement
from metier.gateway.parts import Parts

# The upstream's own list of models is asked for, but a client that lists models does not wait long for it.
_MODELS_TIMEOUT_S = 10.0


class Endpoints:
    """Handlers of Starlette's routes over the parts of the gateway."""

    def __init__(
        self,
        parts: Parts,
        readiness: Callable[[], Mapping[str, bool]],
        *,
        max_body_bytes: int,
        client_timeout_s: float,
    ) -> None:
        self._parts = parts
        self._readiness = readiness
        self._max_body_bytes = max_body_bytes
        self._client_timeout_s = client_timeout_s

    async def models(self, request: Request) -> Response:
        """Aliases and named models first, then those that the upstream lists itself."""
        self._admit(request)
        return _json({"object": "list", "data": await self._models(request)})

    async def model(self, request: Request) -> Response:
        self._admit(request)
        name = request.path_params["model"]
        for model in await self._models(request):
            if model["id"] == name:
                return _json(model)
        message = f"The model {name[:200]!r} does not exist; GET /v1/models lists those that do."
        raise ApiError(404, message, code="model_not_found", param="model")

    async def _models(self, request: Request) -> list[dict[str, Any]]:
        own = [_model(name) for name in self._parts.upstreams.model_names()]
        known = {model["id"] for model in own}
        return own + [model for model in await self._upstream_models(request) if model["id"] not in known]

    async def _upstream_models(self, request: Request) -> Iterable[dict[str, Any]]:
        try:
            reply = await self._parts.upstreams.send(
                "/models",
                b"",
                None,
                headers=request.scope["headers"],
                is_stream=False,
                deadline=monotonic() + _MODELS_TIMEOUT_S,
                method="GET",
            )
            try:
                content = orjson.loads(await reply.read())
            finally:
                await reply.close()
        except (ApiError, orjson.JSONDecodeError):
            return []
        data = content.get("data") if isinstance(content, dict) else None
        models = data if isinstance(data, list) else []
        return [model for model in models if isinstance(model, dict) and isinstance(model.get("id"), str)]

    async def feedback(self, request: Request) -> Response:
        """Keep what someone says of an answer: correct, wrong, or what it should have been."""
        self._admit(request)
        length = request.headers.get("content-length")
        body = await read_body(request.receive, length, self._max_body_bytes, self._client_timeout_s)
        judgement = parse_judgement(body)
        if not await self._parts.recorder.judge(judgement.id, judgement.feedback, judgement.correction):
            message = f"No answer with the id {judgement.id[:200]!r} is known."
            raise ApiError(404, message, "not_found_error", "answer_not_found", "id")
        return _json({"id": judgement.id, "object": "feedback", "recorded": True})

    async def health(self, _: Request) -> Response:
        """The process answers; nothing else is said."""
        return _json({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        checks = dict(self._readiness())
        is_ready = all(checks.values())
        return _json({"status": "ready" if is_ready else "not ready", "checks": checks}, 200 if is_ready else 503)

    async def metrics(self, request: Request) -> Response:
        """For this machine, or with a key: what is spent is nobody else's business."""
        if request.client is None or not is_loopback(request.client.host):
            self._admit(request)
        body, kind = self._parts.telemetry.exposition()
        return Response(body, headers={"content-type": kind})

    def _admit(self, request: Request) -> Caller:
        host = request.client.host if request.client else None
        return self._parts.gatekeeper.admit(request.headers.get("authorization"), host)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "metier"}


def _json(content: Mapping[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
