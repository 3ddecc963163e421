"""docs/telemetry.md names every metric, log field and span attribute that there is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from metier.gateway.calls import AuditOutcome, CallRecord
from metier.gateway.telemetry.catalogue import METRICS
from metier.gateway.telemetry.lines import audit_fields, call_fields
from metier.gateway.telemetry.spans import CAPTURE_VARIABLE


@pytest.fixture(scope="module")
def page() -> str:
    return (Path(__file__).parents[3] / "docs" / "telemetry.md").read_text(encoding="utf-8")


def test_the_table_of_metrics_is_that_of_the_catalogue(page: str) -> None:
    rows = [
        f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |"
        for metric in METRICS
    ]
    table = page.partition("| metric | kind | labels | meaning |\n|---|---|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == rows


def test_every_field_of_a_line_is_explained(
    page: str,
    escalated: Callable[..., CallRecord],
    kept: Callable[..., CallRecord],
    audit_of: Callable[..., AuditOutcome],
) -> None:
    full = {"error": "upstream_error", "is_cancelled": True, "attempts": 2}
    fields = call_fields(escalated(**full)) | call_fields(kept(is_wrong=True, decision={"is_audited": True}))
    fields |= audit_fields(audit_of(kept(), True))
    section = page.partition("## Log lines")[2].partition("\n## ")[0]
    explained = set(re.findall(r"`([a-z_]+)`", section))
    assert {*fields, "time", "level", "event"} - explained == set()


def test_every_attribute_of_a_span_is_named(
    page: str, opened: Callable[..., Any], escalated: Callable[..., CallRecord], kept: Callable[..., CallRecord]
) -> None:
    exporter = InMemorySpanExporter()
    gateway = opened("off", span_exporter=exporter, environ={CAPTURE_VARIABLE: "true"})
    request = {"messages": [{"role": "user", "content": "x"}], "instructions": "y", "tools": [{}], "temperature": 1,
               "top_p": 1, "frequency_penalty": 1, "presence_penalty": 1, "seed": 1, "max_tokens": 1, "n": 2,
               "stop": "z", "response_format": {"type": "json_object"}}  # fmt: skip
    gateway.call(
        escalated(request=request, error="upstream_error", is_cancelled=True),
        kept(decision={"is_audited": True}, is_wrong=True),
    )
    gateway.telemetry.close()
    names = {name for span in exporter.get_finished_spans() for name in span.attributes}
    assert {name for name in names if f"`{name}`" not in page} == set()
