"""The OpenAPI 3.1 description of the gateway's endpoints, served at /openapi.json."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from metier.version import __version__

_ERRORS = {
    400: "The request is not valid; the message says what was received.",
    401: "No key, or one that is not known.",
    403: "No keys are set up, and the call comes from another machine or from a web page.",
    404: "There is nothing of that name or id.",
    405: "The method is not allowed here.",
    408: "The request's body did not arrive in time.",
    409: "Several answers have that id.",
    413: "The request's body is too large.",
    429: "The key's rate or budget is used up, or the upstream's is; see the Retry-After header.",
    500: "An error of the gateway.",
    502: "No upstream could answer.",
    503: "Not available at the moment.",
    504: "No upstream answered in time.",
}
_AUTHORISED = (401, 403, 405, 429, 500, 503)
_PASSED_ON = (400, 401, 403, 404, 405, 408, 413, 429, 500, 502, 503, 504)
_EVIDENCE = {
    "x-metier-trace": "Id of the call's trace.",
    "x-metier-route": "passed, capture, shadow, escalated or kept.",
    "x-metier-task": "The task the call was taken for.",
    "x-metier-reason": "Why the call went to the frontier model.",
    "x-metier-score": "The specialist's score, in [0, 1].",
    "x-metier-threshold": "The score from which on answers are kept.",
    "x-metier-certificate": "Id of the policy that holds the certificate.",
    "x-metier-specialist": "Id of the specialist.",
}


async def endpoint(_: Request) -> Response:
    return Response(_rendered(), media_type="application/json")


@cache
def _rendered() -> bytes:
    return orjson.dumps(description())


def description() -> dict[str, Any]:
    """The description as the dict that becomes JSON."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "metier gateway",
            "version": __version__,
            "description": "One OpenAI-compatible API in front of specialists and frontier models.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"key": []}, {}],
        "paths": {
            "/v1/chat/completions": {"post": _passed_on("createChatCompletion", "ChatRequest", "ChatCompletion")},
            "/v1/responses": {"post": _passed_on("createResponse", "ResponsesRequest", "Object")},
            "/v1/embeddings": {"post": _passed_on("createEmbedding", "EmbeddingsRequest", "Object")},
            "/v1/models": {"get": _operation("listModels", "Models", _AUTHORISED, "The models that may be asked for.")},
            "/v1/models/{model}": {
                "get": {
                    **_operation("retrieveModel", "Model", (*_AUTHORISED, 404), "One model."),
                    "parameters": [
                        {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
                    ],
                }
            },
            "/v1/feedback": {
                "post": {
                    **_operation("giveFeedback", "FeedbackKept", (*_AUTHORISED, 400, 404, 408, 409, 413), "Kept."),
                    "requestBody": _body("Feedback"),
                }
            },
            "/healthz": {"get": _open("health", "Status", (405,), "The process answers.")},
            "/readyz": {"get": _ready()},
            "/metrics": {"get": _metrics()},
            "/openapi.json": {"get": _open("describe", "Object", (405,), "This description.")},
        },
        "components": {"schemas": _SCHEMAS, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _passed_on(name: str, request: str, answer: str) -> dict[str, Any]:
    operation = _operation(name, answer, _PASSED_ON, "The answer, kept or passed on; events where `stream` is true.")
    success = operation["responses"]["200"]
    # In OpenAPI 3.1 the schema of a sequence of events is that of each of them.
    success["content"]["text/event-stream"] = {"schema": {"$ref": "#/components/schemas/Event"}}
    success["headers"] = {
        header: {"description": text, "schema": {"type": "string"}, "required": header == "x-metier-trace"}
        for header, text in _EVIDENCE.items()
    }
    # What an upstream answers is passed on as it is, with whatever status it has.
    operation["responses"]["4XX"] = operation["responses"]["5XX"] = {"description": "An upstream's own error."}
    return {**operation, "requestBody": _body(request)}


def _operation(name: str, answer: str, errors: tuple[int, ...], text: str) -> dict[str, Any]:
    return {
        "operationId": name,
        "responses": {
            "200": {"description": text, "content": _content(answer)},
            **{
                str(status): {"description": _ERRORS[status], "content": _content("Error")} for status in sorted(errors)
            },
        },
    }


def _open(name: str, answer: str, errors: tuple[int, ...], text: str) -> dict[str, Any]:
    return {**_operation(name, answer, errors, text), "security": []}


def _ready() -> dict[str, Any]:
    operation = _open("ready", "Readiness", (405,), "Ready for calls.")
    operation["responses"]["503"] = {"description": "Starting or stopping.", "content": _content("Readiness")}
    return operation


def _metrics() -> dict[str, Any]:
    operation = _operation("metrics", "Object", _AUTHORISED, "Metrics in Prometheus' text format.")
    operation["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return operation


def _body(schema: str) -> dict[str, Any]:
    return {"required": True, "content": _content(schema)}


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _object(required: list[str], extra: bool = True, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": extra}


_STRING = {"type": "string"}
_MAYBE_STRING = {"type": ["string", "null"]}
_MAYBE_BOOL = {"type": ["boolean", "null"]}
_REQUEST: dict[str, Any] = {"model": _MAYBE_STRING, "stream": _MAYBE_BOOL}
_INPUT = {"type": ["string", "array", "null"]}
_SCHEMAS: dict[str, Any] = {
    "Object": {"type": "object"},
    "ChatRequest": _object(
        ["messages"],
        **_REQUEST,
        messages={"type": "array", "minItems": 1, "items": {"type": "object"}},
        n={"type": ["integer", "null"], "minimum": 1, "maximum": 128},
        stream_options={"type": ["object", "null"]},
    ),
    "ResponsesRequest": _object([], **_REQUEST, input=_INPUT),
    "EmbeddingsRequest": _object([], **_REQUEST, input=_INPUT),
    "Event": _object(["data"], event=_STRING, data={**_STRING, "description": "JSON, or [DONE]."}),
    "ChatCompletion": _object(
        ["id", "object", "choices"],
        id=_STRING,
        object=_STRING,
        created={"type": "integer"},
        model=_MAYBE_STRING,
        choices={"type": "array", "items": {"type": "object"}},
        usage={"type": ["object", "null"]},
    ),
    "Model": _object(["id"], id=_STRING, object=_STRING, created={"type": "integer"}, owned_by=_STRING),
    "Models": _object(
        ["object", "data"],
        object={"const": "list"},
        data={"type": "array", "items": {"$ref": "#/components/schemas/Model"}},
    ),
    "Feedback": {
        **_object(
            ["id"],
            False,
            id={"type": "string", "minLength": 1, "description": "Id of an answer, or its trace id."},
            feedback={"enum": ["correct", "wrong", None]},
            correction={**_MAYBE_STRING, "description": "What the answer should have been."},
        ),
        "anyOf": [
            {"required": ["feedback"], "properties": {"feedback": {"enum": ["correct", "wrong"]}}},
            {"required": ["correction"], "properties": {"correction": _STRING}},
        ],
    },
    "FeedbackKept": _object(
        ["id", "object", "recorded"], id=_STRING, object={"const": "feedback"}, recorded={"const": True}
    ),
    "Status": _object(["status"], status=_STRING),
    "Readiness": _object(["status", "checks"], status=_STRING, checks={"type": "object"}),
    "Error": _object(
        ["error"],
        error=_object(
            ["message", "type", "param", "code"],
            message=_STRING,
            type=_STRING,
            param=_MAYBE_STRING,
            code=_MAYBE_STRING,
        ),
    ),
}
