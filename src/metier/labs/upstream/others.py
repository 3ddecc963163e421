"""The fake upstream's other answers: responses, embeddings, the list of models, and errors."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from metier.labs.upstream.answers import CREATED, split
from metier.labs.upstream.behaviour import Behaviour
from metier.labs.upstream.texts import prompt_tokens, text_for, tokens


def responses(request: Mapping[str, Any], behaviour: Behaviour, identifier: str) -> dict[str, Any]:
    """A finished response object of /v1/responses."""
    text = text_for(behaviour.answer, request)
    n_in = prompt_tokens(request) if behaviour.input_tokens is None else behaviour.input_tokens
    n_out = len(text.split()) if behaviour.output_tokens is None else behaviour.output_tokens
    usage = {
        "input_tokens": n_in,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": n_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": n_in + n_out,
    }
    item = _item(identifier, "completed", [_part(text)])
    return {**_response(request, identifier, "completed"), "output": [item], "usage": usage}


def _response(request: Mapping[str, Any], identifier: str, status: str) -> dict[str, Any]:
    return {
        "id": identifier,
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "metadata": {},
        "model": request.get("model"),
        "output": [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
    }


def _item(identifier: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    name = identifier.replace("resp_", "msg_")
    return {"id": name, "type": "message", "role": "assistant", "status": status, "content": content}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def responses_events(request: Mapping[str, Any], behaviour: Behaviour, identifier: str) -> list[bytes]:
    """The server-sent events of a streamed response, from response.created to response.completed."""
    text = text_for(behaviour.answer, request)
    begun = _response(request, identifier, "in_progress")
    item = _item(identifier, "completed", [_part(text)])
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    found: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
        ("response.output_item.added", {"output_index": 0, "item": _item(identifier, "in_progress", [])}),
        ("response.content_part.added", {**place, "part": _part("")}),
        *(
            ("response.output_text.delta", {**place, "delta": piece, "logprobs": []})
            for piece in split(tokens(text), behaviour.n_chunks)
        ),
        ("response.output_text.done", {**place, "text": text, "logprobs": []}),
        ("response.content_part.done", {**place, "part": _part(text)}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.completed", {"response": responses(request, behaviour, identifier)}),
    ]
    return [
        b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, "sequence_number": index, **content}))
        for index, (kind, content) in enumerate(found)
    ]


def embeddings(request: Mapping[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """Vectors made from each text's SHA-256: equal texts have equal vectors; floats or base64 as asked."""
    given = request.get("input", "")
    texts = given if isinstance(given, list) and not all(isinstance(item, int) for item in given) else [given]
    size = request.get("dimensions") or behaviour.dimensions
    is_base64 = request.get("encoding_format") == "base64"
    data = []
    for index, text in enumerate(texts):
        vector = _vector(str(text), size)
        written = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() if is_base64 else vector
        data.append({"object": "embedding", "index": index, "embedding": written})
    n_tokens = (
        sum(len(str(text).split()) for text in texts) if behaviour.input_tokens is None else behaviour.input_tokens
    )
    usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    return {"object": "list", "data": data, "model": request.get("model"), "usage": usage}


def _vector(text: str, size: int) -> list[float]:
    digest = b"".join(
        hashlib.sha256(f"{block}:{text}".encode()).digest() for block in range(size // hashlib.sha256().digest_size + 1)
    )
    return [byte / 127.5 - 1.0 for byte in digest[:size]]


def models(names: Iterable[str]) -> dict[str, Any]:
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "fake"} for name in names]
    return {"object": "list", "data": data}


def error(message: str, kind: str, code: str | None) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})
