"""Every metric of the gateway, as data: the registry, the table in docs/telemetry.md and the dashboard's test read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
# How prometheus_client joins a gauge's values of several worker processes; "live": a worker that has ended is forgotten.
Mode = Literal["livesum", "livemax", "livemostrecent"]

# A kept answer takes about a millisecond, a long answer of a frontier model minutes ([serve] timeout_s is 600).
LATENCY_BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0),
)
TTFT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
SPECIALIST_BUCKETS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: `name` as Prometheus shows it (with `_total` for a counter), help text, label names."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    mode: Mode = "livesum"


METRICS = (
    Metric(
        "metier_requests_total",
        "counter",
        "Finished calls.",
        ("endpoint", "task", "route", "reason", "status", "model"),
    ),
    Metric(
        "metier_request_duration_seconds",
        "histogram",
        "Seconds from a call's arrival to the end of its answer.",
        ("endpoint", "route"),
        LATENCY_BUCKETS_S,
    ),
    Metric(
        "metier_time_to_first_token_seconds",
        "histogram",
        "Seconds from a streamed call's arrival to the first token of its answer.",
        ("endpoint", "route"),
        TTFT_BUCKETS_S,
    ),
    Metric("metier_requests_in_flight", "gauge", "Calls under way."),
    Metric("metier_recognised_requests_total", "counter", "Calls that were taken for a task.", ("task",)),
    Metric("metier_kept_requests_total", "counter", "Calls that a specialist answered.", ("task",)),
    Metric(
        "metier_escalations_total",
        "counter",
        "Calls that the policy sent to the frontier model, by why.",
        ("task", "reason"),
    ),
    Metric(
        "metier_specialist_duration_seconds",
        "histogram",
        "Seconds that routing took where the specialist was asked.",
        ("task",),
        SPECIALIST_BUCKETS_S,
    ),
    Metric("metier_errors_total", "counter", "Calls that the client got an error for.", ("endpoint", "code")),
    Metric("metier_cancelled_requests_total", "counter", "Calls whose client hung up before the end.", ("endpoint",)),
    Metric(
        "metier_tokens_total",
        "counter",
        "Tokens in (direction input) and out (output); those of kept answers are estimates.",
        ("task", "route", "model", "direction"),
    ),
    Metric("metier_cost_usd_total", "counter", "US dollars that calls cost.", ("task", "route", "model")),
    Metric(
        "metier_saved_usd_total",
        "counter",
        "US dollars that kept answers would have cost at the frontier model.",
        ("task", "model"),
    ),
    Metric(
        "metier_audits_total",
        "counter",
        "Kept answers that the frontier model was asked for too: same, different, or unanswered.",
        ("task", "outcome"),
    ),
    Metric(
        "metier_shadow_answers_total",
        "counter",
        "Specialists' unseen answers in shadow mode: what the policy would have done (verdict kept or escalated), and "
        "whether the frontier model answered the same, different, or not at all (unanswered).",
        ("task", "verdict", "outcome"),
    ),
    Metric(
        "metier_realised_error",
        "gauge",
        "Share of audited kept answers that differ from the frontier model's, under the certificate in use.",
        ("task",),
        mode="livemostrecent",
    ),
    Metric(
        "metier_allowed_error",
        "gauge",
        "Share of kept answers that may be wrong: the certificate's alpha and the audit allowance.",
        ("task",),
        mode="livemostrecent",
    ),
    Metric(
        "metier_e_value",
        "gauge",
        "Evidence against the certificate in use; it is revoked at 1 / delta.",
        ("task",),
        mode="livemostrecent",
    ),
    Metric(
        "metier_certificate_revoked",
        "gauge",
        "1 where the certificate in use has been revoked, else 0.",
        ("task",),
        mode="livemostrecent",
    ),
    Metric("metier_upstream_attempts_total", "counter", "Attempts at the upstream that answered.", ("upstream",)),
    Metric(
        "metier_upstream_errors_total",
        "counter",
        "Calls that an upstream answered with an error or broke off, by error code or HTTP status.",
        ("upstream", "code"),
    ),
    Metric(
        "metier_upstream_state",
        "gauge",
        "Workers whose circuit breaker of the upstream is in the state.",
        ("upstream", "state"),
    ),
    Metric("metier_queue_depth", "gauge", "Finished calls that wait to be written to the journal."),
    Metric("metier_spilled_traces", "gauge", "Traces in the journal that are not in the database yet."),
    Metric("metier_spilled_bytes", "gauge", "Bytes of the journal on disk."),
    Metric("metier_written_traces_total", "counter", "Traces that have reached the database."),
    Metric(
        "metier_dropped_traces_total", "counter", "Traces lost because the journal was full or could not be written."
    ),
    Metric("metier_dropped_log_lines_total", "counter", "Log lines lost because nobody read stderr fast enough."),
    Metric("metier_build_info", "gauge", "1, with the version of metier.", ("version", "python"), mode="livemax"),
)
BY_NAME = {metric.name: metric for metric in METRICS}
