"""A call's record, and telemetry that writes its log lines to a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metier.gateway.calls import AuditOutcome, Caller, CallRecord, Decision, Mode, Reason, Route
from metier.gateway.settings import UpstreamSettings
from metier.gateway.telemetry.opening import GatewayTelemetry, open_telemetry

UPSTREAMS = {
    "openai": UpstreamSettings(models=("gpt-4.1", "gpt-4o*")),
    "backup": UpstreamSettings(base_url="http://backup.example:8000/v1", models=("llama",)),
}
_KEPT = Decision(
    Route.KEPT,
    task="intents",
    mode=Mode.ROUTE,
    input="secret words of the client",
    label="refund",
    score=0.93,
    ood_score=0.1,
    threshold=0.8,
    ood_threshold=0.5,
    policy_id="policy-1",
    specialist_id="specialist-1",
)


@pytest.fixture
def audit_of() -> Callable[[CallRecord, bool | None], AuditOutcome]:
    """The outcome of the audit of a kept call; without an answer where it is not said whether it was wrong."""

    def make(record: CallRecord, is_wrong: bool | None) -> AuditOutcome:
        assert record.decision is not None
        answered = {"reference": "secret words of the frontier", "cost_usd": 0.5} if is_wrong is not None else {}
        return AuditOutcome(
            record.trace_id,
            record.time,
            record.caller,
            record.decision,
            model=record.model,
            upstream="openai",
            upstream_model="gpt-4.1",
            attempts=1,
            is_wrong=is_wrong,
            latency_s=0.8,
            error="upstream_timeout" if is_wrong is None else None,
            **answered,
        )

    return make


@pytest.fixture
def kept() -> Callable[..., CallRecord]:
    """A call that the specialist answered, with the given fields changed; `decision` may be a dict of changes."""

    def make(**changes: Any) -> CallRecord:
        record = CallRecord(
            trace_id="mtr-" + "0" * 32,
            endpoint="/v1/chat/completions",
            time=1_790_000_000.0,
            caller=Caller("key-1", "shop"),
            request={"messages": [{"role": "user", "content": "secret words of the client"}]},
            model="gpt-4.1",
            decision=_KEPT,
            status=200,
            response_id="chatcmpl-" + "0" * 32,
            response="refund",
            finish_reason="stop",
            input_tokens=12,
            output_tokens=2,
            cost_usd=0.0,
            saved_usd=0.25,
            latency_s=0.004,
            decide_s=0.0007,
        )
        return _changed(record, changes)

    return make


@pytest.fixture
def escalated(kept: Callable[..., CallRecord]) -> Callable[..., CallRecord]:
    """A call that the policy sent to the frontier model."""

    def make(**changes: Any) -> CallRecord:
        decision = replace(_KEPT, route=Route.ESCALATED, reason=Reason.LOW_SCORE, score=0.4)
        record = kept(
            decision=decision,
            upstream="openai",
            upstream_model="gpt-4.1-2025-04-14",
            attempts=1,
            is_stream=True,
            ttft_s=0.3,
            latency_s=1.7,
            cost_usd=0.5,
            saved_usd=None,
        )
        return _changed(record, changes)

    return make


def _changed(record: CallRecord, changes: dict[str, Any]) -> CallRecord:
    decision = changes.pop("decision", record.decision)
    if isinstance(decision, dict):
        assert record.decision is not None
        decision = replace(record.decision, **decision)
    return replace(record, decision=decision, **changes)


class Opened:
    """Telemetry with its log file; `samples` reads the metrics as Prometheus would."""

    def __init__(self, telemetry: GatewayTelemetry, log: Path) -> None:
        self.telemetry = telemetry
        self.log = log

    def call(self, *records: CallRecord) -> None:
        for record in records:
            self.telemetry.finished(record, self.telemetry.began(record, {}))

    def lines(self) -> list[str]:
        """The log lines; ends the telemetry."""
        self.telemetry.close()
        return self.log.read_text().splitlines()

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        from prometheus_client.parser import text_string_to_metric_families

        text = self.telemetry.exposition()[0].decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """The sum of the series of a name that have these labels; NaN where there is none."""
        found = [
            value
            for (key, have), value in self.samples().items()
            if key == name and labels.items() <= dict(have).items()
        ]
        return sum(found) if found else float("nan")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Opens telemetry with two upstreams and the tasks intents and spam; what is given replaces that."""
    made: list[GatewayTelemetry] = []
    files: list[int] = []

    def make(log: str = "json", **given: Any) -> Opened:
        path = tmp_path / f"stderr-{len(made)}.log"
        files.append(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        options = {
            "tasks": lambda: ("intents", "spam"),
            "aliases": ("support",),
            "upstreams": UPSTREAMS,
            "environ": {},
            "descriptor": files[-1],
        }
        made.append(open_telemetry(log, **{**options, **given}))  # type: ignore[arg-type]
        return Opened(made[-1], path)

    yield make
    for telemetry in made:
        telemetry.close()
    for descriptor in files:
        os.close(descriptor)
