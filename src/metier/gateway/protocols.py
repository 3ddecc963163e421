"""How the parts of the gateway meet. Each is a folder of its own; the application is given one of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from metier.gateway.calls import AuditOutcome, Caller, CallRecord, Decision

Header = tuple[bytes, bytes]


class Gatekeeper(Protocol):
    """Who may call, how often, and for how much (gateway.access)."""

    def admit(self, authorization: str | None, client_host: str | None) -> Caller:
        """The caller. Raises ApiError 401 (no or unknown key), 403 (not loopback and no keys), 429 (rate or budget)."""
        ...

    def charge(self, caller: Caller, cost_usd: float) -> None:
        """Book what a call cost against the caller's budget; never blocks."""
        ...


class Router(Protocol):
    """Recognises the task, asks the specialist, applies the policy (gateway.routing)."""

    def decide(self, request: Mapping[str, Any], trace_id: str, task_hint: str | None = None) -> Decision:
        """The decision for a parsed chat request; never raises, at worst it escalates. CPU-bound, safe in threads. It is
        `pending` (gateway.waiting) where a specialist that writes has to be waited for. `task_hint` names the task that the
        caller says it is; a name that no task has is as good as none."""
        ...

    def answer_unseen(self, decision: Decision, request: Mapping[str, Any]) -> Decision:
        """Ask the specialist for a decision whose route is SHADOW, which `decide` gives without asking: the same decision
        with label, scores, thresholds and ids filled in, and the reason for which the answer would not have been kept
        (SHADOW where it would). Runs in a thread beside the upstream call; never raises. It may be `pending`, too."""
        ...

    def is_slow(self, request: Mapping[str, Any], task_hint: str | None = None) -> bool:
        """Whether `decide` may take over a millisecond on this request, so that it belongs in a thread."""
        ...

    def same_answer(self, decision: Decision, reference: str) -> bool:
        """Whether the frontier's answer says what the specialist's kept answer says, as `metrics.correctness` has it."""
        ...


class UpstreamReply(Protocol):
    """An upstream's answer, headers first. Close it in every case; closing early cancels the upstream call."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Sequence[Header]:
        """Ready to be passed on: without hop-by-hop headers and without any that hold secrets."""
        ...

    @property
    def upstream(self) -> str: ...

    @property
    def model(self) -> str | None:
        """The model's name as it was sent to the upstream."""
        ...

    @property
    def attempts(self) -> int: ...

    @property
    def document(self) -> object:
        """The whole body as JSON where it was read already, to see whether it is sound; None where it was not."""
        ...

    async def read(self) -> bytes:
        """The whole body. Raises ApiError where the upstream breaks off or takes too long."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, unbuffered. Raises ApiError where the upstream breaks off or pauses too long."""
        ...

    async def close(self) -> None: ...


class Upstreams(Protocol):
    """The frontier models: choice, fallback, retries, breaker, pool (gateway.upstreams)."""

    async def send(
        self,
        path: str,
        body: bytes,
        model: str | None,
        *,
        headers: Sequence[Header],
        is_stream: bool,
        deadline: float,
        method: Literal["GET", "POST"] = "POST",
    ) -> UpstreamReply:
        """The first answer worth passing on. `path` is relative to the upstream's /v1 ("/chat/completions"); `body` goes
        out byte for byte, but for the name of an aliased model; `deadline` is on time.monotonic(). Of an upstream's own
        answers the last is passed on where retries and fallbacks do not help (so its 400 or 429 reaches the client).
        Raises ApiError where no upstream answered."""
        ...

    def price_usd(self, upstream: str, model: str | None, input_tokens: int, output_tokens: int) -> float | None:
        """What a call costs; None where the price is not known. An empty `upstream` means the first that serves the model
        (what a kept answer would have cost)."""
        ...

    def model_names(self) -> Sequence[str]:
        """Aliases and the models named in the settings, without wildcards."""
        ...

    def states(self) -> Mapping[str, str]:
        """State of each upstream's breaker: closed, open or half-open."""
        ...

    async def close(self) -> None: ...


class Recorder(Protocol):
    """Takes what is to be remembered; never blocks, never raises, and counts what it had to drop (gateway.recording)."""

    def record(self, record: CallRecord) -> None:
        """Keep a finished call as a Trace (redacted), and its cost as the key's spend."""
        ...

    def audited(self, outcome: AuditOutcome) -> None:
        """Keep what the audit of a call found that `record` got before; its cost, too, is the key's spend."""
        ...

    async def judge(self, response_id: str, feedback: str | None, correction: str | None) -> bool:
        """Keep a judgement of an answer, by response id or trace id; False where no such answer is known. Raises ApiError
        409 where several answers have that id, 503 where the database is away and the answer is not a recent one."""
        ...

    def figures(self) -> Mapping[str, float]:
        """queue_depth, spilled_traces, spilled_bytes, dropped_traces, written_traces."""
        ...


class Telemetry(Protocol):
    """Metrics, spans and log lines (gateway.telemetry)."""

    def began(self, record: CallRecord, headers: Mapping[str, str]) -> object:
        """A call came in; what is given back is handed to `finished`. `headers` may hold a traceparent."""
        ...

    def finished(self, record: CallRecord, token: object) -> None: ...

    def audited(self, outcome: AuditOutcome) -> None:
        """The audit of a kept answer has come to its end, after `finished` of its call."""
        ...

    def headers_for(self, token: object) -> Mapping[str, str]:
        """Headers (lower-case names) that the upstream call carries instead of the client's: traceparent, tracestate."""
        ...

    def exposition(self) -> tuple[bytes, str]:
        """The metrics in Prometheus' text format, and its content type."""
        ...
