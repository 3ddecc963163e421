"""How well and how fast `metier audit` finds the tasks of the mixed log (benchmarks/mixed_log.py).

Quality: adjusted Rand index (Hubert & Arabie, 1985) of the found tasks against the true ones, over all calls, and of the
found templates against the true wordings, for three logs: each wording with its own system prompt, all calls with one
generic system prompt, and all calls with one system prompt and nothing but the input in the user message.
Speed: wall and CPU seconds and peak resident memory of a fresh process a size, traffic read from SQLite.

    python benchmarks/auditing.py --out auditing.json --sizes 10000 100000 1000000
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
from sklearn.metrics import adjusted_rand_score

from metier.artefacts.tasks import Audit, AuditVerdict
from metier.artefacts.traffic import FrameTraffic, Trace, Traffic
from metier.audit import AuditSettings, audit
from metier.store.traffic import Batch, Located, TrafficStore
from mixed_log import READERS, SharedSystemPrompt, compose

TARGET_ARI = {"none": 0.98, "generic": 0.90, "bare": 0.90}
TARGET_S = {100_000: 60.0, 1_000_000: 720.0}
TARGET_GIB = {100_000: 2.0, 1_000_000: 4.0}


def score(found: Audit, truth: pl.DataFrame) -> dict[str, Any]:
    """The quality figures of one audit; unassigned calls are one group of their own."""
    rows = truth.join(found.assignments, left_on="id", right_on="trace_id", how="left", maintain_order="left")
    rows = rows.with_columns(pl.col("task_id", "template_id").fill_null("none"))
    verdicts = {row.task.id: row.verdict for row in found.tasks}
    open_calls = rows.filter(pl.col("task") == "open")["task_id"].to_list()
    on_frontier = [verdicts.get(task) is AuditVerdict.FRONTIER for task in open_calls]
    return {
        "ari_tasks": float(adjusted_rand_score(rows["task"], rows["task_id"])),
        "ari_wordings": float(adjusted_rand_score(rows["wording"], rows["template_id"])),
        "n_tasks": len(found.tasks),
        "n_true_tasks": len(READERS),
        "open_on_frontier": float(np.mean(on_frontier)),
        "n_calls": rows.height,
    }


def measure_quality(n_calls: int, n_seeds: int) -> list[dict[str, Any]]:
    rows = []
    for shared in get_args(SharedSystemPrompt):
        for seed in range(n_seeds):
            chunks = list(compose(n_calls, seed, shared))
            traffic = FrameTraffic(pl.concat([frame for frame, _ in chunks]))
            found = audit(traffic, AuditSettings(), seed=seed)
            rows.append({"shared": shared, "seed": seed, **score(found, pl.concat([truth for _, truth in chunks]))})
    return rows


def fill_store(path: Path, n_calls: int, shared: SharedSystemPrompt) -> None:
    """A traffic database of the mixed log, and the truth beside it."""
    truths = []
    with TrafficStore(path) as store, store.importing():
        record = store.begin_import(path="mixed", sha256="0" * 64, size_bytes=0, format="mixed", dataset=None, now=0.0)
        for frame, truth in compose(n_calls, 0, shared):
            traces = [Located(Trace(**row), place, b"") for place, row in enumerate(frame.iter_rows(named=True))]
            store.add(record.id, Batch(traces, [], len(traces)), 0.0)
            truths.append(truth)
        store.finish_import(record.id, 0.0)
    pl.concat(truths).write_parquet(path.with_suffix(".truth.parquet"))


def audit_store(path: Path) -> dict[str, Any]:
    """Audits a database in this process: call it in a fresh one, so that the peak memory is the audit's own."""
    with TrafficStore(path) as store:
        traffic: Traffic = store
        n_calls = len(traffic)
        wall, cpu = time.perf_counter(), time.process_time()
        found = audit(traffic, AuditSettings(), seed=0)
        took = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    truth = pl.read_parquet(path.with_suffix(".truth.parquet"))
    return {**took, "peak_rss_gib": peak, **score(found, truth), "n_calls": n_calls}


def measure_speed(sizes: list[int], repeats: int, shared: SharedSystemPrompt) -> list[dict[str, Any]]:
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "traffic.db"
            maker = multiprocessing.get_context("spawn").Process(target=fill_store, args=(path, size, shared))
            maker.start()
            maker.join()
            if maker.exitcode:
                raise SystemExit(f"composing {size} calls failed with exit code {maker.exitcode}")
            for _ in range(repeats if size <= 100_000 else 1):
                command = [sys.executable, __file__, "--audit", str(path)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                rows.append({"size": size, "shared": shared, **json.loads(done.stdout)})
    return rows


def growth_exponent(rows: list[dict[str, Any]], figure: str) -> float:
    """The slope of log(figure) over log(calls): 1 is linear growth."""
    sizes = np.log([row["size"] for row in rows])
    return float(np.polyfit(sizes, np.log([row[figure] for row in rows]), 1)[0])


def print_quality(rows: list[dict[str, Any]]) -> None:
    print(
        "\n| system prompts | n calls | seeds | ARI of tasks, mean (min) | ARI of wordings, mean | tasks found / true | "
        "open questions on the frontier | target |\n|---|---|---|---|---|---|---|---|"
    )
    for shared in dict.fromkeys(row["shared"] for row in rows):
        some = [row for row in rows if row["shared"] == shared]
        tasks = [row["ari_tasks"] for row in some]
        wordings = statistics.mean(row["ari_wordings"] for row in some)
        print(
            f"| {shared} | {some[0]['n_calls']:,} | {len(some)} | {statistics.mean(tasks):.4f} ({min(tasks):.4f}) | "
            f"{'one template by construction' if shared == 'bare' else f'{wordings:.4f}'} | "
            f"{max(row['n_tasks'] for row in some)} / {some[0]['n_true_tasks']} | "
            f"{min(row['open_on_frontier'] for row in some):.1%} | ≥ {TARGET_ARI[shared]} |"
        )


def print_speed(rows: list[dict[str, Any]]) -> None:
    print(
        "\n| calls | runs | wall s, median (max) | CPU s, median | peak RSS GiB, max | ARI of tasks | calls/s | target |"
        "\n|---|---|---|---|---|---|---|---|"
    )
    for size in dict.fromkeys(row["size"] for row in rows):
        some = [row for row in rows if row["size"] == size]
        wall = [row["wall_s"] for row in some]
        target = f"≤ {TARGET_S[size]:.0f} s, ≤ {TARGET_GIB[size]:.0f} GiB" if size in TARGET_S else ""
        print(
            f"| {size:,} | {len(some)} | {statistics.median(wall):.1f} ({max(wall):.1f}) | "
            f"{statistics.median(row['cpu_s'] for row in some):.1f} | {max(row['peak_rss_gib'] for row in some):.2f} | "
            f"{some[0]['ari_tasks']:.4f} | {size / statistics.median(wall):,.0f} | {target} |"
        )
    if len({row["size"] for row in rows}) > 1:
        print(
            f"\nGrowth with the number of calls (1 is linear): CPU time {growth_exponent(rows, 'cpu_s'):.2f}, "
            f"memory {growth_exponent(rows, 'peak_rss_gib'):.2f} (exponents of a power law)."
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where the figures go, JSON")
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument(
        "--quality-calls", type=int, default=20_000, help="calls of each log that quality is measured on"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each size up to 100,000 calls")
    parser.add_argument("--shared-system-prompt", choices=get_args(SharedSystemPrompt), default="none")
    parser.add_argument("--audit", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.audit:
        print(json.dumps(audit_store(options.audit)))
        return
    quality = measure_quality(options.quality_calls, options.seeds) if options.seeds else []
    speed = measure_speed(options.sizes, options.repeats, options.shared_system_prompt)
    if quality:
        print_quality(quality)
    if speed:
        print_speed(speed)
    if options.out:
        options.out.write_text(json.dumps({"quality": quality, "speed": speed}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
