"""`otel`: OpenTelemetry spans with gen_ai.* attributes as JSONL: OTLP's JSON (resourceSpans) or one flat span a line.

The conventions have changed; read are, newest first: gen_ai.input.messages / gen_ai.output.messages /
gen_ai.system_instructions (on the span, or on its event gen_ai.client.inference.operation.details), the events
gen_ai.user.message … gen_ai.choice, the events gen_ai.content.prompt / .completion, the attributes
gen_ai.prompt.N.content / gen_ai.completion.N.content (OpenLLMetry), and OpenInference's
llm.input_messages.N.message.content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from metier.artefacts.traffic import Trace
from metier.sources.messages import answer_text, normal_messages, parameters
from metier.sources.outcomes import Flawed, Outcome, Rejected, Skipped
from metier.sources.traces import Context, content_id
from metier.sources.values import Warnings, elapsed_s, first, mapping, number, text, time_s, tokens

_NUMBERED = (
    (re.compile(r"gen_ai\.prompt\.(\d{1,6})\.(\w+)$"), re.compile(r"gen_ai\.completion\.(\d{1,6})\.(\w+)$")),
    (
        re.compile(r"llm\.input_messages\.(\d{1,6})\.message\.(\w+)$"),
        re.compile(r"llm\.output_messages\.(\d{1,6})\.message\.(\w+)$"),
    ),
)
_MESSAGE_EVENT = re.compile(r"gen_ai\.(system|user|assistant|tool)\.message$")
_NO_CALLS = frozenset({"embeddings", "execute_tool", "invoke_agent", "create_agent", "retrieval", "invoke_workflow"})
_GROUPS = ("gen_ai.conversation.id", "session.id", "user.id", "enduser.id", "customer.id")
_COSTS = ("gen_ai.usage.cost", "gen_ai.cost.total_cost", "llm.cost.total")
_PREFIX = "gen_ai.request."
_RENAMED = {"stop_sequences": "stop", "choice.count": "n"}
_STARTS = ("startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime", "timestamp", "Timestamp")
_ENDS = ("endTimeUnixNano", "end_time_unix_nano", "end_time", "endTime")
_NO_TEXT = "the span holds no prompt text; let the instrumentation capture message content"


def recognises(record: object) -> bool:
    """Whether a record is an OTLP export or a span with gen_ai attributes."""
    if not isinstance(record, dict):
        return False
    if "resourceSpans" in record or "scopeSpans" in record or "resource_spans" in record:
        return True
    return any(name.startswith(("gen_ai.", "llm.input_messages")) for name in _attributes(record))


def parse(record: object, context: Context) -> Iterable[Outcome]:
    """One OTLP export (any number of spans) or one span."""
    if not isinstance(record, dict):
        return (Rejected("not an object", f"expected a JSON object, received {type(record).__name__}"),)
    return [_span(span, context) for span in _spans(record)]


def _listed(record: Mapping[str, Any], *names: str) -> list[dict[str, Any]]:
    found = first(record, *names)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _spans(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "resourceSpans" in record or "resource_spans" in record:
        for resource in _listed(record, "resourceSpans", "resource_spans"):
            yield from _spans(
                {"scopeSpans": _listed(resource, "scopeSpans", "scope_spans", "instrumentationLibrarySpans")}
            )
    elif "scopeSpans" in record:
        for scope in _listed(record, "scopeSpans"):
            yield from _listed(scope, "spans")
    else:
        yield record


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes by dotted name, from OTLP's key-value list, a dictionary (nested or not), or the holder itself."""
    found = first(holder, "attributes", "Attributes", "SpanAttributes")
    if isinstance(found, str):
        found = _loaded(found)
    if isinstance(found, list):
        pairs = (item for item in found if isinstance(item, dict) and "key" in item)
        return {str(item["key"]): _any_value(item.get("value")) for item in pairs}
    if isinstance(found, dict):
        return _dotted(found)
    return {name: value for name, value in holder.items() if isinstance(name, str) and "." in name}


def _dotted(attributes: Mapping[str, Any]) -> dict[str, Any]:
    nested = attributes.get("gen_ai")
    if not isinstance(nested, dict):
        return dict(attributes)
    flat = {name: value for name, value in attributes.items() if name != "gen_ai"}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat |= {f"gen_ai.{name}.{inner}": item for inner, item in value.items()}
        else:
            flat[f"gen_ai.{name}"] = value
    return flat


def _any_value(value: object) -> Any:
    """OTLP's AnyValue as plain JSON."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    kind, inner = next(iter(value.items()))
    if kind == "arrayValue":
        return [_any_value(item) for item in _values(inner)]
    if kind == "kvlistValue":
        return {
            str(item.get("key")): _any_value(item.get("value")) for item in _values(inner) if isinstance(item, dict)
        }
    # OTLP's JSON writes 64-bit integers as strings.
    if kind == "intValue" and isinstance(inner, str) and inner.removeprefix("-").isdecimal() and len(inner) <= 20:
        return int(inner)
    return inner if kind in ("stringValue", "intValue", "doubleValue", "boolValue", "bytesValue") else value


def _values(holder: object) -> list[Any]:
    values = mapping(holder).get("values")
    return values if isinstance(values, list) else []


def _loaded(value: object) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def _span(span: dict[str, Any], context: Context) -> Outcome:
    attributes = _attributes(span)
    if not any(name.startswith(("gen_ai.", "llm.")) for name in attributes):
        return Skipped("otel: a span without gen_ai attributes")
    operation = attributes.get("gen_ai.operation.name")
    if isinstance(operation, str) and operation in _NO_CALLS:
        return Skipped(f"otel: {operation} is no model call")
    asked, answered = _said(span, attributes)
    if not asked:
        return Rejected("no messages", _NO_TEXT)
    messages = normal_messages(asked)
    if isinstance(messages, Rejected):
        return messages
    answer = answer_text(answered[0] if isinstance(answered, list) and answered else answered)
    if answer is None:
        failed = (
            mapping(span.get("status")).get("code") in (2, "STATUS_CODE_ERROR", "ERROR") or "error.type" in attributes
        )
        return Rejected("the call failed" if failed else "no answer", str(attributes.get("error.type", ""))[:200])
    warnings: Warnings = []
    start, end = time_s(first(span, *_STARTS), warnings), time_s(first(span, *_ENDS), warnings)
    model = text(first(attributes, "gen_ai.response.model", "gen_ai.request.model", "llm.model_name"))
    shaped = parameters(_request_parameters(attributes))
    group = text(first(attributes, *_GROUPS))
    trace = Trace(
        id=_id(span, attributes) or content_id(messages, shaped, answer, model, start, group),
        messages=messages,
        parameters=shaped,
        response=answer,
        model=model,
        time=start,
        input_tokens=_tokens(attributes, "input", "prompt", warnings),
        output_tokens=_tokens(attributes, "output", "completion", warnings),
        latency_s=_latency(span, start, end, warnings),
        cost_usd=number(first(attributes, *_COSTS), "cost_usd", warnings),
        # metier's own gateway says so where its specialist answered, which is no label to learn from.
        provenance="specialist" if attributes.get("metier.route") == "kept" else "teacher",
        group=group,
        dataset=context.dataset,
    )
    return Flawed(trace, tuple(warnings)) if warnings else trace


def _id(span: Mapping[str, Any], attributes: Mapping[str, Any]) -> str | None:
    holder = mapping(span.get("context")) or span
    trace_id = text(first(holder, "traceId", "trace_id", "TraceId"))
    span_id = text(first(holder, "spanId", "span_id", "SpanId"))
    if trace_id and span_id:
        return f"{trace_id}:{span_id}"
    # A span's id alone is unique within its trace only.
    return text(attributes.get("gen_ai.response.id"))


def _said(span: Mapping[str, Any], attributes: Mapping[str, Any]) -> tuple[Any, Any]:
    """What was asked and what was answered, in the newest form that the span holds."""
    events = [(str(event.get("name", "")), _event_body(event)) for event in _listed(span, "events", "Events")]
    for holder in attributes, *(body for name, body in events if name.endswith("operation.details")):
        asked = _loaded(holder.get("gen_ai.input.messages"))
        if asked:
            instructions = _loaded(holder.get("gen_ai.system_instructions"))
            return _instructed(instructions, asked), _loaded(holder.get("gen_ai.output.messages"))
    asked = [_event_message(found[1], body) for name, body in events if (found := _MESSAGE_EVENT.match(name))]
    if asked:
        return asked, [body.get("message", body) for name, body in events if name == "gen_ai.choice"]
    for name, body in events:
        if name == "gen_ai.content.prompt":
            replies = [other.get("gen_ai.completion") for kind, other in events if kind == "gen_ai.content.completion"]
            return _loaded(body.get("gen_ai.prompt")), _loaded(replies[0]) if replies else None
    for prompt, completion in _NUMBERED:
        asked = _numbered(attributes, prompt)
        if asked:
            return asked, _numbered(attributes, completion)
    return _loaded(attributes.get("gen_ai.prompt")), _loaded(attributes.get("gen_ai.completion"))


def _event_body(event: Mapping[str, Any]) -> dict[str, Any]:
    body = _any_value(event.get("body"))
    inner = {**_attributes(event), **(body if isinstance(body, dict) else {})}
    return {name: _loaded(value) if name != "content" else value for name, value in inner.items()}


def _event_message(role: str, body: Mapping[str, Any]) -> dict[str, Any]:
    message = {"role": body.get("role") or role, "content": first(body, "content", "gen_ai.event.content")}
    if body.get("tool_calls"):
        message["tool_calls"] = body["tool_calls"]
    return message


def _instructed(instructions: Any, asked: Any) -> Any:
    if not instructions:
        return asked
    rest = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
    return [{"role": "system", "content": instructions}, *rest]


def _numbered(attributes: Mapping[str, Any], pattern: re.Pattern[str]) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for name, value in attributes.items():
        match = pattern.match(name)
        if match:
            found.setdefault(int(match[1]), {})[match[2]] = _loaded(value) if match[2] == "tool_calls" else value
    return [{"role": "user", **found[place]} for place in sorted(found)]


def _request_parameters(attributes: Mapping[str, Any]) -> dict[str, Any]:
    found = {name.removeprefix(_PREFIX): value for name, value in attributes.items() if name.startswith(_PREFIX)}
    found = {_RENAMED.get(name, name): value for name, value in found.items()}
    if attributes.get("gen_ai.output.type") not in (None, "text"):
        found["response_format"] = attributes["gen_ai.output.type"]
    tools = _loaded(attributes.get("gen_ai.tool.definitions"))
    return found | ({"tools": tools} if tools else {})


def _tokens(attributes: Mapping[str, Any], new: str, old: str, warnings: Warnings) -> int | None:
    usage = first(attributes, f"gen_ai.usage.{new}_tokens", f"gen_ai.usage.{old}_tokens", f"llm.token_count.{old}")
    return tokens(usage, f"{new}_tokens", warnings)


def _latency(span: Mapping[str, Any], start: float | None, end: float | None, warnings: Warnings) -> float | None:
    spent = elapsed_s(start, end)
    if spent is not None:
        return spent
    milliseconds = number(first(span, "duration_ms", "durationMs"), "latency_s", warnings)
    return None if milliseconds is None else milliseconds / 1000.0
