"""The life of a call: admitted, read, routed, answered by the specialist or passed on, recorded."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from time import monotonic
from typing import Any

import orjson

from metier.gateway import answers, evidence
from metier.gateway.background import Background
from metier.gateway.body import ClientGone, Receive, read_body
from metier.gateway.calls import CallRecord, Decision, Reason, Route, Written
from metier.gateway.errors import ApiError
from metier.gateway.exchange import EVENTS, JSON, Exchange, Scope, Send
from metier.gateway.gathering import Gathered
from metier.gateway.protocols import Gatekeeper, Header, Recorder, Router, Telemetry, UpstreamReply, Upstreams
from metier.gateway.relay import Relay, read_whole
from metier.gateway.requests import parse
from metier.gateway.tokens import TokenRatios, request_chars

_log = logging.getLogger("metier.gateway")

# Where the server says who is at the other end (gateway.process.connection): `task` is cancelled when the client hangs up.
CONNECTION = "metier.connection"
CHAT = "/v1/chat/completions"
# What web servers log for a client that did not wait for its answer; it is never sent.
CLIENT_CLOSED = 499
_PASSED = Decision(Route.PASSED, Reason.NOT_RECOGNISED)
_STOPPING = ApiError(503, "The gateway is stopping; send the request again.", "api_error", "shutting_down")


@dataclass(frozen=True)
class Parts:
    """What the application is made of."""

    gatekeeper: Gatekeeper
    router: Router
    upstreams: Upstreams
    recorder: Recorder
    telemetry: Telemetry


@dataclass(slots=True)
class _Call:
    """One call under way. `pending` is what goes on after the client has its answer: an audit, an unseen answer."""

    record: CallRecord
    token: object
    began: float
    headers: Sequence[Header]
    body: bytes = b""
    pending: asyncio.Task[None] | None = None


class Calls:
    """The ASGI application of the endpoints that are passed on; the hot path, so it does little and asks nobody twice.

    `timeout_s` bounds a call as a whole, `client_timeout_s` a client's pauses; slow decisions are made in `threads`.
    """

    def __init__(
        self,
        parts: Parts,
        background: Background,
        threads: Executor,
        *,
        timeout_s: float,
        max_body_bytes: int,
        client_timeout_s: float,
    ) -> None:
        self._parts = parts
        self._background = background
        self._threads = threads
        self._timeout_s = timeout_s
        self._max_body_bytes = max_body_bytes
        self._client_timeout_s = client_timeout_s
        self._ratios = TokenRatios()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        record = CallRecord(f"mtr-{os.urandom(16).hex()}", scope["path"], time.time())
        call = _Call(record, self._parts.telemetry.began(record, headers), monotonic(), scope["headers"])
        exchange = Exchange(send)
        connection: Any = scope.get(CONNECTION)
        if connection is not None:
            connection.task = asyncio.current_task()
        failure: ApiError | None = None
        try:
            client = scope.get("client")
            record.caller = self._parts.gatekeeper.admit(headers.get("authorization"), client[0] if client else None)
            call.body = await read_body(
                receive,
                headers.get("content-length"),
                self._max_body_bytes,
                self._client_timeout_s,
                is_here=connection is not None and connection.is_body_here,
            )
            await self._answer(call, exchange)
        except ApiError as error:
            failure = error
        except ClientGone:
            record.is_cancelled = True
        except asyncio.CancelledError:
            # The server cancels a call whose client hung up, and at the end of its time to drain those still under way.
            record.is_cancelled = connection is None or connection.is_gone
            failure = None if record.is_cancelled else _STOPPING
        except Exception:
            _log.exception("a call failed unexpectedly; trace %s", record.trace_id)
            failure = ApiError(500, f"Internal error; trace {record.trace_id}.", "api_error", "internal_error")
        finally:
            if connection is not None:
                connection.task = None
        try:
            if failure is not None:
                record.error = failure.code or failure.type
                await exchange.fail(failure, evidence.headers(record.trace_id, record.decision))
        finally:
            record.status = exchange.status or CLIENT_CLOSED
            record.latency_s = monotonic() - call.began
            if call.pending is None:
                self._close(call)
            else:
                call.pending.add_done_callback(lambda _: self._close(call))

    async def _answer(self, call: _Call, exchange: Exchange) -> None:
        record = call.record
        request = record.request = parse(record.endpoint, call.body)
        record.model = request.get("model")
        record.is_stream = request.get("stream") is True
        decision = record.decision = await self._decide(record)
        if decision.written is not None:
            await self._keep(call, exchange, decision, decision.written)
        else:
            if decision.route is Route.SHADOW:
                call.pending = self._background.start(lambda: self._answer_unseen(record, decision))
            await self._pass(call, exchange)

    async def _decide(self, record: CallRecord) -> Decision:
        if record.endpoint != CHAT:
            return _PASSED
        began, router = monotonic(), self._parts.router
        if router.is_slow(record.request):
            loop = asyncio.get_running_loop()
            decision = await loop.run_in_executor(self._threads, router.decide, record.request, record.trace_id)
        else:
            decision = router.decide(record.request, record.trace_id)
        record.decide_s = monotonic() - began
        return decision

    async def _answer_unseen(self, record: CallRecord, decision: Decision) -> None:
        began, loop = monotonic(), asyncio.get_running_loop()
        record.decision = await loop.run_in_executor(self._threads, self._parts.router.answer_unseen, decision)
        record.decide_s = (record.decide_s or 0.0) + monotonic() - began

    async def _pass(self, call: _Call, exchange: Exchange) -> None:
        record = call.record
        reply = await self._send(call, call.body, record.is_stream, call.began + self._timeout_s)
        relay = Relay(record.endpoint, reply, call.began, is_stream=record.is_stream)
        try:
            await relay.run(exchange, evidence.headers(record.trace_id, record.decision))
        finally:
            record.ttft_s = relay.ttft_s
            try:
                if (found := relay.found) is not None:
                    self._take(record, found, reply.status)
            finally:
                await reply.close()

    async def _send(self, call: _Call, body: bytes, is_stream: bool, deadline: float) -> UpstreamReply:
        record = call.record
        reply = await self._parts.upstreams.send(
            record.endpoint.removeprefix("/v1"),
            body,
            record.model,
            headers=self._outgoing(call),
            is_stream=is_stream,
            deadline=deadline,
        )
        record.upstream, record.upstream_model, record.attempts = reply.upstream, reply.model, reply.attempts
        return reply

    def _outgoing(self, call: _Call) -> Sequence[Header]:
        """The client's headers, with the call's own span in place of the client's."""
        spans = self._parts.telemetry.headers_for(call.token)
        if not spans:
            return call.headers
        given = [(name.encode(), value.encode()) for name, value in spans.items()]
        names = {name for name, _ in given}
        return [*(header for header in call.headers if header[0] not in names), *given]

    def _take(self, record: CallRecord, found: Gathered, status: int) -> None:
        """What the upstream's answer says, into the record."""
        record.response_id = found.response_id
        record.finish_reason = found.finish_reason
        record.error = found.error
        if status >= 400:
            record.error = found.error or str(status)
            return
        record.response = found.text
        record.input_tokens, record.output_tokens = self._tokens(record, found)
        record.is_estimated = found.input_tokens is None or found.output_tokens is None
        record.cost_usd = self._price(record, record.input_tokens, record.output_tokens)

    def _tokens(self, record: CallRecord, found: Gathered) -> tuple[int, int]:
        """(input, output) as the answer says, or estimated; learns the characters a token has from those that say it."""
        chars = request_chars(record.request), len(found.text or "")
        if found.input_tokens is None or found.output_tokens is None:
            estimated = self._ratios.estimate(record.model, chars)
            return found.input_tokens or estimated[0], found.output_tokens or estimated[1]
        tokens = found.input_tokens, found.output_tokens
        if record.endpoint == CHAT and record.model and record.request.get("n") in (None, 1):
            self._ratios.learn(record.model, chars, tokens)
        return tokens

    def _price(self, record: CallRecord, input_tokens: int, output_tokens: int) -> float | None:
        model = record.upstream_model or record.model
        return self._parts.upstreams.price_usd(record.upstream or "", model, input_tokens, output_tokens)

    async def _keep(self, call: _Call, exchange: Exchange, decision: Decision, written: Written) -> None:
        record = call.record
        record.response_id = f"chatcmpl-{record.trace_id[4:]}"
        record.response = written.text
        record.finish_reason = answers.finish_reason(written)
        tokens = self._ratios.estimate(record.model, (request_chars(record.request), len(record.response)))
        record.input_tokens, record.output_tokens, record.is_estimated = *tokens, True
        record.cost_usd = 0.0
        record.saved_usd = self._parts.upstreams.price_usd("", record.model, *tokens)
        if decision.is_audited:
            call.pending = self._background.start(lambda: self._audit(call, decision))
        given = written, record.response_id, record.model or "", int(record.time), tokens
        extra = [(b"x-request-id", record.trace_id.encode()), *evidence.headers(record.trace_id, decision)]
        if not record.is_stream:
            await exchange.whole(200, [JSON, *extra], answers.completion(*given))
            return
        options = record.request.get("stream_options") or {}
        await exchange.begin(200, [*EVENTS, *extra], is_stream=True)
        record.ttft_s = monotonic() - call.began
        await exchange.end(answers.events(*given, with_usage=options.get("include_usage") is True))

    async def _audit(self, call: _Call, decision: Decision) -> None:
        """Ask the frontier model what it would have answered, and compare. Its price is part of what the call cost."""
        record = call.record
        try:
            reply = await self._send(call, _unstreamed(call), False, monotonic() + self._timeout_s)
            try:
                found = await read_whole(record.endpoint, reply)
            finally:
                await reply.close()
        except ApiError as error:
            _log.warning("audit of trace %s went unanswered: %s", record.trace_id, error.code or error.type)
            return
        if reply.status >= 400 or found.text is None:
            return
        record.cost_usd = self._price(record, *self._tokens(record, found))
        record.reference = found.text
        record.is_wrong = not self._parts.router.same_answer(decision, found.text)

    def _close(self, call: _Call) -> None:
        """The call is over: count it, book it, remember it. Requests that were refused at the door are only counted."""
        record, parts = call.record, self._parts
        parts.telemetry.finished(record, call.token)
        if record.request:
            parts.recorder.record(record)
        if record.cost_usd:
            parts.gatekeeper.charge(record.caller, record.cost_usd)


def _unstreamed(call: _Call) -> bytes:
    """The request as it came, but for a stream, which nobody would read."""
    request = call.record.request
    if not call.record.is_stream:
        return call.body
    return orjson.dumps({**{key: value for key, value in request.items() if key != "stream_options"}, "stream": False})
