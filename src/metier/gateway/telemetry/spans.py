"""OpenTelemetry spans: one for each call, through the SDK, where the standard environment variables ask for them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from metier.errors import BadSettings, MissingExtra
from metier.gateway.calls import CallRecord
from metier.gateway.redaction.redactor import Redactor
from metier.gateway.telemetry.attributes import Server, attributes_of, error_type, operation_of
from metier.gateway.telemetry.contents import content_attributes
from metier.gateway.telemetry.labels import OTHER, KnownNames, endpoint_label
from metier.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

CAPTURE_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
# What the variable of the conventions may say where content shall stand on the span.
_CAPTURES = frozenset({"true", "span_only", "span_and_event"})
_MAX_SPAN_NAME_MODEL = 100


class Spans:
    """Makes a span of each call. `servers` says where each upstream is; `redactor` cleans what was said, where captured."""

    def __init__(
        self,
        provider: TracerProvider,
        servers: Mapping[str, Server],
        models: KnownNames,
        *,
        captures_content: bool,
        redactor: Redactor,
    ) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("metier.gateway", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._servers = servers
        self._models = models
        self._captures_content = captures_content
        self._redactor = redactor

    def began(self, record: CallRecord, headers: Mapping[str, str]) -> Span:
        """Start the span of a call, as a child of the client's where its headers (lower-case names) hold a traceparent."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        parent = self._propagator.extract(headers, context=Context()) if "traceparent" in headers else Context()
        name = operation_of(endpoint_label(record.endpoint))
        return self._tracer.start_span(name, context=parent, kind=SpanKind.CLIENT, start_time=round(record.time * 1e9))

    def finished(self, record: CallRecord, span: Span) -> None:
        """End a call's span with all that is known of the call."""
        from opentelemetry.trace import Status, StatusCode

        if span.is_recording():
            operation = operation_of(endpoint_label(record.endpoint))
            model = self._models.label(record.model)
            if record.model and model != OTHER:
                # Span names shall be few, so a model that nobody configured is an attribute only.
                span.update_name(f"{operation} {record.model[:_MAX_SPAN_NAME_MODEL]}")
            span.set_attributes(attributes_of(record, operation, self._servers.get(record.upstream or "")))
            if self._captures_content:
                span.set_attributes(content_attributes(record, self._redactor))
            if error := error_type(record):
                span.set_status(Status(StatusCode.ERROR, error))
        # From the monotonic clock, so that a clock set anew in between gives no negative duration.
        ended = None if record.latency_s is None else round((record.time + record.latency_s) * 1e9)
        span.end(end_time=ended)

    def headers(self, span: Span) -> dict[str, str]:
        """traceparent and tracestate for the upstream call, so that its own spans become children of this one."""
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context=set_span_in_context(span))
        return carrier

    def close(self) -> None:
        """Export what is left, and stop."""
        self._provider.shutdown()


def wants_spans(environ: Mapping[str, str]) -> bool:
    """Whether the standard variables ask for spans: an exporter is named, or an OTLP endpoint."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporters:
        return exporters != "none"
    return any(environ.get(name) for name in _ENDPOINTS)


def open_spans(
    environ: Mapping[str, str],
    servers: Mapping[str, Server],
    models: KnownNames,
    redactor: Redactor,
    exporter: SpanExporter | None = None,
) -> Spans | None:
    """Spans as the standard environment configures them, or None. An `exporter` given is used instead of those named.

    The SDK itself reads OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_BSP_* and
    OTEL_EXPORTER_OTLP_*. Raises MissingExtra where spans are asked for and the 'otel' extra is not installed, BadSettings
    where OTEL_TRACES_EXPORTER names an exporter that is not installed.
    """
    if exporter is None and not wants_spans(environ):
        return None
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingExtra("otel", "Sending OpenTelemetry spans (an OTEL_ variable asks for them)") from error
    exporters = [exporter] if exporter is not None else [_exporter(name) for name in _exporter_names(environ)]
    named: dict[str, Any] = {} if _is_named(environ) else {"service.name": "metier"}
    provider = TracerProvider(resource=Resource.create({**named, "service.version": __version__}))
    for each in exporters:
        provider.add_span_processor(BatchSpanProcessor(each))
    captures = environ.get(CAPTURE_VARIABLE, "").strip().lower() in _CAPTURES
    return Spans(provider, servers, models, captures_content=captures, redactor=redactor)


def _is_named(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("OTEL_SERVICE_NAME")) or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")


def _exporter_names(environ: Mapping[str, str]) -> list[str]:
    """Names of the SDK's entry points; plain "otlp" is over HTTP, unless the protocol variable says gRPC."""
    names = [name.strip() for name in (environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(",")]
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), "http/protobuf")
    otlp = "otlp_proto_grpc" if protocol.strip().lower() == "grpc" else "otlp_proto_http"
    return [otlp if name == "otlp" else name for name in names if name and name != "none"]


def _exporter(name: str) -> SpanExporter:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        # A worker's stdout belongs to its supervisor, which reads no spans there.
        return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: span.to_json(indent=None) + "\n")
    found = next(iter(entry_points(group="opentelemetry_traces_exporter", name=name)), None)
    if found is None:
        if name == "otlp_proto_http":
            raise MissingExtra("otel", "Sending OpenTelemetry spans over HTTP")
        raise BadSettings(
            f"OTEL_TRACES_EXPORTER asks for {name!r}, which is not installed; metier[otel] brings 'otlp' (over "
            "http/protobuf) and 'console'."
        )
    exporter: SpanExporter = found.load()()
    return exporter
