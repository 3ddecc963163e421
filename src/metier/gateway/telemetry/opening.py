"""Telemetry as the gateway uses it: metrics, spans and log lines behind one object."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from metier.gateway.calls import AuditOutcome, CallRecord
from metier.gateway.redaction.redactor import Redactor
from metier.gateway.settings import UpstreamSettings
from metier.gateway.telemetry.attributes import server_of
from metier.gateway.telemetry.exposition import exposition, process_registry
from metier.gateway.telemetry.figures import Figures, HasFigures, HasStates, RealisedError
from metier.gateway.telemetry.labels import KnownNames
from metier.gateway.telemetry.lines import Level
from metier.gateway.telemetry.logs import STDERR, Logs, NoLogs, open_logs
from metier.gateway.telemetry.masks import masked
from metier.gateway.telemetry.metrics import CallMetrics, build_metrics
from metier.gateway.telemetry.processes import multiprocess_folder
from metier.gateway.telemetry.spans import Spans, open_spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from prometheus_client import CollectorRegistry


class GatewayTelemetry:
    """Implements gateway.protocols.Telemetry. Made by `open_telemetry`; `close` it at the end."""

    def __init__(
        self,
        registry: CollectorRegistry,
        folder: Path | None,
        calls: CallMetrics,
        figures: Figures,
        models: KnownNames,
        spans: Spans | None,
        logs: Logs | NoLogs,
    ) -> None:
        self._registry = registry
        self._folder = folder
        self._calls = calls
        self._figures = figures
        self._models = models
        self._spans = spans
        self._logs = logs
        self._recorder: HasFigures | None = None
        self._upstreams: HasStates | None = None
        self._realised: Callable[[], Iterable[RealisedError]] | None = None

    @property
    def wants_headers(self) -> bool:
        """Whether `began` looks at the headers (for a traceparent); without spans it may be given none."""
        return self._spans is not None

    def began(self, record: CallRecord, headers: Mapping[str, str]) -> object:
        """A call came in. `headers` have lower-case names. What is given back is for `finished` and `headers_for`."""
        self._calls.began()
        return None if self._spans is None else self._spans.began(record, headers)

    def finished(self, record: CallRecord, token: Any) -> None:
        """The call has ended. Call it once for each `began`; never blocks."""
        self._calls.finished(record)
        if self._spans is not None and token is not None:
            self._spans.finished(record, token)
        self._logs.call(record, self._models)

    def audited(self, outcome: AuditOutcome) -> None:
        """The audit of a kept answer has come to its end; never blocks."""
        self._calls.audited(outcome)
        self._logs.audit(outcome, self._models)

    def headers_for(self, token: Any) -> Mapping[str, str]:
        """traceparent and tracestate for the upstream call; empty without spans."""
        return {} if self._spans is None or token is None else self._spans.headers(token)

    def event(self, event: str, level: Level = "info", **fields: Any) -> None:
        """Log that something happened to the process; secrets in the fields are masked."""
        self._logs.event(event, level, **fields)

    def watch(
        self,
        recorder: HasFigures | None = None,
        upstreams: HasStates | None = None,
        realised: Callable[[], Iterable[RealisedError]] | None = None,
    ) -> None:
        """Name the parts whose figures `refresh` shows. `realised` gives what is known of each certificate in use."""
        self._recorder = recorder or self._recorder
        self._upstreams = upstreams or self._upstreams
        self._realised = realised or self._realised

    def refresh(self) -> None:
        """Bring the figures of the watched parts up to date. Call it each second: where several workers share the metrics,
        a scrape reaches one of them only, and shows what the others last wrote."""
        if self._recorder is not None:
            self._figures.of_recorder(self._recorder.figures())
        if self._upstreams is not None:
            self._figures.of_upstreams(self._upstreams.states())
        for realised in self._realised() if self._realised is not None else ():
            self._figures.of_certificate(realised)
        self._figures.of_recorder({"dropped_log_lines": self._logs.n_dropped})

    def exposition(self, accept: str | None = None) -> tuple[bytes, str]:
        """The metrics of all workers in Prometheus' text format, or OpenMetrics where `accept` asks for it, and the content
        type."""
        self.refresh()
        return exposition(self._registry, self._folder, accept)

    def close(self) -> None:
        """Export the last spans and write the last log lines."""
        if self._spans is not None:
            self._spans.close()
        self._logs.close()


def open_telemetry(
    log: Literal["json", "text", "off"] = "json",
    *,
    tasks: Callable[[], Collection[str]] = tuple,
    aliases: Collection[str] = (),
    upstreams: Mapping[str, UpstreamSettings] | None = None,
    redact: Redactor | None = None,
    environ: Mapping[str, str] | None = None,
    descriptor: int = STDERR,
    span_exporter: SpanExporter | None = None,
) -> GatewayTelemetry:
    """Telemetry for one worker process.

    `tasks` gives the names of the tasks that may be labels (asked again when an unknown one comes); `aliases` ([models])
    and the upstreams' models may be labels, too. `redact` cleans free text in logs and, where OTEL_… asks for message
    content, in spans; without one, secrets are taken out and personal data is not. The metrics are shared with other
    workers where the environment of `prepare_multiprocess` is set. Raises MissingExtra or BadSettings where spans are asked
    for and cannot be sent.
    """
    environ = os.environ if environ is None else environ
    upstreams = upstreams or {}
    redact = redact or Redactor()
    names = (*aliases, *(model for settings in upstreams.values() for model in settings.models))
    # A bare * says nothing: every name fits it.
    models = KnownNames(lambda: [name for name in names if name.strip("*")])
    servers = {name: server_of(settings.base_url) for name, settings in upstreams.items()}
    # First what can fail: a worker that cannot start leaves no thread behind.
    spans = open_spans(environ, servers, models, redact, span_exporter)
    folder = multiprocess_folder(environ)
    registry = process_registry()
    # The files of all workers are read instead of the registry where there are several.
    metrics = build_metrics(registry if folder is None else None)
    known_tasks = KnownNames(tasks)
    calls = CallMetrics(metrics, known_tasks, models, KnownNames(lambda: tuple(upstreams or {})))
    logs = open_logs(log, partial(masked, redact=redact), descriptor)
    return GatewayTelemetry(registry, folder, calls, Figures(metrics, known_tasks), models, spans, logs)
