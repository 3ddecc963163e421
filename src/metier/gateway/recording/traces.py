"""From a call's record to the line that the journal keeps of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import orjson

from metier.artefacts.traffic import Provenance, Trace
from metier.gateway.calls import AuditOutcome, CallRecord, Decision, Route
from metier.gateway.recording.lines import AuditLine, CallLine
from metier.sources.decoding import without_nul
from metier.sources.messages import normal_messages, parameters
from metier.sources.outcomes import Rejected
from metier.store.audits import AuditRow
from metier.store.references import Reference
from metier.store.spend import month_of

Redact = Callable[[str], str]

EMBEDDINGS_PATH = "/embeddings"
EMBEDDINGS = "embeddings call"
_ESCAPED_NUL = "\\u0000"
_GROUP_BYTES = 8
# Parameters (tools, schemas), models, labels come again and again: what was redacted once need not be read again.
_REMEMBERED = 256
_REMEMBERED_CHARS = 65_536
_HOUR_S = 3600.0


class LineMaker:
    """Makes lines of records. `redact` takes the secrets out of a text, JSON text included. Not for several threads."""

    def __init__(self, redact: Redact) -> None:
        self._redact = redact
        self._remembered: dict[str, str] = {}
        self._month = (-1.0, "")

    def line(self, record: CallRecord) -> CallLine:
        """The line of a finished call. An embeddings call has no prompt and no answer to learn from: it is counted and
        paid, but is no trace; nor is a request without messages."""
        trace, skipped = self._trace(record)
        return CallLine(trace, skipped, self._spend(record))

    def audit_line(self, outcome: AuditOutcome) -> AuditLine:
        """The line of an audit. One without an answer is no evidence for or against a certificate, but may have cost."""
        reference = Reference(outcome.trace_id, self.clean(outcome.reference), outcome.is_wrong, outcome.cost_usd)
        return AuditLine(reference, _audit(outcome), self._spend(outcome))

    def clean(self, text: str | None) -> str | None:
        """`text` without secrets and NUL characters."""
        if not text:
            return text
        if "\x00" in text:
            text = text.replace("\x00", "\ufffd")
        return self._redact(text)

    def _trace(self, record: CallRecord) -> tuple[Trace | None, str | None]:
        if record.endpoint.endswith(EMBEDDINGS_PATH):
            return None, EMBEDDINGS
        messages = normal_messages(asked(record.request))
        if isinstance(messages, Rejected):
            return None, messages.reason
        decision = record.decision
        kept = decision is not None and decision.route is Route.KEPT
        provenance: Provenance = "specialist" if kept else "teacher"
        whole = kept or not (record.is_cancelled or record.error)
        trace = Trace(
            id=record.trace_id,
            messages=self._redact(_storable(messages)),
            parameters=self._clean_parameters(record.request),
            response=self.clean(record.response) if whole else None,
            model=self._remember(record.model if kept else record.upstream_model or record.model),
            time=record.time,
            input_tokens=record.input_tokens,
            output_tokens=record.output_tokens,
            latency_s=record.latency_s,
            cost_usd=record.cost_usd,
            provenance=provenance,
            group=group(record.request),
            response_id=self.clean(record.response_id),
            ttft_s=record.ttft_s,
            task=decision.task if decision is not None else None,
            route=decision.route.value if decision is not None else Route.PASSED.value,
            evidence=self._evidence(record, decision, None if whole else record.response),
        )
        return trace, None

    def _clean_parameters(self, request: Mapping[str, Any]) -> str | None:
        text = parameters(request)
        return None if text is None else self._remember(_storable(text))

    def _remember(self, text: str | None) -> str | None:
        """`clean`, for a text that comes again and again."""
        if not text:
            return text
        found = self._remembered.get(text)
        if found is None:
            found = self.clean(text) or ""
            if len(text) <= _REMEMBERED_CHARS:
                if len(self._remembered) >= _REMEMBERED:
                    self._remembered.clear()
                self._remembered[text] = found
        return found

    def _spend(self, record: CallRecord | AuditOutcome) -> tuple[str, str, float] | None:
        key_id = record.caller.key_id
        if key_id is None:
            return None
        hour = record.time // _HOUR_S
        if hour != self._month[0]:
            self._month = hour, month_of(record.time)
        return key_id, self._month[1], record.cost_usd or 0.0

    def _evidence(self, record: CallRecord, decision: Decision | None, partial: str | None) -> str:
        found: dict[str, Any] = {
            "endpoint": record.endpoint,
            "status": record.status,
            "error": record.error,
            "is_cancelled": record.is_cancelled or None,
            "is_stream": record.is_stream or None,
            "finish_reason": record.finish_reason,
            "upstream": record.upstream,
            "attempts": record.attempts or None,
            "key": record.caller.key_id,
            "saved_usd": record.saved_usd,
            "usage": "estimated" if record.is_estimated else None,
            "is_wrong": record.is_wrong,
            # What came before the upstream or the client broke off: no answer, and nothing to learn from.
            "partial": self.clean(partial),
        }
        if decision is not None:
            found |= {
                "mode": decision.mode,
                "reason": decision.reason,
                "label": self._remember(decision.label),
                "score": decision.score,
                "threshold": decision.threshold,
                "ood_score": decision.ood_score,
                "ood_threshold": decision.ood_threshold,
                "policy": decision.policy_id,
                "specialist": decision.specialist_id,
                "is_audited": decision.is_audited or None,
                "failure": decision.failure,
                "specialist_tokens": decision.tokens,
            }
        return orjson.dumps({name: value for name, value in found.items() if value is not None}).decode()


def asked(request: Mapping[str, Any]) -> object:
    """What a request asks, as chat messages: `messages`, or the responses API's `instructions` and `input`."""
    messages = request.get("messages")
    if messages is not None:
        return messages
    items = request.get("input")
    instructions = request.get("instructions")
    if isinstance(items, list):
        items = [_message(item) for item in items if not (isinstance(item, dict) and item.get("type") == "reasoning")]
    if not isinstance(instructions, str) or not items:
        return items
    rest = items if isinstance(items, list) else [{"role": "user", "content": items}]
    return [{"role": "system", "content": instructions}, *rest]


def _message(item: object) -> object:
    """An item of the responses API as a chat message."""
    if not isinstance(item, dict):
        return item
    kind = item.get("type")
    if kind == "function_call":
        return {"role": "assistant", "content": None, "tool_calls": [item]}
    if kind == "function_call_output":
        return {"role": "tool", "content": item.get("output")}
    return item


def group(request: Mapping[str, Any]) -> str | None:
    """A hash that marks calls of one end user, as the request names it (`safety_identifier`, formerly `user`): a split
    must not part them, and nobody need know who it is."""
    user = request.get("safety_identifier") or request.get("user")
    if not isinstance(user, str) or not user:
        return None
    return "user-" + blake2b(user.encode("utf-8", "surrogatepass"), digest_size=_GROUP_BYTES).hexdigest()


def _storable(text: str) -> str:
    """JSON text without NUL characters, which PostgreSQL cannot hold in what they stand for."""
    if _ESCAPED_NUL not in text:
        return text
    return orjson.dumps(without_nul(orjson.loads(text))).decode()


def _audit(outcome: AuditOutcome) -> AuditRow | None:
    decision = outcome.decision
    if outcome.is_wrong is None or decision.policy_id is None or decision.task is None or decision.allowed is None:
        return None
    return AuditRow(
        decision.policy_id, decision.task, outcome.trace_id, outcome.time, outcome.is_wrong, decision.allowed
    )
