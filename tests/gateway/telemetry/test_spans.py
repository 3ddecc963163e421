"""Spans by OpenTelemetry's conventions, through the SDK; metier's own importer reads them back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind, StatusCode

from metier.artefacts.traffic import Trace
from metier.errors import BadSettings
from metier.gateway.calls import CallRecord
from metier.gateway.redaction.redactor import Redactor
from metier.gateway.telemetry.attributes import Server, server_of
from metier.gateway.telemetry.spans import CAPTURE_VARIABLE, open_spans, wants_spans
from metier.sources.otel import parse, recognises
from metier.sources.traces import Context

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CAPTURED = {CAPTURE_VARIABLE: "true"}


@pytest.fixture
def spans_of(opened: Callable[..., Any]) -> Callable[..., list[Any]]:
    """The spans that the SDK exports for calls."""

    def make(
        *records: CallRecord, environ: dict[str, str] | None = None, headers: dict[str, str] | None = None, **given: Any
    ) -> list[Any]:
        exporter = InMemorySpanExporter()
        gateway = opened("off", span_exporter=exporter, environ=environ or {}, **given)
        for record in records:
            gateway.telemetry.finished(record, gateway.telemetry.began(record, headers or {}))
        gateway.telemetry.close()
        return list(exporter.get_finished_spans())

    return make


def test_an_escalated_call_becomes_a_client_span(
    spans_of: Callable[..., list[Any]], escalated: Callable[..., CallRecord]
) -> None:
    request = {"temperature": 0, "max_completion_tokens": 50, "top_p": 0.5, "stop": "END", "n": 2, "seed": 7,
               "response_format": {"type": "json_schema"}}  # fmt: skip
    (span,) = spans_of(escalated(request=request, attempts=2))
    assert span.name == "chat gpt-4.1"
    assert span.kind is SpanKind.CLIENT
    assert span.start_time == 1_790_000_000_000_000_000
    assert span.end_time - span.start_time == pytest.approx(1.7e9, abs=1e3)
    assert span.status.status_code is StatusCode.UNSET
    assert span.resource.attributes["service.name"] == "metier"
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4.1",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stream": True,
        "gen_ai.output.type": "json",
        "gen_ai.response.id": "chatcmpl-" + "0" * 32,
        "gen_ai.response.model": "gpt-4.1-2025-04-14",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.3,
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cost": 0.5,
        "server.address": "api.openai.com",
        "server.port": 443,
        "http.response.status_code": 200,
        "metier.trace_id": "mtr-" + "0" * 32,
        "metier.endpoint": "/v1/chat/completions",
        "metier.upstream": "openai",
        "metier.attempts": 2,
        "metier.route": "escalated",
        "metier.reason": "low_score",
        "metier.task": "intents",
        "metier.mode": "route",
        "metier.score": 0.4,
        "metier.threshold": 0.8,
        "metier.ood_score": 0.1,
        "metier.ood_threshold": 0.5,
        "metier.policy": "policy-1",
        "metier.specialist": "specialist-1",
    }


def test_the_names_are_those_of_the_conventions(
    spans_of: Callable[..., list[Any]], kept: Callable[..., CallRecord]
) -> None:
    request = {"messages": [{"role": "user", "content": "hello"}], "tools": [{"type": "function"}], "temperature": 1}
    (span,) = spans_of(kept(request=request, is_stream=True, ttft_s=0.1), environ=CAPTURED)
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    ours = {name for name in span.attributes if name.startswith("gen_ai.")}
    assert ours - known == {"gen_ai.usage.cost"}


def test_a_kept_call_was_answered_by_metier(
    spans_of: Callable[..., list[Any]], kept: Callable[..., CallRecord]
) -> None:
    (span,) = spans_of(kept())
    assert span.attributes["gen_ai.provider.name"] == "metier"
    assert span.attributes["metier.route"] == "kept"
    assert "server.address" not in span.attributes


def test_the_clients_span_is_the_parent(spans_of: Callable[..., list[Any]], kept: Callable[..., CallRecord]) -> None:
    (span,) = spans_of(kept(), headers={"traceparent": PARENT})
    assert f"{span.context.trace_id:032x}" == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"
    for bad in ("", "garbage", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ff" * 5_000):
        (span,) = spans_of(kept(), headers={"traceparent": bad})
        assert span.parent is None


def test_the_upstream_call_becomes_a_child(opened: Callable[..., Any], kept: Callable[..., CallRecord]) -> None:
    gateway = opened("off", span_exporter=InMemorySpanExporter())
    token = gateway.telemetry.began(kept(), {"traceparent": PARENT, "tracestate": "vendor=1"})
    headers = gateway.telemetry.headers_for(token)
    version, trace_id, span_id, flags = headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", "4bf92f3577b34da6a3ce929d0e0e4736", "01")
    assert span_id != "00f067aa0ba902b7"
    assert headers["tracestate"] == "vendor=1"
    assert opened("off").telemetry.headers_for(None) == {}


def test_failures_are_errors(spans_of: Callable[..., list[Any]], escalated: Callable[..., CallRecord]) -> None:
    broken, refused, hung_up = spans_of(
        escalated(status=502, error="upstream_error"), escalated(status=400), escalated(is_cancelled=True)
    )
    assert (broken.status.status_code, broken.attributes["error.type"]) == (StatusCode.ERROR, "upstream_error")
    assert (refused.status.status_code, refused.attributes["error.type"]) == (StatusCode.ERROR, "400")
    assert hung_up.status.status_code is StatusCode.UNSET
    assert hung_up.attributes["metier.cancelled"] is True


def test_span_names_are_few(spans_of: Callable[..., list[Any]], escalated: Callable[..., CallRecord]) -> None:
    unknown, embedding = spans_of(escalated(model="x\n" * 900), escalated(model=None, endpoint="/v1/embeddings"))
    assert unknown.name == "chat"
    assert unknown.attributes["gen_ai.request.model"] == "x" * 100
    assert embedding.name == "embeddings"
    assert embedding.attributes["gen_ai.operation.name"] == "embeddings"


def test_odd_requests_make_no_odd_spans(spans_of: Callable[..., list[Any]], kept: Callable[..., CallRecord]) -> None:
    request = {"temperature": "hot", "max_tokens": 2**70, "seed": True, "stop": [1, "a", None], "n": [], "top_p": {},
               "messages": [1, {"role": 3, "content": {"a": 1}}, {}], "tools": "none", "response_format": 5}  # fmt: skip
    (span,) = spans_of(kept(request=request), environ=CAPTURED)
    assert "gen_ai.request.temperature" not in span.attributes
    assert "gen_ai.request.max_tokens" not in span.attributes
    assert "gen_ai.request.seed" not in span.attributes
    assert span.attributes["gen_ai.request.stop_sequences"] == ("a",)
    assert json.loads(span.attributes["gen_ai.input.messages"])[1] == {"role": "user", "parts": []}


def test_what_was_said_is_left_out_unless_asked_for(
    spans_of: Callable[..., list[Any]], kept: Callable[..., CallRecord]
) -> None:
    for environ in {}, {CAPTURE_VARIABLE: "false"}, {CAPTURE_VARIABLE: "event_only"}:
        (span,) = spans_of(kept(), environ=environ)
        assert "secret words" not in span.to_json()
        assert not any("messages" in name for name in span.attributes)


def test_what_was_said_is_redacted(spans_of: Callable[..., list[Any]], kept: Callable[..., CallRecord]) -> None:
    call = {"id": "c1", "function": {"name": "look_up", "arguments": '{"who": ["my hunter2"]}'}}
    request = {
        "messages": [
            {"role": "system", "content": "hunter2 is the word"},
            {"role": "user", "content": [{"type": "text", "text": "say hunter2"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "found hunter2"},
        ],
        "tools": [{"type": "function", "function": {"name": "look_up", "description": "like hunter2"}}],
    }
    (span,) = spans_of(
        kept(request=request, response="hunter2"),
        environ=CAPTURED,
        redact=Redactor(lambda text: text.replace("hunter2", "[redacted]")),
    )
    assert "hunter2" not in span.to_json()
    assert json.loads(span.attributes["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "[redacted] is the word"}]},
        {"role": "user", "parts": [{"type": "text", "content": "say [redacted]"}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "name": "look_up", "arguments": {"who": ["my [redacted]"]}}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "found [redacted]"}]},
    ]
    assert json.loads(span.attributes["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "[redacted]"}], "finish_reason": "stop"}
    ]


def _read_back(span: Any) -> Trace:
    """The trace that `metier import` makes of a span as OTLP's JSON holds it."""
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    record = MessageToDict(encode_spans([span]))
    assert recognises(record)
    (trace,) = parse(record, Context(1, "test"))
    assert isinstance(trace, Trace), trace
    return trace


def test_the_importer_reads_spans_back(
    spans_of: Callable[..., list[Any]], escalated: Callable[..., CallRecord]
) -> None:
    messages = [{"role": "system", "content": "Answer with one word."}, {"role": "user", "content": "Where is it?"}]
    record = escalated(request={"messages": messages, "temperature": 0.5, "max_tokens": 9}, response="shipping")
    trace = _read_back(*spans_of(record, environ=CAPTURED))
    assert json.loads(trace.messages) == messages
    assert trace.response == "shipping"
    assert trace.model == "gpt-4.1-2025-04-14"
    assert (trace.input_tokens, trace.output_tokens, trace.cost_usd) == (12, 2, 0.5)
    assert trace.time == 1_790_000_000.0
    assert trace.latency_s == pytest.approx(1.7, abs=1e-6)
    assert json.loads(trace.parameters or "") == {"temperature": 0.5, "max_tokens": 9}
    assert trace.provenance == "teacher"


def test_a_specialists_answer_is_not_read_back_as_a_label(
    spans_of: Callable[..., list[Any]], kept: Callable[..., CallRecord]
) -> None:
    trace = _read_back(*spans_of(kept(), environ=CAPTURED))
    assert (trace.response, trace.provenance) == ("refund", "specialist")


def test_the_importer_reads_tool_calls_back(
    spans_of: Callable[..., list[Any]], escalated: Callable[..., CallRecord]
) -> None:
    response = '{"name":"route","arguments":{"queue":"billing"}}'
    record = escalated(request={"messages": [{"role": "user", "content": "x"}]}, response=response,
                       finish_reason="tool_calls")  # fmt: skip
    (span,) = spans_of(record, environ=CAPTURED)
    assert json.loads(span.attributes["gen_ai.output.messages"])[0]["parts"][0]["type"] == "tool_call"
    assert _read_back(span).response == response


def test_the_responses_api_is_read_back(
    spans_of: Callable[..., list[Any]], escalated: Callable[..., CallRecord]
) -> None:
    request = {"input": "Where is it?", "instructions": "One word."}
    record = escalated(endpoint="/v1/responses", request=request, response="here")
    trace = _read_back(*spans_of(record, environ=CAPTURED))
    assert [message["role"] for message in json.loads(trace.messages)] == ["system", "user"]
    assert "Where is it?" in trace.messages
    assert trace.response == "here"


def test_when_spans_are_wanted() -> None:
    assert not wants_spans({})
    assert wants_spans({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"})
    assert wants_spans({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/v1/traces"})
    assert wants_spans({"OTEL_TRACES_EXPORTER": "console"})
    assert not wants_spans({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"})
    assert not wants_spans({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"})


def test_an_exporter_that_is_not_installed_is_named(opened: Callable[..., Any]) -> None:
    with pytest.raises(BadSettings, match="OTEL_TRACES_EXPORTER asks for 'zipkin'"):
        opened(environ={"OTEL_TRACES_EXPORTER": "zipkin"})
    with pytest.raises(BadSettings, match="otlp_proto_grpc"):
        opened(environ={"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


def test_without_the_extra_the_start_says_how_to_get_it() -> None:
    program = (
        "import sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "from metier.errors import MissingExtra\n"
        "from metier.gateway.telemetry.opening import open_telemetry\n"
        "open_telemetry('off', environ={}).close()\n"
        "try:\n    open_telemetry(environ={'OTEL_TRACES_EXPORTER': 'otlp'})\n"
        "except MissingExtra as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "pip install 'metier[otel]'" in done.stdout


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append((self.path, body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def test_spans_reach_a_collector(monkeypatch: pytest.MonkeyPatch, opened: Callable[..., Any], kept: Any) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    server.received = []  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "OTEL_SERVICE_NAME": "shop-gateway",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        }
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        gateway = opened("off", environ=environ)
        gateway.call(kept())
        gateway.telemetry.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
    ((path, body),) = server.received  # type: ignore[attr-defined]
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert path == "/v1/traces"
    assert {item.key: item.value.string_value for item in resource.resource.attributes}[
        "service.name"
    ] == "shop-gateway"
    assert resource.scope_spans[0].spans[0].name == "chat gpt-4.1"


def test_spans_on_the_console_leave_stdout_alone(
    capsys: pytest.CaptureFixture[str], opened: Callable[..., Any], kept: Callable[..., CallRecord]
) -> None:
    gateway = opened("off", environ={"OTEL_TRACES_EXPORTER": "console"})
    gateway.call(kept())
    gateway.telemetry.close()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert json.loads(shown.err)["name"] == "chat gpt-4.1"


def test_no_environment_no_spans() -> None:
    from metier.gateway.telemetry.labels import KnownNames

    assert open_spans({}, {}, KnownNames(tuple), Redactor()) is None


@pytest.mark.parametrize(
    ("base_url", "server"),
    [
        ("https://api.openai.com/v1", Server("openai", "api.openai.com", 443)),
        ("https://eu.openai.azure.com/openai/v1", Server("azure.ai.openai", "eu.openai.azure.com", 443)),
        ("https://api.mistral.ai/v1", Server("mistral_ai", "api.mistral.ai", 443)),
        ("https://api.x.ai/v1", Server("x_ai", "api.x.ai", 443)),
        (
            "https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1",
            Server("aws.bedrock", "bedrock-runtime.us-west-2.amazonaws.com", 443),
        ),
        ("http://user:hunter2@127.0.0.1:8000/v1", Server("openai", "127.0.0.1", 8000)),
        ("http://notopenai.azure.com.evil.example/v1", Server("openai", "notopenai.azure.com.evil.example", 80)),
    ],
)
def test_where_an_upstream_is(base_url: str, server: Server) -> None:
    assert server_of(base_url) == server
