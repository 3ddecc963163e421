"""What an upstream's answer says, read off while it passes: id, model, text, tool calls, finish reason, tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from metier.sources.messages import answer_text

# What is remembered of one answer; a longer one is cut in the record, never on its way to the client.
MAX_GATHERED_BYTES = 4 << 20


@dataclass(slots=True)
class Gathered:
    """What is known of an answer. `text` is as sources.messages.answer_text gives it; of several choices the first counts.
    `error` is the code or type of an error object in the answer."""

    response_id: str | None = None
    model: str | None = None
    text: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    error: str | None = None


def gather(path: str, body: bytes, document: object = None) -> Gathered:
    """What a whole answer's body says; an empty Gathered where it is no JSON object. `document` is the body as JSON, where
    somebody has read it before."""
    found = Gathered()
    if path.endswith("/embeddings"):
        _read_embeddings(found, body)
        return found
    if len(body) > MAX_GATHERED_BYTES:
        return found
    try:
        answer = orjson.loads(body) if document is None else document
    except orjson.JSONDecodeError:
        return found
    if isinstance(answer, dict):
        read = _read_response if path.endswith("/responses") else _read_completion
        read(found, answer)
    return found


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None


class _Embeddings(msgspec.Struct):
    """The little that is wanted of an answer of megabytes of numbers; the rest is skipped, not built."""

    model: str | None = None
    usage: _Usage | None = None


_embeddings = msgspec.json.Decoder(_Embeddings)


def _read_embeddings(found: Gathered, body: bytes) -> None:
    try:
        answer = _embeddings.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return
    found.model = answer.model
    if answer.usage is not None and answer.usage.prompt_tokens is not None:
        found.input_tokens, found.output_tokens = answer.usage.prompt_tokens, 0


def _read_completion(found: Gathered, answer: Mapping[str, Any]) -> None:
    _read_head(found, answer)
    choices = answer.get("choices")
    if isinstance(choices, list):
        for choice in choices:
            if isinstance(choice, dict) and choice.get("index", 0) == 0:
                found.text = answer_text(choice.get("message"))
                found.finish_reason = _string(choice.get("finish_reason"))
                break


def _read_response(found: Gathered, answer: Mapping[str, Any]) -> None:
    """An answer of /v1/responses: `output` is a list of items, of which messages and function calls are the answer."""
    _read_head(found, answer)
    found.finish_reason = _string(answer.get("status"))
    output = answer.get("output")
    if not isinstance(output, list):
        return
    items = [item for item in output if isinstance(item, dict)]
    parts: list[Any] = []
    for item in items:
        if item.get("type") == "message" and isinstance(item.get("content"), list):
            parts += item["content"]
        elif item.get("type") == "function_call":
            parts.append(item)
    found.text = answer_text({"content": parts})


def _read_head(found: Gathered, answer: Mapping[str, Any]) -> None:
    found.response_id = _string(answer.get("id")) or found.response_id
    found.model = _string(answer.get("model")) or found.model
    usage = answer.get("usage")
    if isinstance(usage, dict):
        found.input_tokens = _count(usage.get("prompt_tokens", usage.get("input_tokens")))
        found.output_tokens = _count(usage.get("completion_tokens", usage.get("output_tokens")))
    error = answer.get("error")
    if isinstance(error, dict):
        found.error = _string(error.get("code")) or _string(error.get("type")) or "error"


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 53 else None


@dataclass(slots=True)
class StreamGatherer:
    """Gathers an answer from a stream of server-sent events, whose bytes may be cut anywhere.

    `feed` takes the chunks in order; `has_begun` is true from the first token of the answer on; `finish` gives what was
    found. Lines may end in LF, CR or CRLF; comments and fields other than data are passed over.
    """

    path: str
    has_begun: bool = False
    found: Gathered = field(default_factory=Gathered)
    _tail: list[bytes] = field(default_factory=list)
    _tail_bytes: int = 0
    _pending: bytes = b""
    _n_bytes: int = 0
    _texts: list[str] = field(default_factory=list)
    _refusals: list[str] = field(default_factory=list)
    _calls: dict[int, dict[str, Any]] = field(default_factory=dict)

    def feed(self, chunk: bytes) -> None:
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if end == 0:
            self._keep_tail(chunk)
            return
        lines = (b"".join([*self._tail, chunk[:end]]) if self._tail else chunk[:end]).splitlines()
        self._tail = [chunk[end:]] if end < len(chunk) else []
        self._tail_bytes = len(chunk) - end
        for line in lines:
            self._line(line)

    def finish(self) -> Gathered:
        """What the stream said, also where it was cut off."""
        if self._tail:
            tail, self._tail = b"".join(self._tail), []
            self._line(tail)
        found = self.found
        if found.text is None:
            found.text = answer_text(self._message())
        return found

    def _keep_tail(self, chunk: bytes) -> None:
        # A line without an end must not fill the memory: beyond the limit its middle is lost, and so the event.
        if self._tail_bytes + len(chunk) <= MAX_GATHERED_BYTES:
            self._tail.append(chunk)
            self._tail_bytes += len(chunk)

    def _line(self, line: bytes) -> None:
        if not line:
            self._pending = b""
            return
        if not line.startswith(b"data:"):
            return
        data = self._pending + line[5:]
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            # [DONE], or an event whose JSON goes on in a further data line.
            self._pending = data + b"\n" if len(data) < MAX_GATHERED_BYTES else b""
            return
        self._pending = b""
        if isinstance(event, dict):
            if self.path.endswith("/responses"):
                self._response_event(event)
            else:
                self._completion_event(event)

    def _completion_event(self, event: dict[str, Any]) -> None:
        found = self.found
        if found.response_id is None or "usage" in event or "error" in event:
            _read_head(found, event)
        choices = event.get("choices")
        if not isinstance(choices, list):
            return
        for choice in choices:
            if not isinstance(choice, dict) or choice.get("index", 0) != 0:
                continue
            if (reason := choice.get("finish_reason")) is not None:
                found.finish_reason = _string(reason)
            if isinstance(delta := choice.get("delta"), dict):
                self._delta(delta)

    def _delta(self, delta: dict[str, Any]) -> None:
        if isinstance(text := delta.get("content"), str) and text:
            self._add(self._texts, text)
        if isinstance(text := delta.get("refusal"), str) and text:
            self._add(self._refusals, text)
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            for call in calls:
                self._call(call)
        if isinstance(function := delta.get("function_call"), dict):
            self._call({"index": 0, "function": function})
        if "reasoning_content" in delta or "reasoning" in delta:
            self.has_begun = True

    def _add(self, parts: list[str], text: str) -> None:
        self.has_begun = True
        self._n_bytes += len(text)
        if self._n_bytes <= MAX_GATHERED_BYTES:
            parts.append(text)

    def _call(self, call: object) -> None:
        """One delta of a tool call: name and arguments come in pieces, told apart by `index`."""
        if not isinstance(call, dict) or not isinstance(function := call.get("function"), dict):
            return
        self.has_begun = True
        index = call.get("index", 0)
        so_far = self._calls.setdefault(index if type(index) is int else 0, {"name": "", "arguments": []})
        if isinstance(name := function.get("name"), str):
            so_far["name"] += name
        if isinstance(text := function.get("arguments"), str):
            self._add(so_far["arguments"], text)

    def _response_event(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if isinstance(response := event.get("response"), dict):
            # response.created, and at the end response.completed, .incomplete or .failed with all of the answer.
            _read_head(self.found, response)
            if kind in ("response.completed", "response.incomplete", "response.failed"):
                _read_response(self.found, response)
        elif isinstance(delta := event.get("delta"), str):
            if kind == "response.output_text.delta":
                self._add(self._texts, delta)
            self.has_begun = True
        elif kind == "error":
            self.found.error = _string(event.get("code")) or "error"

    def _message(self) -> dict[str, Any]:
        message: dict[str, Any] = {"content": "".join(self._texts), "refusal": "".join(self._refusals)}
        if self._calls:
            message["tool_calls"] = [
                {"function": {"name": call["name"], "arguments": "".join(call["arguments"])}}
                for _, call in sorted(self._calls.items())
            ]
        return message
