"""Attributes of a call's span: OpenTelemetry's conventions for generative AI (gen_ai.*), metier.* where they have none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from metier.gateway.calls import CallRecord, Decision, Route

# opentelemetry-semantic-conventions: gen_ai.operation.name. OpenAI's Responses API counts as chat.
_OPERATIONS = {"chat": "chat", "responses": "chat", "embeddings": "embeddings"}
# Hosts by the gen_ai.provider.name of the conventions; any other OpenAI-compatible server is "openai", as they ask.
_PROVIDERS = (
    (re.compile(r"(^|\.)openai\.azure\.com$"), "azure.ai.openai"),
    (re.compile(r"(^|\.)inference\.ai\.azure\.com$"), "azure.ai.inference"),
    (re.compile(r"(^|\.)anthropic\.com$"), "anthropic"),
    (re.compile(r"(^|\.)generativelanguage\.googleapis\.com$"), "gcp.gemini"),
    (re.compile(r"(^|[-.])aiplatform\.googleapis\.com$"), "gcp.vertex_ai"),
    (re.compile(r"(^|\.)bedrock-runtime\..*amazonaws\.com$"), "aws.bedrock"),
    (re.compile(r"(^|\.)mistral\.ai$"), "mistral_ai"),
    (re.compile(r"(^|\.)groq\.com$"), "groq"),
    (re.compile(r"(^|\.)deepseek\.com$"), "deepseek"),
    (re.compile(r"(^|\.)x\.ai$"), "x_ai"),
    (re.compile(r"(^|\.)perplexity\.ai$"), "perplexity"),
    (re.compile(r"(^|\.)cohere\.(ai|com)$"), "cohere"),
    (re.compile(r"(^|\.)ml\.cloud\.ibm\.com$"), "ibm.watsonx.ai"),
)
_NUMBERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}
_INTEGERS = {
    "seed": "gen_ai.request.seed",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
}
_JSON_FORMATS = ("json_object", "json_schema")
_BAD_STATUS = 400
_MAX_NAME_CHARACTERS = 200
# OTLP holds integers of 64 bits.
_MAX_INTEGER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Server:
    """Where an upstream is: gen_ai.provider.name, server.address, server.port."""

    provider: str
    address: str | None
    port: int | None


def server_of(base_url: str) -> Server:
    """The provider and address in an upstream's base_url; user names and passwords in it are left behind."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    provider = next((name for pattern, name in _PROVIDERS if pattern.search(host)), "openai")
    return Server(provider, host or None, parts.port or {"https": 443, "http": 80}.get(parts.scheme))


def operation_of(endpoint: str) -> str:
    """gen_ai.operation.name of an endpoint: chat or embeddings."""
    return _OPERATIONS.get(endpoint, endpoint)


def attributes_of(record: CallRecord, operation: str, server: Server | None) -> dict[str, Any]:
    """All attributes of a finished call but for what was said; those without a value are left out."""
    is_kept = record.decision is not None and record.decision.route is Route.KEPT
    found: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "metier" if is_kept else server.provider if server else "openai",
        "gen_ai.request.model": name_value(record.model),
        "gen_ai.response.id": record.response_id,
        "gen_ai.response.model": None if is_kept else name_value(record.upstream_model),
        "gen_ai.response.finish_reasons": (record.finish_reason,) if record.finish_reason else None,
        "gen_ai.response.time_to_first_chunk": record.ttft_s,
        "gen_ai.usage.input_tokens": record.input_tokens,
        "gen_ai.usage.output_tokens": record.output_tokens,
        # Not of the conventions, but what several instrumentations write and `metier import` reads.
        "gen_ai.usage.cost": record.cost_usd,
        "server.address": server.address if server else None,
        "server.port": server.port if server else None,
        "http.response.status_code": record.status or None,
        "error.type": error_type(record),
        "metier.trace_id": record.trace_id,
        "metier.endpoint": record.endpoint,
        "metier.upstream": record.upstream,
        "metier.attempts": record.attempts or None,
        "metier.saved_usd": record.saved_usd,
        "metier.cancelled": record.is_cancelled or None,
        "metier.shadow.wrong": record.is_wrong,
        **_request(record.request, record.is_stream),
        **(_decision(record.decision) if record.decision else {}),
    }
    return {name: value for name, value in found.items() if value is not None}


def error_type(record: CallRecord) -> str | None:
    """error.type: the code of the error the client got, or the HTTP status; None where the call went well."""
    if record.error:
        return name_value(record.error)
    return str(record.status) if record.status >= _BAD_STATUS else None


def name_value(text: str | None) -> str | None:
    """A name a client or an upstream gave, printable and cut to a sane length."""
    if text is None:
        return None
    return "".join(c for c in text[:_MAX_NAME_CHARACTERS] if c.isprintable())


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "metier.route": decision.route.value,
        "metier.reason": decision.reason.value if decision.reason else None,
        "metier.task": decision.task,
        "metier.mode": decision.mode.value if decision.mode else None,
        "metier.score": decision.score,
        "metier.threshold": decision.threshold,
        "metier.ood_score": decision.ood_score,
        "metier.ood_threshold": decision.ood_threshold,
        "metier.policy": decision.policy_id,
        "metier.specialist": decision.specialist_id,
        "metier.audited": decision.is_audited or None,
    }


def _request(request: Mapping[str, Any], is_stream: bool) -> dict[str, Any]:
    """gen_ai.request.*: only values of the type the conventions give; clients send anything."""
    found: dict[str, Any] = {"gen_ai.request.stream": True} if is_stream else {}
    for name, attribute in _NUMBERS.items():
        value = request.get(name)
        if isinstance(value, float) or _is_integer(value):
            found[attribute] = float(value or 0.0)
    for name, attribute in _INTEGERS.items():
        if _is_integer(value := request.get(name)):
            found[attribute] = value
    if _is_integer(n := request.get("n")) and n != 1:
        found["gen_ai.request.choice.count"] = n
    if stops := _stops(request.get("stop")):
        found["gen_ai.request.stop_sequences"] = stops
    wanted = request.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") in _JSON_FORMATS:
        found["gen_ai.output.type"] = "json"
    return found


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_INTEGER


def _stops(stop: object) -> tuple[str, ...]:
    listed = stop if isinstance(stop, list) else [stop]
    return tuple(item[:_MAX_NAME_CHARACTERS] for item in listed[:16] if isinstance(item, str))
