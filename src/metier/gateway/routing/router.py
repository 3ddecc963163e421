"""The decision on one call: whose it is, whether the specialist may answer it, and how the answer is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from metier.artefacts.datasets import AnswerForm
from metier.artefacts.tasks import OutputKind
from metier.gateway.calls import Decision, Mode, Pending, Reason, Route
from metier.gateway.routing.answers import same_answer
from metier.gateway.routing.asking import Asked, Failures, ask
from metier.gateway.routing.champions import Champion
from metier.gateway.routing.forms import find_form, refusal, write_answer
from metier.gateway.routing.inputs import holds_marks
from metier.gateway.routing.parameters import refused_parameter
from metier.gateway.routing.sampling import is_audited, within_rollout
from metier.gateway.routing.table import Glance, RoutingTable, TaskRoute
from metier.mining.recognition import Recognised

PASSED = Decision(Route.PASSED, Reason.NOT_RECOGNISED)


@dataclass
class TableRouter:
    """Implements gateway.protocols.Router over one routing table. Threads may share it."""

    table: RoutingTable
    failures: Failures = field(default_factory=Failures)
    _glanced: tuple[object, Glance] | None = None

    def decide(self, request: Mapping[str, Any], trace_id: str, task_hint: str | None = None) -> Decision:
        """The decision for a parsed chat request; never raises, at worst it escalates."""
        decision = PASSED
        try:
            found = self._recognise(request, task_hint)
            if found is None:
                return PASSED
            decision = Decision(Route.ESCALATED, Reason.SPECIALIST_FAILED, task=found.task_name, input=found.input)
            return _decide(self.table, found, request, trace_id, self.failures)
        except Exception as problem:  # whatever it is, the frontier model can answer this call
            self.failures.add(f"routing raised {type(problem).__name__}")
            return decision

    def answer_unseen(self, decision: Decision, request: Mapping[str, Any]) -> Decision:
        """A SHADOW decision with the specialist's answer: label, scores, thresholds and ids filled in. `reason` stays
        SHADOW where the policy would keep the answer, and else says why it would not; never raises. It is pending where
        the specialist writes."""
        route = self.table.routes.get(decision.task or "")
        champion = route.champion if route is not None else None
        if decision.route is not Route.SHADOW or route is None or champion is None or decision.input is None:
            return decision
        text = decision.input

        def answer() -> Decision:
            return _seen(champion, decision, text, request)

        failed, busy = (replace(decision, reason=why) for why in (Reason.SPECIALIST_FAILED, Reason.BUSY))
        if not _would_be_asked(decision):
            failed, busy = decision, decision
        return _answered(route, champion, answer, failed, busy, self.failures)

    def is_slow(self, request: Mapping[str, Any], task_hint: str | None = None) -> bool:
        """Whether `decide` may take over a millisecond on this request, so that it belongs in a thread."""
        try:
            glance = self.table.glance(request.get("messages"), request.get("model"), task_hint)
        except Exception as problem:
            self.failures.add(f"routing raised {type(problem).__name__}")
            return False
        self._glanced = (request, glance)
        if glance.is_long:
            return True
        if not glance.is_sure:
            return True
        if glance.found is None:
            return False
        route = self.table.routes[glance.found.task_name]
        if route.mode is not Mode.ROUTE or route.champion is None:
            return False
        return len(glance.found.input) >= route.champion.slow_chars

    def same_answer(self, decision: Decision, reference: str) -> bool:
        """Whether the frontier's answer says what the specialist's says; False where that is no answer."""
        label = decision.label
        return label is not None and same_answer(label, decision.written, reference, decision.kind)

    def _recognise(self, request: Mapping[str, Any], task_hint: str | None) -> Recognised | None:
        glanced = self._glanced
        if glanced is not None and glanced[0] is request:
            # A request may be large: it is not held longer than needed.
            self._glanced = None
            if glanced[1].is_sure:
                return glanced[1].found
        return self.table.recognise(request.get("messages"), request.get("model"), task_hint)


def _decide(
    table: RoutingTable, found: Recognised, request: Mapping[str, Any], trace_id: str, failures: Failures
) -> Decision:
    route = table.routes[found.task_name]
    if route.mode is Mode.CAPTURE:
        return Decision(
            Route.CAPTURE, Reason.CAPTURE, found.task_name, Mode.CAPTURE, found.input, template_id=found.template_id
        )
    champion = route.champion
    if champion is None:
        return _sent_on(route, found, Reason.NO_CHAMPION)
    form = find_form(champion.forms, found.template_id, request)
    reason = _hindrance(table, route, champion, found, request, form)
    if route.mode is Mode.SHADOW:
        return _sent_on(route, found, reason or _wording(route, found) or Reason.SHADOW)
    if reason is not None or form is None:
        return _sent_on(route, found, reason or Reason.FORM)
    failed, busy = (_sent_on(route, found, why) for why in (Reason.SPECIALIST_FAILED, Reason.BUSY))

    def answer() -> Decision:
        asked = _ask(champion, found.input)
        if asked is None:
            return failed
        doubt = _doubt(champion, asked)
        if doubt is not None:
            return _with_evidence(_sent_on(route, found, doubt), champion, asked)
        return _written(route, champion, found, request, trace_id, form, asked)

    return _answered(route, champion, answer, failed, busy, failures)


def _answered(
    route: TaskRoute,
    champion: Champion,
    answer: Callable[[], Decision],
    failed: Decision,
    busy: Decision,
    failures: Failures,
) -> Decision:
    """What `answer` decides, or `failed` where it raises: at once, or pending where the specialist writes."""

    def work() -> Decision:
        try:
            return answer()
        except Exception as problem:  # whatever it is, the frontier model can answer this call
            failures.add(f"routing raised {type(problem).__name__}")
            return failed

    if champion.desk is None:
        return work()
    pending = Pending(champion.desk, work, route.max_waiting, route.answer_timeout_s, busy)
    return replace(failed, pending=pending)


def _would_be_asked(decision: Decision) -> bool:
    """Whether only shadow mode keeps the specialist from being asked."""
    return decision.reason in (Reason.SHADOW, Reason.WORDING)


def _seen(champion: Champion, decision: Decision, text: str, request: Mapping[str, Any]) -> Decision:
    """A SHADOW decision with the specialist's answer to `text`."""
    asked = _ask(champion, text)
    if asked is None:
        return replace(decision, reason=Reason.SPECIALIST_FAILED)
    seen = _with_evidence(decision, champion, asked)
    if not _would_be_asked(decision):
        return seen
    form = find_form(champion.forms, decision.template_id or "", request)
    unfit = Reason.FORM if form is None or asked.label is None else _unfit(champion, form, asked.label, request)
    return replace(seen, reason=_doubt(champion, asked) or unfit or _marked(champion, asked, text) or decision.reason)


def _unfit(champion: Champion, form: AnswerForm, label: str, request: Mapping[str, Any]) -> Reason | None:
    return refusal(write_answer(form, label), request, champion.accept)


def _marked(champion: Champion, asked: Asked, text: str) -> Reason | None:
    """REDACTED where the client would get a mark in place of what stands in its own input."""
    is_marked = champion.kind is not OutputKind.LABEL and holds_marks(asked.label or "", asked.read, text)
    return Reason.REDACTED if is_marked else None


def _ask(champion: Champion, text: str) -> Asked | None:
    return ask(champion.predictor, champion.read, champion.check, text, champion.failures, champion.name)


def _hindrance(
    table: RoutingTable,
    route: TaskRoute,
    champion: Champion,
    found: Recognised,
    request: Mapping[str, Any],
    form: AnswerForm | None,
) -> Reason | None:
    """Why the specialist's answer could not be kept, whatever it is."""
    if found.has_image:
        return Reason.IMAGE
    if refused_parameter(request, champion.kind) is not None:
        return Reason.PARAMETERS
    if champion.policy.certificate is None:
        return Reason.NO_CERTIFICATE
    if champion.policy_id in table.revoked:
        return Reason.REVOKED
    if form is None or (champion.rules is not None and champion.rules.is_other(request)):
        return Reason.FORM
    if not found.input:
        # Curation makes no examples of empty inputs, so no certificate speaks of them.
        return Reason.OUT_OF_DISTRIBUTION
    if not within_rollout(found.task_name, found.input, route.rollout):
        return Reason.ROLLOUT
    return None


def _wording(route: TaskRoute, found: Recognised) -> Reason | None:
    """WORDING where the prompt is worded anew and such answers are not kept."""
    return None if found.exact or route.keeps_new_wordings else Reason.WORDING


def _doubt(champion: Champion, asked: Asked) -> Reason | None:
    """Why the policy does not keep this answer; None where it does. Policy.keeps alone decides."""
    if asked.label is None:
        return Reason.ANSWER_FAILED
    if champion.policy.keeps(asked.scores, asked.ood_scores)[0]:
        return None
    if champion.policy.certificate is None:
        return Reason.NO_CERTIFICATE
    is_foreign = asked.ood_score > champion.policy.ood_threshold
    return Reason.OUT_OF_DISTRIBUTION if is_foreign else Reason.LOW_SCORE


def _written(
    route: TaskRoute,
    champion: Champion,
    found: Recognised,
    request: Mapping[str, Any],
    trace_id: str,
    form: AnswerForm,
    asked: Asked,
) -> Decision:
    """Keep the answer, unless the request does not take it as it is written or the wording is not one of the task's."""
    written = write_answer(form, asked.label or "")
    reason = refusal(written, request, champion.accept) or _marked(champion, asked, found.input)
    reason = reason or _wording(route, found)
    if reason is not None:
        return _with_evidence(_sent_on(route, found, reason), champion, asked)
    audited = is_audited(trace_id, route.audit_share)
    kept = Decision(
        Route.KEPT,
        Reason.AUDIT if audited else None,
        found.task_name,
        route.mode,
        found.input,
        template_id=found.template_id,
        written=written,
        is_audited=audited,
        allowed=route.allowed,
    )
    return _with_evidence(kept, champion, asked)


def _sent_on(route: TaskRoute, found: Recognised, reason: Reason) -> Decision:
    """A call that goes to the frontier model; in shadow mode, `reason` says what would have hindered it."""
    what = Route.SHADOW if route.mode is Mode.SHADOW else Route.ESCALATED
    champion = route.champion
    return Decision(
        what,
        reason,
        found.task_name,
        route.mode,
        found.input,
        template_id=found.template_id,
        policy_id=champion.policy_id if champion else None,
        specialist_id=champion.specialist_id if champion else None,
    )


def _with_evidence(decision: Decision, champion: Champion, asked: Asked) -> Decision:
    certificate = champion.policy.certificate
    return replace(
        decision,
        label=asked.label,
        kind=champion.kind,
        failure=asked.failure,
        tokens=asked.tokens,
        score=asked.score,
        ood_score=asked.ood_score,
        threshold=certificate.threshold if certificate else None,
        ood_threshold=champion.policy.ood_threshold,
        policy_id=champion.policy_id,
        specialist_id=champion.specialist_id,
    )
