"""The gateway as an ASGI application: the calls that are passed on or kept, and the few endpoints of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from metier.gateway import openapi
from metier.gateway.access import guard_browsers
from metier.gateway.background import Background
from metier.gateway.chat import Calls
from metier.gateway.endpoints import Endpoints
from metier.gateway.failures import HANDLERS
from metier.gateway.parts import Parts
from metier.gateway.requests import CHECKS


def build_app(
    parts: Parts,
    background: Background,
    threads: Executor,
    *,
    timeout_s: float,
    max_body_bytes: int,
    client_timeout_s: float,
    cors_origins: Sequence[str],
    needs_key: Callable[[], bool],
    readiness: Callable[[], Mapping[str, bool]],
) -> ASGIApp:
    """The application over its parts.

    `background` runs what clients do not wait for, `threads` the slow decisions. `cors_origins` are the web pages that may
    call, `needs_key` says whether callers need a key, and `readiness` by name what must be true before calls are sent here.
    """
    calls = Calls(
        parts,
        background,
        threads,
        timeout_s=timeout_s,
        max_body_bytes=max_body_bytes,
        client_timeout_s=client_timeout_s,
    )
    endpoints = Endpoints(parts, readiness, max_body_bytes=max_body_bytes, client_timeout_s=client_timeout_s)
    rest = Starlette(
        routes=[
            Route("/v1/models", endpoints.models),
            Route("/v1/models/{model:path}", endpoints.model),
            Route("/v1/feedback", endpoints.feedback, methods=["POST"]),
            Route("/healthz", endpoints.health),
            Route("/readyz", endpoints.ready),
            Route("/metrics", endpoints.metrics),
            Route("/openapi.json", openapi.endpoint),
            *(Route(path, _never, methods=["POST"]) for path in CHECKS),
        ],
        exception_handlers=HANDLERS,
    )
    rest.router.redirect_slashes = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in CHECKS:
            await calls(scope, receive, send)
        else:
            await rest(scope, receive, send)

    return guard_browsers(app, cors_origins, needs_key)


async def _never(request: Request) -> Response:
    """Stands in the table of routes for the hot path, so that other methods get 405 with the methods allowed."""
    raise AssertionError(f"{request.url.path} is answered before the routes are asked")
