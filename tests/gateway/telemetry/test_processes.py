"""Several workers: one scrape shows all of them, also those that have ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metier.gateway.telemetry.processes import (
    FOLDER_VARIABLE,
    forget_process,
    multiprocess_folder,
    prepare_multiprocess,
)

# A worker: takes calls, says its id, and answers each line it reads with the metrics; "end" ends it.
WORKER = """
import sys, os
from metier.gateway.calls import CallRecord, Decision, Route
from metier.gateway.telemetry.opening import open_telemetry
from metier.gateway.telemetry.figures import RealisedError

class Parts:
    def figures(self): return {"queue_depth": 2, "dropped_traces": 3}
    def states(self): return {"openai": sys.argv[2]}

telemetry = open_telemetry("off", tasks=lambda: ("intents",))
telemetry.watch(Parts(), Parts(), lambda: [RealisedError("intents", 0.25, 0.05, 9.0, False)])
for n in range(int(sys.argv[1])):
    record = CallRecord("mtr-1", "/v1/chat/completions", 0.0, decision=Decision(Route.KEPT, task="intents"),
                        status=200, latency_s=0.02, saved_usd=0.5)
    telemetry.finished(record, telemetry.began(record, {}))
telemetry.began(record, {})
telemetry.refresh()
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "end":
        break
    sys.stdout.write(telemetry.exposition()[0].decode() + "END\\n")
    sys.stdout.flush()
"""


def start(folder: Path, n_calls: int, state: str = "closed") -> subprocess.Popen[str]:
    environ = {**os.environ, FOLDER_VARIABLE: str(folder)}
    command = [sys.executable, "-W", "error", "-c", WORKER, str(n_calls), state]
    worker = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def scrape(worker: subprocess.Popen[str]) -> dict[str, float]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("scrape\n")
    worker.stdin.flush()
    found = {}
    while (line := worker.stdout.readline()) not in ("END\n", ""):
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def end(worker: subprocess.Popen[str]) -> None:
    worker.communicate("end\n", timeout=20)


REQUESTS = 'metier_requests_total{endpoint="chat",model="none",reason="none",route="kept",status="200",task="intents"}'


def test_a_scrape_of_one_worker_shows_all_of_them(tmp_path: Path) -> None:
    folder = Path(prepare_multiprocess(tmp_path / "metrics")[FOLDER_VARIABLE])
    first, second = start(folder, 3), start(folder, 5, "open")
    try:
        found = scrape(first)
        assert found[REQUESTS] == 8
        assert found['metier_saved_usd_total{model="none",task="intents"}'] == 4.0
        assert found['metier_request_duration_seconds_bucket{endpoint="chat",le="0.025",route="kept"}'] == 8
        assert found['metier_request_duration_seconds_bucket{endpoint="chat",le="0.01",route="kept"}'] == 0
        assert found["metier_requests_in_flight"] == 2
        assert found["metier_queue_depth"] == 4
        assert found["metier_dropped_traces_total"] == 6
        # How many workers have the breaker in each state.
        assert found['metier_upstream_state{state="closed",upstream="openai"}'] == 1
        assert found['metier_upstream_state{state="open",upstream="openai"}'] == 1
        # All workers see the same certificate: its figures are not added up.
        assert found['metier_realised_error{task="intents"}'] == 0.25
        assert found['metier_certificate_revoked{task="intents"}'] == 0
        assert sum(value for name, value in found.items() if name.startswith("metier_build_info")) == 1
        assert scrape(second) == found
    finally:
        end(first)
        end(second)


def test_an_ended_worker_leaves_its_counts_and_takes_its_gauges(tmp_path: Path) -> None:
    folder = Path(prepare_multiprocess(tmp_path / "metrics")[FOLDER_VARIABLE])
    stays = start(folder, 1)
    try:
        for round_ in range(2):
            ended = start(folder, 4)
            ended.kill()
            ended.communicate(timeout=20)
            forget_process(folder, ended.pid)
            forget_process(folder, ended.pid)
            found = scrape(stays)
            assert found[REQUESTS] == 1 + 4 * (round_ + 1)
            assert found['metier_request_duration_seconds_count{endpoint="chat",route="kept"}'] == found[REQUESTS]
            assert found["metier_requests_in_flight"] == 1
            assert found["metier_queue_depth"] == 2
        # Files of the worker that is there, and two for those that ended, however many they were.
        owners = sorted(path.stem.rpartition("_")[2] for path in folder.glob("*.db"))
        assert set(owners) == {"0", str(stays.pid)}
        assert owners.count("0") == 2
    finally:
        end(stays)


def test_a_new_run_begins_with_an_empty_folder(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    prepare_multiprocess(folder)
    end(start(folder, 2))
    assert list(folder.glob("*.db"))
    assert prepare_multiprocess(folder) == {FOLDER_VARIABLE: str(folder)}
    assert not list(folder.glob("*.db"))


def test_one_process_needs_no_folder() -> None:
    assert multiprocess_folder({}) is None


def test_a_folder_named_too_late_is_refused(tmp_path: Path) -> None:
    import prometheus_client  # noqa: F401

    with pytest.raises(RuntimeError, match="imported before PROMETHEUS_MULTIPROC_DIR"):
        multiprocess_folder({FOLDER_VARIABLE: str(tmp_path)})
