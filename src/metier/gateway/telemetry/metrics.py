"""The metrics of finished calls: what a record moves. About ten updates a call, on children that are looked up once."""

from __future__ import annotations

import platform
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from metier.gateway.calls import AuditOutcome, CallRecord, Decision, Reason, Route
from metier.gateway.telemetry.catalogue import METRICS, Metric
from metier.gateway.telemetry.labels import NONE, Codes, KnownNames, endpoint_label, status_label
from metier.version import __version__

_BAD_STATUS = 400
_Key = tuple[str, str, str, str, int, str]


class _Counter(Protocol):
    def inc(self, amount: float = 1) -> None: ...


class _Histogram(Protocol):
    def observe(self, amount: float) -> None: ...


def build_metrics(registry: CollectorRegistry | None) -> dict[str, Any]:
    """Every metric of the catalogue by name, in the registry. prometheus_client's file-backed values (several workers) are
    used where the environment says so."""
    # A series of creation times beside every series: twice the text for what no dashboard shows.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    return {metric.name: _build(metric, registry) for metric in METRICS}


def _build(metric: Metric, registry: CollectorRegistry | None) -> Counter | Gauge | Histogram:
    name, text, labels = metric.name.removesuffix("_total"), metric.help, metric.labels
    if metric.kind == "counter":
        return Counter(name, text, labels, registry=registry)
    if metric.kind == "histogram":
        return Histogram(name, text, labels, buckets=metric.buckets, registry=registry)
    return Gauge(name, text, labels, registry=registry, multiprocess_mode=metric.mode)


class _Series:
    """The time series that calls with the same labels move."""

    __slots__ = ("cost", "duration", "escalated", "input", "kept", "output", "recognised", "requests", "saved", "ttft")

    requests: _Counter
    duration: _Histogram
    ttft: _Histogram
    input: _Counter
    output: _Counter
    cost: _Counter
    saved: _Counter | None
    recognised: _Counter | None
    kept: _Counter | None
    escalated: _Counter | None

    def __init__(self, metrics: dict[str, Any], key: _Key) -> None:
        endpoint, task, route, reason, status, model = key
        self.requests = metrics["metier_requests_total"].labels(
            endpoint, task, route, reason, status_label(status), model
        )
        self.duration = metrics["metier_request_duration_seconds"].labels(endpoint, route)
        self.ttft = metrics["metier_time_to_first_token_seconds"].labels(endpoint, route)
        tokens = metrics["metier_tokens_total"]
        self.input, self.output = (tokens.labels(task, route, model, way) for way in ("input", "output"))
        self.cost = metrics["metier_cost_usd_total"].labels(task, route, model)
        is_kept, is_escalated = route == Route.KEPT.value, route == Route.ESCALATED.value
        self.recognised = metrics["metier_recognised_requests_total"].labels(task) if task != NONE else None
        self.saved = metrics["metier_saved_usd_total"].labels(task, model) if is_kept else None
        self.kept = metrics["metier_kept_requests_total"].labels(task) if is_kept else None
        self.escalated = metrics["metier_escalations_total"].labels(task, reason) if is_escalated else None


class CallMetrics:
    """Counts calls. `tasks`, `models` and `upstreams` are the names that may be labels."""

    def __init__(self, metrics: dict[str, Any], tasks: KnownNames, models: KnownNames, upstreams: KnownNames) -> None:
        self._metrics = metrics
        self._tasks, self._models, self._upstreams = tasks, models, upstreams
        self._codes = Codes()
        self._series: dict[_Key, _Series] = {}
        self._attempts: dict[str, _Counter] = {}
        self._specialists: dict[str, _Histogram] = {}
        self._in_flight = metrics["metier_requests_in_flight"]
        metrics["metier_build_info"].labels(__version__, platform.python_version()).set(1)

    def began(self) -> None:
        """A call came in."""
        self._in_flight.inc()

    def finished(self, record: CallRecord) -> None:
        """A call has ended; its record is complete."""
        self._in_flight.dec()
        decision = record.decision
        task = NONE if decision is None else self._tasks.label(decision.task)
        series = self._of(record, decision, task)
        series.requests.inc()
        if record.latency_s is not None:
            series.duration.observe(record.latency_s)
        if record.ttft_s is not None:
            series.ttft.observe(record.ttft_s)
        if record.input_tokens:
            series.input.inc(record.input_tokens)
        if record.output_tokens:
            series.output.inc(record.output_tokens)
        # A counter can only rise, and a settings file may hold odd prices.
        if record.cost_usd is not None and record.cost_usd > 0:
            series.cost.inc(record.cost_usd)
        if series.saved is not None and record.saved_usd is not None and record.saved_usd > 0:
            series.saved.inc(record.saved_usd)
        if series.recognised is not None:
            series.recognised.inc()
        if series.kept is not None:
            series.kept.inc()
        if series.escalated is not None:
            series.escalated.inc()
        if decision is not None:
            self._decided(record, decision, task)
        if record.upstream is not None:
            self._asked(record, record.upstream)
        if record.error is not None or record.is_cancelled:
            self._failed(record)

    def _of(self, record: CallRecord, decision: Decision | None, task: str) -> _Series:
        # `_value_` spares the enum's property, which takes longer than all the rest of the key.
        if decision is None:
            route, reason = (NONE if record.upstream is None else "passed"), NONE
        else:
            route = decision.route._value_
            reason = NONE if decision.reason is None else decision.reason._value_
        status = 499 if record.is_cancelled and not record.status else record.status
        key = (endpoint_label(record.endpoint), task, route, reason, status, self._models.label(record.model))
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = _Series(self._metrics, key)
        return found

    def _decided(self, record: CallRecord, decision: Decision, task: str) -> None:
        if decision.specialist_id is not None and record.decide_s is not None:
            histogram = self._specialists.get(task)
            if histogram is None:
                histogram = self._metrics["metier_specialist_duration_seconds"].labels(task)
                self._specialists[task] = histogram
            histogram.observe(record.decide_s)
        if decision.route is Route.SHADOW and decision.label is not None:
            verdict = "kept" if decision.reason is Reason.SHADOW else "escalated"
            self._metrics["metier_shadow_answers_total"].labels(task, verdict, _outcome(record.is_wrong)).inc()

    def audited(self, outcome: AuditOutcome) -> None:
        """A kept answer has been audited; its call was counted when it finished."""
        task = self._tasks.label(outcome.decision.task)
        self._metrics["metier_audits_total"].labels(task, _outcome(outcome.is_wrong)).inc()
        if outcome.cost_usd is not None and outcome.cost_usd > 0:
            model = self._models.label(outcome.model)
            self._metrics["metier_cost_usd_total"].labels(task, Route.KEPT.value, model).inc(outcome.cost_usd)
        if outcome.upstream is not None:
            upstream = self._attempted(outcome.upstream, outcome.attempts)
            if outcome.error is not None:
                self._metrics["metier_upstream_errors_total"].labels(upstream, self._codes.label(outcome.error)).inc()

    def _attempted(self, name: str, attempts: int) -> str:
        """Count attempts at an upstream; its label."""
        upstream = self._upstreams.label(name)
        counter = self._attempts.get(upstream)
        if counter is None:
            counter = self._attempts[upstream] = self._metrics["metier_upstream_attempts_total"].labels(upstream)
        counter.inc(max(attempts, 1))
        return upstream

    def _asked(self, record: CallRecord, name: str) -> None:
        upstream = self._attempted(name, record.attempts)
        if record.error is not None or record.status >= _BAD_STATUS:
            code = self._codes.label(record.error) if record.error else status_label(record.status)
            self._metrics["metier_upstream_errors_total"].labels(upstream, code).inc()

    def _failed(self, record: CallRecord) -> None:
        endpoint = endpoint_label(record.endpoint)
        if record.error is not None:
            self._metrics["metier_errors_total"].labels(endpoint, self._codes.label(record.error)).inc()
        if record.is_cancelled:
            self._metrics["metier_cancelled_requests_total"].labels(endpoint).inc()


def _outcome(is_wrong: bool | None) -> str:
    """What a comparison with the frontier model's answer gave."""
    return "unanswered" if is_wrong is None else "different" if is_wrong else "same"
