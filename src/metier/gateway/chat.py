"""The life of a call: admitted, read, routed, answered by the specialist or passed on, recorded."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Executor
from time import monotonic
from typing import Any

from metier.gateway import answers, evidence
from metier.gateway.auditing import Audits
from metier.gateway.background import Background
from metier.gateway.body import ClientGone, Receive, read_body
from metier.gateway.calls import CallRecord, Decision, Reason, Route, Written
from metier.gateway.errors import ApiError
from metier.gateway.exchange import EVENTS, JSON, Exchange, Scope, Send
from metier.gateway.frontier import CHAT, Frontier
from metier.gateway.ids import trace_ids
from metier.gateway.parts import Call, Parts
from metier.gateway.relay import Relay
from metier.gateway.requests import parse
from metier.gateway.waiting import settled

_log = logging.getLogger("metier.gateway")

# Where the server says who is at the other end (gateway.process.connection): `task` is cancelled when the client hangs up.
CONNECTION = "metier.connection"
# A client may say which task its call is; no upstream is told.
TASK_HINT = "x-metier-task"
_READ_HEADERS = frozenset({b"authorization", b"content-length", b"traceparent", b"tracestate", TASK_HINT.encode()})
# What web servers log for a client that did not wait for its answer; it is never sent.
CLIENT_CLOSED = 499
_PASSED = Decision(Route.PASSED, Reason.NOT_RECOGNISED)
_STOPPING = ApiError(503, "The gateway is stopping; send the request again.", "api_error", "shutting_down")


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
        self._trace_ids = trace_ids()
        self._frontier = Frontier(parts)
        self._audits = Audits(parts, self._frontier, background, timeout_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name in _READ_HEADERS
        }
        record = CallRecord(next(self._trace_ids), scope["path"], time.time())
        call = Call(record, self._parts.telemetry.began(record, headers), monotonic(), scope["headers"])
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
            await self._answer(call, exchange, headers.get(TASK_HINT))
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

    async def _answer(self, call: Call, exchange: Exchange, task_hint: str | None) -> None:
        record = call.record
        request = record.request = parse(record.endpoint, call.body)
        record.model = request.get("model")
        record.is_stream = request.get("stream") is True
        decision = record.decision = await self._decide(record, task_hint)
        if decision.written is not None:
            await self._keep(call, exchange, decision, decision.written)
        else:
            if decision.route is Route.SHADOW:
                call.pending = self._background.start(lambda: self._answer_unseen(record, decision))
            await self._pass(call, exchange)

    async def _decide(self, record: CallRecord, task_hint: str | None) -> Decision:
        if record.endpoint != CHAT:
            return _PASSED
        began, router = monotonic(), self._parts.router
        if router.is_slow(record.request, task_hint):
            loop = asyncio.get_running_loop()
            decision = await loop.run_in_executor(
                self._threads, router.decide, record.request, record.trace_id, task_hint
            )
        else:
            decision = router.decide(record.request, record.trace_id, task_hint)
        decision = await settled(decision)
        record.decide_s = monotonic() - began
        return decision

    async def _answer_unseen(self, record: CallRecord, decision: Decision) -> None:
        began, loop = monotonic(), asyncio.get_running_loop()
        router = self._parts.router
        record.decision = await settled(
            await loop.run_in_executor(self._threads, router.answer_unseen, decision, record.request)
        )
        record.decide_s = (record.decide_s or 0.0) + monotonic() - began

    def _compare_unseen(self, record: CallRecord, decision: Decision) -> None:
        """In shadow mode, whether the specialist would have said what the frontier model said, where both have answered."""
        is_whole = not (record.is_cancelled or record.error)
        if is_whole and record.response is not None and decision.label is not None:
            record.is_wrong = not self._parts.router.same_answer(decision, record.response)

    async def _pass(self, call: Call, exchange: Exchange) -> None:
        record = call.record
        deadline = call.began + self._timeout_s
        reply = await self._frontier.send(call, record, call.body, is_stream=record.is_stream, deadline=deadline)
        relay = Relay(record.endpoint, reply, call.began, is_stream=record.is_stream)
        try:
            await relay.run(exchange, evidence.headers(record.trace_id, record.decision))
        finally:
            record.ttft_s = relay.ttft_s
            try:
                if (found := relay.found) is not None:
                    self._frontier.take(record, found, reply.status)
            finally:
                await reply.close()

    async def _keep(self, call: Call, exchange: Exchange, decision: Decision, written: Written) -> None:
        record = call.record
        record.response_id = f"chatcmpl-{record.trace_id[4:]}"
        record.response = written.text
        record.finish_reason = answers.finish_reason(written)
        tokens = self._frontier.price_kept(record, record.response)
        usage = decision.tokens or tokens
        given = written, record.response_id, record.model or "", int(record.time), usage
        extra = [(b"x-request-id", record.trace_id.encode()), *evidence.headers(record.trace_id, decision)]
        if not record.is_stream:
            await exchange.whole(200, [JSON, *extra], answers.completion(*given))
            return
        options = record.request.get("stream_options") or {}
        await exchange.begin(200, [*EVENTS, *extra], is_stream=True)
        record.ttft_s = monotonic() - call.began
        await exchange.end(answers.events(*given, with_usage=options.get("include_usage") is True))

    def _close(self, call: Call) -> None:
        """The call is over: count it, book it, remember it. Requests that were refused at the door are only counted."""
        record, parts, decision = call.record, self._parts, call.record.decision
        if decision is not None and decision.route is Route.SHADOW:
            self._compare_unseen(record, decision)
        parts.telemetry.finished(record, call.token)
        if record.request:
            parts.recorder.record(record)
        if record.cost_usd:
            parts.gatekeeper.charge(record.caller, record.cost_usd)
        # What is known is written down first: an audit may take minutes, and the process may not live as long.
        if decision is not None and decision.is_audited:
            self._audits.begin(call, decision)
