"""What telemetry costs a call: processor time in µs for metrics (one and several workers), log lines and spans."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

KINDS = ("metrics", "metrics of several workers", "metrics and log line", "metrics and span")
_CALLS = 5_000
_REPEATS = 9


def main() -> None:
    """Each kind in a process of its own: prometheus_client decides at its import how it counts."""
    if len(sys.argv) > 1:
        sys.stdout.write(f"{measured_us(sys.argv[1]):.1f}\n")
        return
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            environ = {
                name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PROMETHEUS_"))
            }
            if "several" in kind:
                environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            done = subprocess.run(
                [sys.executable, __file__, kind], env=environ, capture_output=True, text=True, check=True
            )
        sys.stdout.write(f"{kind:28} {done.stdout.strip():>6} us a call (processor time, median of {_REPEATS})\n")


def measured_us(kind: str) -> float:
    """Median processor time in µs for the beginning and the end of one kept call."""
    from metier.gateway.calls import CallRecord, Decision, Route
    from metier.gateway.settings import UpstreamSettings
    from metier.gateway.telemetry.opening import open_telemetry

    given: dict[str, Any] = {}
    if "span" in kind:
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        given["span_exporter"] = InMemorySpanExporter()
    with Path(os.devnull).open("wb") as nowhere:
        telemetry = open_telemetry(
            "json" if "log" in kind else "off",
            tasks=lambda: ("intents",),
            upstreams={"openai": UpstreamSettings(models=("gpt-4.1",))},  # type: ignore[call-arg]
            descriptor=nowhere.fileno(),
            **given,
        )
        decision = Decision(
            Route.KEPT, task="intents", score=0.93, threshold=0.8, policy_id="0" * 16, specialist_id="1" * 16
        )
        record = CallRecord("mtr-" + "0" * 32, "/v1/chat/completions", time.time(), model="gpt-4.1", decision=decision,
                            status=200, input_tokens=300, output_tokens=2, cost_usd=0.0, saved_usd=0.0006,
                            latency_s=0.003, ttft_s=0.003, decide_s=0.001)  # fmt: skip
        taken = []
        for _ in range(_REPEATS):
            began = time.process_time()
            for _ in range(_CALLS):
                telemetry.finished(record, telemetry.began(record, {}))
            taken.append((time.process_time() - began) / _CALLS * 1e6)
        telemetry.close()
    return statistics.median(taken)


if __name__ == "__main__":
    main()
