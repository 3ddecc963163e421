"""Parses a request's JSON and checks what the gateway itself relies on; everything else is the upstream's to judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isfinite
from typing import Any

import orjson

from metier.gateway.errors import ApiError

_SHOWN_CHARS = 60
# Of 64 bits.
_MAX_DIGITS = 18


def parse(path: str, body: bytes) -> dict[str, Any]:
    """The request as a dict. Raises ApiError 400, saying what was received, for what is no JSON object or has a wrong type
    where the gateway looks. Fields it does not know are left alone."""
    request = parse_object(body)
    if (model := request.get("model")) is not None and not isinstance(model, str):
        raise wrong_type("model", "a string", model)
    if (stream := request.get("stream")) is not None and not isinstance(stream, bool):
        raise wrong_type("stream", "true or false", stream)
    CHECKS[path](request)
    return request


def _check_chat(request: dict[str, Any]) -> None:
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise wrong_type("messages", "a non-empty list of messages", messages, "messages" in request)
    for i, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong_type(f"messages[{i}]", "an object", message)
    # JSON has one kind of number: 2.0 is a whole one.
    if (n := request.get("n")) is not None and type(n) is not int and not (type(n) is float and n.is_integer()):
        raise wrong_type("n", "a whole number", n)
    if (options := request.get("stream_options")) is not None and not isinstance(options, dict):
        raise wrong_type("stream_options", "an object", options)


def _check_input(request: dict[str, Any]) -> None:
    given = request.get("input")
    if given is not None and not isinstance(given, (str, list)):
        raise wrong_type("input", "a string or a list", given)


# The endpoints that are passed on, each with what is checked of its requests.
CHECKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "/v1/chat/completions": _check_chat,
    "/v1/responses": _check_input,
    "/v1/embeddings": _check_input,
}


def parse_object(body: bytes) -> dict[str, Any]:
    """A body that must be a JSON object. Raises ApiError 400 that says what was received."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        value = _lenient(body, fault)
    if not isinstance(value, dict):
        raise ApiError(400, f"The request's body must be a JSON object; received {_seen(value)}.", code="invalid_json")
    return value


def _lenient(body: bytes, fault: orjson.JSONDecodeError) -> Any:
    """JSON that orjson refuses though upstreams may take it: half of a surrogate pair, as a cut emoji leaves it, and
    numbers of any length. What is remembered of the call has U+FFFD and text in their place; what is sent on is the body
    as it came."""
    try:
        value = json.loads(body, parse_constant=_refuse, parse_int=_whole, parse_float=_real)
        text = json.dumps(value, ensure_ascii=False)
        return orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        pass
    if not body.strip():
        raise ApiError(400, "The request's body is empty; expected a JSON object.", code="invalid_json")
    place = f"line {fault.lineno}, column {fault.colno}"
    raise ApiError(400, f"The request's body is not valid JSON: {fault.msg} ({place}).", code="invalid_json")


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


def _real(digits: str) -> float | str:
    value = float(digits)
    return value if isfinite(value) else digits


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def wrong_type(param: str, expected: str, value: object, is_given: bool = True) -> ApiError:
    """The error for a field that is not what was expected, to be raised."""
    received = _seen(value) if is_given else "nothing"
    return ApiError(400, f"'{param}' must be {expected}; received {received}.", code="invalid_type", param=param)


def _seen(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    name = names.get(type(value), "a number")
    if isinstance(value, (dict, list)):
        return f"{name} of {len(value)}" if value else f"an empty {name.split()[-1]}"
    if value is None:
        return name
    text = value if isinstance(value, str) else str(value)
    return f"{name} ({text[:_SHOWN_CHARS]!r})" if isinstance(value, str) else f"{name} ({text[:_SHOWN_CHARS]})"
