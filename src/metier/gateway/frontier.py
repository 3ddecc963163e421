"""Asks the frontier model: what goes out, and what the answer says, into a record."""

from __future__ import annotations

from collections.abc import Sequence

from metier.gateway.calls import CallRecord
from metier.gateway.gathering import Gathered
from metier.gateway.parts import Call, Parts
from metier.gateway.protocols import Header, UpstreamReply
from metier.gateway.tokens import TokenRatios, request_chars

CHAT = "/v1/chat/completions"


class Frontier:
    """The upstreams as calls use them. `record` is the call's own, or that of its audit."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._ratios = TokenRatios()

    async def send(
        self, call: Call, record: CallRecord, body: bytes, *, is_stream: bool, deadline: float
    ) -> UpstreamReply:
        """The first answer worth passing on; who gave it goes into `record`. `deadline` is on time.monotonic(). Raises
        ApiError."""
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

    def _outgoing(self, call: Call) -> Sequence[Header]:
        """The client's headers, with the call's own span in place of the client's."""
        spans = self._parts.telemetry.headers_for(call.token)
        if not spans:
            return call.headers
        given = [(name.encode(), value.encode()) for name, value in spans.items()]
        names = {name for name, _ in given}
        return [*(header for header in call.headers if header[0] not in names), *given]

    def take(self, record: CallRecord, found: Gathered, status: int) -> None:
        """What the answer says, and what it cost, into `record`."""
        record.response_id = found.response_id
        record.finish_reason = found.finish_reason
        record.error = found.error
        if status >= 400:
            record.error = found.error or str(status)
            return
        record.response = found.text
        record.input_tokens, record.output_tokens = self._tokens(record, found)
        record.is_estimated = found.input_tokens is None or found.output_tokens is None
        model = record.upstream_model or record.model
        record.cost_usd = self._parts.upstreams.price_usd(
            record.upstream or "", model, record.input_tokens, record.output_tokens
        )

    def price_kept(self, record: CallRecord, text: str) -> tuple[int, int]:
        """(input, output) tokens of an answer that was kept, estimated; what they would have cost goes into `record`."""
        tokens = self._ratios.estimate(record.model, (request_chars(record.request), len(text)))
        record.input_tokens, record.output_tokens, record.is_estimated = *tokens, True
        record.cost_usd = 0.0
        record.saved_usd = self._parts.upstreams.price_usd("", record.model, *tokens)
        return tokens

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
