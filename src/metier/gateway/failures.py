"""Errors of the gateway's own endpoints, in OpenAI's shape."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from metier.gateway.body import ClientGone
from metier.gateway.errors import ApiError

_log = logging.getLogger("metier.gateway")


def _response(error: ApiError) -> Response:
    return Response(error.body(), error.status, dict(error.headers), "application/json")


async def _on_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _response(error)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"{request.method} is not allowed on {path}; allowed: {allowed}."
        return _response(ApiError(405, message, code="method_not_allowed", headers=(("allow", allowed),)))
    if error.status_code == 404:
        return _response(ApiError(404, f"Unknown request URL: {request.method} {path}.", code="unknown_url"))
    return _response(ApiError(error.status_code, error.detail))


async def _on_client_gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)


async def _on_unexpected(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed unexpectedly", request.method, request.url.path, exc_info=error)
    return _response(ApiError(500, "Internal error; see the gateway's log.", "api_error", "internal_error"))


HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    ApiError: _on_api_error,
    HTTPException: _on_http_error,
    ClientGone: _on_client_gone,  # nobody reads it
    Exception: _on_unexpected,
}
