"""Changes the model's name in a request's bytes, and nothing else."""

from __future__ import annotations

import re

import orjson

# Strings as wholes, so that braces and names within them are not taken for structure; unrolled, so that a picture of a
# megabyte in base64 is one quick match.
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_TOKEN = re.compile(_STRING + rb"|[{}\[\]]", re.DOTALL)
_VALUE = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*(" + _STRING + rb")?", re.DOTALL)
_OPENING, _CLOSING, _QUOTE = b"{"[0], b"}"[0], b'"'[0]
_BRACKETS = {_OPENING: 1, b"["[0]: 1, _CLOSING: -1, b"]"[0]: -1}


def with_model(body: bytes, model: str) -> bytes:
    """`body` (a valid JSON object) with `model` as the value of its top-level "model"; the rest byte for byte.

    Where the key is there several times, each value that is a string is replaced: servers differ in which one they heed.
    """
    spans = _model_spans(body)
    if not spans:
        return body
    value = orjson.dumps(model)
    parts = []
    end = 0
    for begin, stop in spans:
        parts += [body[end:begin], value]
        end = stop
    return b"".join([*parts, body[end:]])


def _model_spans(body: bytes) -> list[tuple[int, int]]:
    """Where the string values of top-level "model" keys stand."""
    spans = []
    depth = 0
    for token in _TOKEN.finditer(body):
        begin = token.start()
        if body[begin] != _QUOTE:
            depth += _BRACKETS[body[begin]]
        elif depth == 1:
            value = _VALUE.match(body, token.end())
            if value is not None and value[1] is not None and _is_model(token[0]):
                spans.append(value.span(1))
    return spans


def _is_model(key: bytes) -> bool:
    """A key may be written with escapes: "mode\\u006c" is the same key."""
    return key == b'"model"' or (b"\\" in key and orjson.loads(key) == "model")
