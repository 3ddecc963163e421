"""What the gateway knows of one call, from its arrival to its trace."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from metier.artefacts.tasks import OutputKind


class Mode(StrEnum):
    """What the gateway does with a task's calls: watch them, let the specialist answer unseen, or keep its answers."""

    CAPTURE = "capture"
    SHADOW = "shadow"
    ROUTE = "route"


class Route(StrEnum):
    """What became of a call. PASSED: no task was recognised. CAPTURE and SHADOW: the mode sent it on. ESCALATED: the policy
    did. KEPT: the client got the specialist's answer."""

    PASSED = "passed"
    CAPTURE = "capture"
    SHADOW = "shadow"
    ESCALATED = "escalated"
    KEPT = "kept"


class Reason(StrEnum):
    """Why a call went to the frontier model."""

    NOT_RECOGNISED = "not_recognised"
    CAPTURE = "capture_mode"
    SHADOW = "shadow_mode"
    ROLLOUT = "outside_rollout"
    NO_CHAMPION = "no_champion"
    NO_CERTIFICATE = "no_certificate"
    REVOKED = "certificate_revoked"
    OUT_OF_DISTRIBUTION = "out_of_distribution"
    LOW_SCORE = "low_score"
    FORM = "answer_form"
    PARAMETERS = "request_parameters"
    WORDING = "new_wording"
    IMAGE = "image"
    SPECIALIST_FAILED = "specialist_failed"
    BUSY = "specialist_busy"  # no room in its queue, or no answer in time
    ANSWER_FAILED = "answer_failed"  # it could not read the input, or what it wrote is no answer, and it says so itself
    REDACTED = "redacted_answer"  # the answer holds a mark where the input held a secret or personal data
    AUDIT = "audit"  # a kept answer whose call went to the frontier model as well


@dataclass(frozen=True, slots=True)
class Caller:
    """Who called: the key's id and name, never the key; None without keys (loopback only)."""

    key_id: str | None = None
    name: str | None = None


ANONYMOUS = Caller()


@dataclass(frozen=True, slots=True)
class Written:
    """A specialist's answer in the form that the prompt asked for: `content`, or a call of `tool_name` with `arguments`."""

    content: str | None
    tool_name: str | None = None
    arguments: str | None = None

    @property
    def text(self) -> str:
        """What a trace holds as the response: the content, or the tool call as sources.messages.answer_text writes it."""
        if self.tool_name is None:
            return self.content or ""
        from metier.sources.messages import answer_text

        call = {"function": {"name": self.tool_name, "arguments": self.arguments}}
        return answer_text({"tool_calls": [call]}) or ""


class Desk(Protocol):
    """Where a specialist that writes does its work, a few answers at a time (gateway.routing.desks)."""

    def submit(self, work: Callable[[], Decision], max_waiting: int) -> Future[Decision] | None:
        """Have `work` done when its turn comes; None where `max_waiting` calls are waiting already."""
        ...

    def gave_up(self) -> None:
        """Nobody waits any longer for an answer that was submitted; it is counted and logged."""
        ...


@dataclass(frozen=True, slots=True)
class Pending:
    """A decision that hangs on an answer still to be written: `work`, at the `desk`, gives it and never raises. Where there
    is no room, or `timeout_s` seconds are over, it is `otherwise`."""

    desk: Desk
    work: Callable[[], Decision]
    max_waiting: int
    timeout_s: float
    otherwise: Decision


@dataclass(frozen=True, slots=True)
class Decision:
    """What routing says of one call.

    `written` is not None if and only if `route` is KEPT; then `is_audited` says that the frontier model shall be asked as
    well. Scores and ids are None where the specialist was not asked. `label` is the specialist's answer, `input` the call's
    input as it came, `template_id` the wording it came in; of a task whose answers are records, `label` is one as canonical
    JSON, of one whose answers are texts the text, and `kind` says which. `failure` says why what the specialist wrote is no
    answer (`metrics.generation`), `tokens` how many it read and wrote, where it counts them. `policy_id` names the
    certificate. `allowed`, known wherever `is_audited`, is the share of wrong answers that the audit compares with: the
    certificate's alpha plus the audit allowance.

    `pending` is set where the specialist has to write first: then this is no decision yet.
    """

    route: Route
    reason: Reason | None = None
    task: str | None = None
    mode: Mode | None = None
    input: str | None = None
    label: str | None = None
    score: float | None = None
    ood_score: float | None = None
    threshold: float | None = None
    ood_threshold: float | None = None
    policy_id: str | None = None
    specialist_id: str | None = None
    written: Written | None = None
    is_audited: bool = False
    allowed: float | None = None
    template_id: str | None = None
    kind: OutputKind = OutputKind.LABEL
    failure: str | None = None
    tokens: tuple[int, int] | None = None
    pending: Pending | None = None


@dataclass(slots=True)
class CallRecord:
    """The facts of one call, filled in as they become known; trace, metrics, span and log line are made from it.

    `time` is seconds since 1970 (wall clock), `latency_s` and `ttft_s` come from a monotonic clock. `response` is the
    answer's text as sources.messages.answer_text gives it. `cost_usd` is what the call cost, `saved_usd` what a kept answer
    would have cost at the frontier. `error` is the code of the error the client got; `is_cancelled` that it hung up.
    `is_estimated` says that the tokens are counted from characters, since the answer did not give them.
    `is_wrong` says in shadow mode whether the specialist's unseen answer differs from the frontier's; None where one of
    them did not answer. What the audit of a kept answer finds comes later, as an AuditOutcome.
    `decide_s` is how long routing took, the specialist's answer included.
    """

    trace_id: str
    endpoint: str
    time: float
    caller: Caller = ANONYMOUS
    request: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    is_stream: bool = False
    decision: Decision | None = None
    upstream: str | None = None
    upstream_model: str | None = None
    attempts: int = 0
    status: int = 0
    error: str | None = None
    is_cancelled: bool = False
    response_id: str | None = None
    response: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    is_estimated: bool = False
    cost_usd: float | None = None
    saved_usd: float | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    is_wrong: bool | None = None
    decide_s: float | None = None


@dataclass(frozen=True, slots=True)
class AuditOutcome:
    """What came of asking the frontier model about a kept answer, after the call itself was recorded.

    `time` and `caller` are the call's, `model` is the name it asked for. `reference` is the frontier's answer and
    `is_wrong` whether the specialist's differs; both are None where the frontier did not answer, `error` then says why.
    `cost_usd` is what the audit cost, on top of the call.
    """

    trace_id: str
    time: float
    caller: Caller
    decision: Decision
    model: str | None = None
    upstream: str | None = None
    upstream_model: str | None = None
    attempts: int = 0
    reference: str | None = None
    is_wrong: bool | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    error: str | None = None
