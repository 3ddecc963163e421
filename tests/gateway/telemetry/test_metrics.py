"""Every metric is moved by the record that should move it, and no client can make the number of series grow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from metier.gateway.calls import AuditOutcome, CallRecord, Decision, Reason, Route
from metier.gateway.telemetry.catalogue import METRICS
from metier.gateway.telemetry.figures import RealisedError


class FixedFigures:
    """A recorder and upstreams that say what they are told to."""

    def __init__(self, **figures: float) -> None:
        self.given = figures
        self.state = {"openai": "closed", "backup": "open"}

    def figures(self) -> dict[str, float]:
        return self.given

    def states(self) -> dict[str, str]:
        return self.state


def test_a_kept_call_moves_its_metrics(opened: Callable[..., Any], kept: Callable[..., CallRecord]) -> None:
    gateway = opened()
    gateway.call(kept())
    labels = {"task": "intents", "route": "kept"}
    assert (
        gateway.value("metier_requests_total", endpoint="chat", reason="none", status="200", model="gpt-4.1", **labels)
        == 1
    )
    assert gateway.value("metier_recognised_requests_total", task="intents") == 1
    assert gateway.value("metier_kept_requests_total", task="intents") == 1
    assert gateway.value("metier_saved_usd_total", task="intents", model="gpt-4.1") == 0.25
    assert gateway.value("metier_tokens_total", direction="input", **labels) == 12
    assert gateway.value("metier_tokens_total", direction="output", **labels) == 2
    assert gateway.value("metier_cost_usd_total", **labels) == 0
    assert gateway.value("metier_request_duration_seconds_count", endpoint="chat", route="kept") == 1
    assert gateway.value("metier_request_duration_seconds_sum", route="kept") == 0.004
    assert gateway.value("metier_request_duration_seconds_bucket", route="kept", le="0.0025") == 0
    assert gateway.value("metier_request_duration_seconds_bucket", route="kept", le="0.005") == 1
    assert gateway.value("metier_specialist_duration_seconds_sum", task="intents") == 0.0007
    assert gateway.value("metier_time_to_first_token_seconds_count", route="kept") == 0
    assert math.isnan(gateway.value("metier_escalations_total"))
    assert math.isnan(gateway.value("metier_upstream_attempts_total"))
    assert gateway.value("metier_requests_in_flight") == 0


def test_an_escalated_stream_moves_its_metrics(
    opened: Callable[..., Any], escalated: Callable[..., CallRecord]
) -> None:
    gateway = opened()
    gateway.call(escalated(attempts=3), escalated(decision={"reason": Reason.REVOKED}))
    assert gateway.value("metier_escalations_total", task="intents", reason="low_score") == 1
    assert gateway.value("metier_escalations_total", task="intents", reason="certificate_revoked") == 1
    assert gateway.value("metier_recognised_requests_total", task="intents") == 2
    assert math.isnan(gateway.value("metier_kept_requests_total"))
    assert gateway.value("metier_cost_usd_total", task="intents", route="escalated", model="gpt-4.1") == 1.0
    assert gateway.value("metier_time_to_first_token_seconds_sum", route="escalated") == pytest.approx(0.6)
    assert gateway.value("metier_upstream_attempts_total", upstream="openai") == 4
    assert math.isnan(gateway.value("metier_upstream_errors_total"))


def test_audits_are_counted_by_outcome(
    opened: Callable[..., Any], kept: Callable[..., CallRecord], audit_of: Callable[..., AuditOutcome]
) -> None:
    gateway = opened()
    for wrong in (True, False, False, None):
        gateway.telemetry.audited(audit_of(kept(), wrong))
    outcomes = {
        name: gateway.value("metier_audits_total", outcome=name) for name in ("same", "different", "unanswered")
    }
    assert outcomes == {"same": 2, "different": 1, "unanswered": 1}
    assert gateway.value("metier_cost_usd_total", task="intents", route="kept") == 1.5
    assert gateway.value("metier_upstream_attempts_total", upstream="openai") == 4
    assert gateway.value("metier_upstream_errors_total", upstream="openai", code="upstream_timeout") == 1
    # The calls themselves were counted when they finished.
    assert math.isnan(gateway.value("metier_requests_total"))


def test_what_a_specialist_would_have_said_is_counted(
    opened: Callable[..., Any], escalated: Callable[..., CallRecord]
) -> None:
    gateway = opened()
    shadow = {"route": Route.SHADOW, "reason": Reason.SHADOW, "label": "refund"}
    gateway.call(
        *(escalated(decision=shadow, is_wrong=wrong) for wrong in (False, False, True, None)),
        escalated(decision={**shadow, "reason": Reason.LOW_SCORE}, is_wrong=True),
        escalated(decision={**shadow, "reason": Reason.IMAGE, "label": None}),
    )
    found = {
        (verdict, outcome): gateway.value("metier_shadow_answers_total", verdict=verdict, outcome=outcome)
        for verdict, outcome in (
            ("kept", "same"),
            ("kept", "different"),
            ("kept", "unanswered"),
            ("escalated", "different"),
        )
    }
    assert list(found.values()) == [2, 1, 1, 1]
    assert gateway.value("metier_shadow_answers_total") == 5


def test_failures_and_hang_ups_are_counted(opened: Callable[..., Any], escalated: Callable[..., CallRecord]) -> None:
    gateway = opened()
    gateway.call(
        escalated(status=502, error="upstream_error"),
        escalated(status=429),
        escalated(status=0, is_cancelled=True),
        escalated(decision=None, upstream=None, status=401, error="invalid_api_key"),
    )
    assert gateway.value("metier_errors_total", endpoint="chat", code="upstream_error") == 1
    assert gateway.value("metier_errors_total", endpoint="chat", code="invalid_api_key") == 1
    assert gateway.value("metier_upstream_errors_total", upstream="openai", code="upstream_error") == 1
    assert gateway.value("metier_upstream_errors_total", upstream="openai", code="429") == 1
    assert gateway.value("metier_upstream_errors_total") == 2
    assert gateway.value("metier_cancelled_requests_total", endpoint="chat") == 1
    assert gateway.value("metier_requests_total", status="499") == 1
    assert gateway.value("metier_requests_total", route="none", task="none", status="401") == 1


def test_calls_under_way_are_shown(opened: Callable[..., Any], kept: Callable[..., CallRecord]) -> None:
    gateway = opened()
    record = kept()
    tokens = [gateway.telemetry.began(record, {}) for _ in range(3)]
    assert gateway.value("metier_requests_in_flight") == 3
    gateway.telemetry.finished(record, tokens[0])
    assert gateway.value("metier_requests_in_flight") == 2


def test_figures_of_the_recorder_and_the_upstreams_are_shown(opened: Callable[..., Any]) -> None:
    gateway = opened()
    parts = FixedFigures(queue_depth=7, spilled_traces=5, spilled_bytes=900, dropped_traces=2, written_traces=10)
    gateway.telemetry.watch(recorder=parts, upstreams=parts)
    assert gateway.value("metier_queue_depth") == 7
    parts.given |= {"queue_depth": 0, "dropped_traces": 3, "written_traces": 40}
    parts.state = {"openai": "half-open", "backup": "closed"}
    assert gateway.value("metier_queue_depth") == 0
    assert gateway.value("metier_spilled_traces") == 5
    assert gateway.value("metier_spilled_bytes") == 900
    assert gateway.value("metier_dropped_traces_total") == 3
    assert gateway.value("metier_written_traces_total") == 40
    states = {
        state: gateway.value("metier_upstream_state", upstream="openai", state=state)
        for state in ("closed", "half-open", "open")
    }
    assert states == {"closed": 0, "half-open": 1, "open": 0}
    assert gateway.value("metier_upstream_state", upstream="backup", state="closed") == 1


def test_what_audits_say_of_a_certificate_is_shown(opened: Callable[..., Any]) -> None:
    gateway = opened()
    found = [RealisedError("intents", 0.08, 0.05, 31.0, True)]
    gateway.telemetry.watch(realised=lambda: found)
    assert gateway.value("metier_realised_error", task="intents") == 0.08
    assert gateway.value("metier_allowed_error", task="intents") == 0.05
    assert gateway.value("metier_e_value", task="intents") == 31.0
    assert gateway.value("metier_certificate_revoked", task="intents") == 1
    found[0] = RealisedError("intents", float("nan"), 0.05, 1.0, False)
    assert gateway.value("metier_certificate_revoked", task="intents") == 0
    assert math.isnan(gateway.value("metier_realised_error", task="intents"))


def test_every_metric_of_the_catalogue_is_in_the_registry_with_its_labels(
    opened: Callable[..., Any],
    kept: Callable[..., CallRecord],
    escalated: Callable[..., CallRecord],
    audit_of: Callable[..., AuditOutcome],
) -> None:
    gateway = opened()
    gateway.telemetry.audited(audit_of(kept(), True))
    gateway.call(escalated(decision={"route": Route.SHADOW, "label": "refund"}))
    parts = FixedFigures()
    gateway.telemetry.watch(parts, parts, lambda: [RealisedError("spam", 0.0, 0.1, 1.0, False)])
    gateway.call(kept(decision={"is_audited": True}), escalated(status=500, error="upstream_error", is_cancelled=True))
    suffix = {"counter": "", "gauge": "", "histogram": "_count"}
    seen = {name: {label for label, _ in labels} for name, labels in gateway.samples()}
    for metric in METRICS:
        assert seen[metric.name + suffix[metric.kind]] == set(metric.labels), metric.name
    assert {name for name in seen if name.startswith("metier_")} == {
        metric.name + end
        for metric in METRICS
        for end in (("_count", "_sum", "_bucket") if metric.kind == "histogram" else ("",))
    }


def test_clients_cannot_make_the_number_of_series_grow(
    opened: Callable[..., Any], escalated: Callable[..., CallRecord]
) -> None:
    gateway = opened("off")

    def flood(start: int) -> None:
        for n in range(start, start + 2_000):
            gateway.call(
                escalated(
                    model=f"model-{n}",
                    endpoint=f"/v1/{n}",
                    error=f"code_{n}",
                    upstream=f"upstream-{n}",
                    status=200 + n % 400,
                    decision={"task": f"task-{n}"},
                )
            )

    flood(0)
    before = len(gateway.samples())
    flood(2_000)
    assert len(gateway.samples()) == before
    assert gateway.value("metier_requests_total", model="other", endpoint="other", task="other") == 4_000
    assert before < 1_000


def test_models_are_shown_by_their_configured_names(
    opened: Callable[..., Any], escalated: Callable[..., CallRecord]
) -> None:
    gateway = opened()
    for model in ("gpt-4.1", "support", "gpt-4o-mini", "gpt-4o-2024-08-06", "llama", "never-heard-of", None):
        gateway.call(escalated(model=model))
    shown = {
        dict(labels)["model"]: value
        for (name, labels), value in gateway.samples().items()
        if name == "metier_requests_total"
    }
    assert shown == {"gpt-4.1": 1, "support": 1, "gpt-4o*": 2, "llama": 1, "other": 1, "none": 1}


def test_a_task_promoted_later_becomes_a_label(opened: Callable[..., Any], kept: Callable[..., CallRecord]) -> None:
    from metier.gateway.telemetry.labels import KnownNames

    names, now = ["intents"], [0.0]
    known = KnownNames(lambda: names, clock=lambda: now[0])
    names.append("spam")
    assert known.label("spam") == "other"  # asked again once a second at most
    now[0] = 1.5
    assert known.label("spam") == "spam"
    assert known.label(None) == "none"


def test_calls_that_no_task_was_seen_in_are_passed(
    opened: Callable[..., Any], escalated: Callable[..., CallRecord]
) -> None:
    gateway = opened()
    gateway.call(
        escalated(decision=Decision(Route.PASSED, Reason.NOT_RECOGNISED)),
        escalated(decision=None, endpoint="/v1/embeddings"),
    )
    assert gateway.value("metier_requests_total", route="passed", task="none", reason="not_recognised") == 1
    assert gateway.value("metier_requests_total", route="passed", endpoint="embeddings") == 1
    assert math.isnan(gateway.value("metier_recognised_requests_total"))


def test_scrapers_get_the_format_they_ask_for(opened: Callable[..., Any], kept: Callable[..., CallRecord]) -> None:
    gateway = opened()
    gateway.call(kept())
    text, plain = gateway.telemetry.exposition("text/html, */*")
    assert plain.startswith("text/plain; version=0.0.4")
    assert b"# TYPE metier_requests_total counter" in text
    text, modern = gateway.telemetry.exposition("application/openmetrics-text; version=1.0.0; q=0.9, text/plain; q=0.5")
    assert modern.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"# EOF\n")
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    assert {family.name for family in text_string_to_metric_families(text.decode())} >= {"metier_requests"}
