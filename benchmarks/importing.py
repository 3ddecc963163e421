"""Measures `metier import`: calls a second into SQLite, and whether memory stays flat when the log grows fivefold.

The log is generated: 200,000 calls of about 1.2 kB with fixed instructions, a varying input, ids, times, token counts and
costs. Each run imports it into a fresh store in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from metier.machine import usable_cores

CALLS = 200_000
REPEATS = 3
GROWTH = 5
_TOPICS = """
account balance transfer card payment refund invoice order delivery address password reset login error charge fee limit
customer agent phone email please thanks today yesterday week month cannot change update cancel subscription plan
"""
_WORDS = tuple(_TOPICS.split())
_LABELS = ("billing", "delivery", "account access", "cancellation", "complaint", "other")
_INSTRUCTIONS = (
    "You are the triage assistant of a support desk. Read the customer's message and answer with exactly one of these "
    "labels: "
    + ", ".join(_LABELS)
    + ". Answer with the label alone, without punctuation and without explanation. If several labels fit, choose the one "
    "that the customer would name first. If none fits, answer other."
)
_RUN = """
import json, resource, sys, time
from pathlib import Path
from metier.sources import import_files
from metier.store.traffic import TrafficStore
with TrafficStore(Path(sys.argv[2])) as store:
    resting = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, cpu = time.perf_counter(), time.process_time()
    report = import_files([sys.argv[1]], store)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"n": report.n_added, "wall_s": wall_s, "cpu_s": cpu_s, "resting_kib": resting, "peak_kib": peak}))
"""


def write_log(path: Path, n_calls: int, seed: int = 0) -> None:
    """Writes `n_calls` calls, one a line."""
    draw = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for number in range(n_calls):
            text = " ".join(draw.choices(_WORDS, k=draw.randint(20, 60)))
            label = draw.choice(_LABELS)
            n_prompt = 120 + len(text) // 4
            message = {"role": "assistant", "content": label}
            call = {
                "id": f"chatcmpl-{draw.getrandbits(96):024x}",
                "created": 1_750_000_000 + number * 3,
                "request": {
                    "model": "gpt-4o-2024-11-20",
                    "messages": [{"role": "system", "content": _INSTRUCTIONS}, {"role": "user", "content": text}],
                    "temperature": 0,
                    "max_tokens": 16,
                },
                "response": {
                    "object": "chat.completion",
                    "model": "gpt-4o-2024-11-20",
                    "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": n_prompt, "completion_tokens": 3, "total_tokens": n_prompt + 3},
                },
                "latency_ms": round(draw.lognormvariate(6, 0.5), 1),
                "cost_usd": round(0.0003 + len(text) * 1e-6, 6),
                "metadata": {"customer": f"c{draw.randrange(5_000)}"},
            }
            file.write(json.dumps(call) + "\n")


def run_once(log: Path, folder: Path) -> dict[str, float]:
    """Imports the log into a new store in a new process."""
    store = folder / "traffic.db"
    for path in folder.glob("traffic.db*"):
        path.unlink()
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(log), str(store)], capture_output=True, text=True, check=True
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def measure(n_calls: int, repeats: int, growth: int) -> dict[str, object]:
    """Calls a second (median, least, most of `repeats` runs), and peak memory at 1 and `growth` times the size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "log.jsonl"
        write_log(log, n_calls)
        line_bytes = log.stat().st_size / n_calls
        runs = [run_once(log, folder) for _ in range(repeats)]
        write_log(log, growth * n_calls, seed=1)
        large = run_once(log, folder)
    rates = [run["n"] / run["wall_s"] for run in runs]
    return {
        "n_calls": n_calls,
        "line_bytes_mean": round(line_bytes),
        "repeats": repeats,
        "calls_per_s": {"median": statistics.median(rates), "least": min(rates), "most": max(rates)},
        "cpu_s_median": statistics.median(run["cpu_s"] for run in runs),
        "peak_mib": max(run["peak_kib"] for run in runs) / 1024,
        "large": {
            "n_calls": large["n"],
            "calls_per_s": large["n"] / large["wall_s"],
            "peak_mib": large["peak_kib"] / 1024,
        },
        "cores": usable_cores(),
        "time": time.time(),
    }


def table(found: dict[str, object]) -> str:
    """The figures as a markdown table."""
    rates, large = found["calls_per_s"], found["large"]
    assert isinstance(rates, dict)
    assert isinstance(large, dict)
    rows = (
        ("calls/s to SQLite (median of runs)", "≥ 20,000", f"{rates['median']:,.0f}"),
        ("least to most", "", f"{rates['least']:,.0f} to {rates['most']:,.0f}"),
        (
            "calls, mean bytes a line, runs",
            "",
            f"{found['n_calls']:,}, {found['line_bytes_mean']:,}, {found['repeats']}",
        ),
        ("peak memory, MiB", "", f"{found['peak_mib']:.0f}"),
        (f"calls/s with {large['n_calls']:,.0f} calls", "", f"{large['calls_per_s']:,.0f}"),
        (f"peak memory with {large['n_calls']:,.0f} calls, MiB", "flat", f"{large['peak_mib']:.0f}"),
        ("cores", "2", str(found["cores"])),
    )
    return "\n".join(["| import | reach | measured |", "|---|---|---|", *(f"| {a} | {b} | {c} |" for a, b, c in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--growth", type=int, default=GROWTH)
    options = parser.parse_args()
    found = measure(options.calls, options.repeats, options.growth)
    if options.out:
        options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(table(found))


if __name__ == "__main__":
    main()
