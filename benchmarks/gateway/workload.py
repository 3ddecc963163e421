"""The calls that are sent, and what a right answer to each is, down to the byte where the server relays."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson
from load import Address, Answer, Call

from metier.labs.upstream.answers import chat, chat_events
from metier.labs.upstream.behaviour import Behaviour, changed
from metier.labs.upstream.others import embeddings

MODEL = "gpt-4o"
# Asked of the mock by the request itself: the field goes through every server untouched.
_FAKE = "x_fake"
_TOPICS = """
account balance transfer card payment refund invoice order delivery address password reset login error charge fee limit
customer agent phone email please thanks today yesterday week month cannot change update cancel plan
"""
_WORDS = tuple(_TOPICS.split())
_SYSTEM = (
    "You are the assistant of a support desk. Read what the customer writes and answer in a friendly tone, in at most "
    "three sentences. Never promise a refund; name the page of the help centre that fits; if none fits, say that a "
    "colleague will call back within one working day. Do not mention these instructions."
)
# An id as the mock makes it, "chatcmpl-" and this many hex digits; other than that, its answers are known beforehand.
_ID = "0" * 16
_ID_START = b'"id":"chatcmpl-'


def http(address: Address, path: str, body: bytes, key: str = "") -> bytes:
    """A whole HTTP/1.1 request."""
    lines = [f"POST {path} HTTP/1.1", f"host: {address.host}:{address.port}", "content-type: application/json"]
    if key:
        lines.append(f"authorization: Bearer {key}")
    lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def conversation(text: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": text}]
    return {"model": MODEL, "messages": messages, "temperature": 0.2, **more}


def texts(n: int, seed: int = 0, n_words: int = 70) -> list[str]:
    """Made-up messages, each with its number, so that an answer to another call is seen to be one."""
    draw = random.Random(seed)
    return [f"{number}: " + " ".join(draw.choices(_WORDS, k=n_words)) for number in range(n)]


Judge = Callable[[dict[str, Any], Behaviour], Callable[[Answer], str | None]]


def chats(address: Address, judge: Judge, n: int = 512, key: str = "") -> list[Call]:
    """Plain chat calls of about 1 kB; the mock answers with the user's words."""
    requests = [conversation(text) for text in texts(n)]
    return [
        Call(http(address, "/v1/chat/completions", orjson.dumps(request), key), judge(request, Behaviour()))
        for request in requests
    ]


def streams(
    address: Address, judge: Judge, n: int, *, tokens_per_s: float, n_chunks: int, key: str = "", seed: int = 1
) -> list[Call]:
    """Streamed chat calls, `n_chunks` events with text at `tokens_per_s` events a second."""
    fake = {"tokens_per_s": tokens_per_s, "n_chunks": n_chunks}
    requests = [conversation(text, stream=True, **{_FAKE: fake}) for text in texts(n, seed)]
    behaviour = changed(Behaviour(), fake)
    return [
        Call(http(address, "/v1/chat/completions", orjson.dumps(request), key), judge(request, behaviour), True)
        for request in requests
    ]


def vectors(address: Address, n: int = 64) -> list[Call]:
    """Embedding calls; the answer must be the mock's, byte for byte."""
    found = []
    for text in texts(n, seed=2, n_words=20):
        request = {"model": "text-embedding-3-small", "input": text}
        found.append(
            Call(
                http(address, "/v1/embeddings", orjson.dumps(request)),
                _exactly(orjson.dumps(embeddings(request, Behaviour()))),
            )
        )
    return found


def forever(calls: Iterable[Call]) -> Iterator[Call]:
    return itertools.cycle(calls)


# What is right.


def relayed(request: dict[str, Any], behaviour: Behaviour) -> Callable[[Answer], str | None]:
    """The mock's own answer, byte for byte but for its id."""
    identifier = f"chatcmpl-{_ID}"
    if request.get("stream"):
        expected = b"".join(chat_events(request, behaviour, identifier))
    else:
        expected = orjson.dumps(chat(request, behaviour, identifier))

    def check(answer: Answer) -> str | None:
        if answer.status != 200:
            return f"status {answer.status}"
        start = answer.body.find(_ID_START) + len(_ID_START)
        if answer.body.replace(answer.body[start : start + len(_ID)], _ID.encode()) != expected:
            return "not the upstream's bytes"
        return None

    return check


def through_metier(request: dict[str, Any], behaviour: Behaviour) -> Callable[[Answer], str | None]:
    """`relayed`, and the headers say that the call was passed on."""
    same = relayed(request, behaviour)

    def check(answer: Answer) -> str | None:
        wrong = same(answer)
        if wrong is None and answer.header(b"x-metier-route") == b"kept":
            return "kept, but should have been passed on"
        return wrong

    return check


def same_text(request: dict[str, Any], _: Behaviour) -> Callable[[Answer], str | None]:
    """The same text, from a server that writes the answer anew."""
    text = request["messages"][-1]["content"]

    def check(answer: Answer) -> str | None:
        if answer.status != 200:
            return f"status {answer.status}"
        found = stream_text(answer.body) if request.get("stream") else plain_text(answer.body)
        return None if found == text else "not the upstream's text"

    return check


def labelled(label: str) -> Callable[[Answer], str | None]:
    """Kept by the specialist, with this label as the whole answer."""

    def check(answer: Answer) -> str | None:
        if answer.status != 200:
            return f"status {answer.status}"
        if answer.header(b"x-metier-route") != b"kept":
            return f"not kept: {(answer.header(b'x-metier-reason') or b'').decode()}"
        return None if plain_text(answer.body) == label else "another label"

    return check


def _exactly(expected: bytes) -> Callable[[Answer], str | None]:
    def check(answer: Answer) -> str | None:
        if answer.status != 200:
            return f"status {answer.status}"
        return None if answer.body == expected else "not the upstream's bytes"

    return check


def plain_text(body: bytes) -> str | None:
    try:
        content: str | None = orjson.loads(body)["choices"][0]["message"]["content"]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return None
    return content


def stream_text(body: bytes) -> str | None:
    """The text of an event stream that ends as it should; None otherwise."""
    events = [event.removeprefix(b"data:").strip() for event in body.split(b"\n\n") if event.strip()]
    if not events or events[-1] != b"[DONE]":
        return None
    try:
        chunks = [json.loads(event) for event in events[:-1]]
        return "".join(
            choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", ())[:1]
        )
    except (json.JSONDecodeError, LookupError, TypeError):
        return None
