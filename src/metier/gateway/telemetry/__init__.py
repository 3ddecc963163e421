"""What the gateway tells of itself: Prometheus metrics, OpenTelemetry spans, log lines."""
