"""Audits of kept answers: the frontier model is asked the same, once the call itself is over and written down."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

import orjson

from metier.gateway.background import Background
from metier.gateway.calls import AuditOutcome, CallRecord, Decision
from metier.gateway.errors import ApiError
from metier.gateway.frontier import Frontier
from metier.gateway.parts import Call, Parts
from metier.gateway.relay import read_whole

# Why an audit found nothing: too many were under way, it was broken off, or the frontier's answer holds no text.
SKIPPED, UNFINISHED, NO_TEXT = "audit_skipped", "audit_unfinished", "no_text"


class Audits:
    """Runs audits in the background; each takes `timeout_s` at most. Every audit that was drawn has an outcome, so that
    none is missing from the count of those that were not answered."""

    def __init__(self, parts: Parts, frontier: Frontier, background: Background, timeout_s: float) -> None:
        self._parts = parts
        self._frontier = frontier
        self._background = background
        self._timeout_s = timeout_s

    def begin(self, call: Call, decision: Decision) -> None:
        """Audit the answer of a call that is over, now or when there is room."""
        # A record of its own: the call's is being written down.
        record = replace(
            call.record, upstream=None, upstream_model=None, attempts=0, response=None, cost_usd=None, error=UNFINISHED
        )
        if self._background.start(lambda: self._audit(call, record, decision)) is None:
            record.error = SKIPPED
            self._close(record, decision, None)

    async def _audit(self, call: Call, record: CallRecord, decision: Decision) -> None:
        began = monotonic()
        try:
            deadline = began + self._timeout_s
            reply = await self._frontier.send(call, record, _unstreamed(call), is_stream=False, deadline=deadline)
            try:
                self._frontier.take(record, await read_whole(record.endpoint, reply), reply.status)
            finally:
                await reply.close()
            if record.error is None and record.response is None:
                record.error = NO_TEXT
            if record.error is None and record.response is not None:
                record.is_wrong = not self._parts.router.same_answer(decision, record.response)
        except ApiError as error:
            record.error = error.code or error.type
        finally:
            self._close(record, decision, monotonic() - began)

    def _close(self, record: CallRecord, decision: Decision, latency_s: float | None) -> None:
        parts = self._parts
        outcome = AuditOutcome(
            trace_id=record.trace_id,
            time=record.time,
            caller=record.caller,
            decision=decision,
            model=record.model,
            upstream=record.upstream,
            upstream_model=record.upstream_model,
            attempts=record.attempts,
            reference=record.response if record.is_wrong is not None else None,
            is_wrong=record.is_wrong,
            cost_usd=record.cost_usd,
            latency_s=latency_s,
            error=record.error,
        )
        parts.telemetry.audited(outcome)
        parts.recorder.audited(outcome)
        if outcome.cost_usd:
            parts.gatekeeper.charge(outcome.caller, outcome.cost_usd)


def _unstreamed(call: Call) -> bytes:
    """The request as it came, but for a stream, which nobody would read."""
    request = call.record.request
    if not call.record.is_stream:
        return call.body
    return orjson.dumps({**{key: value for key, value in request.items() if key != "stream_options"}, "stream": False})
