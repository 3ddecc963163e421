"""The drive-test simulator: windows a second, distributions, and that no single column gives a cause away.

    python benchmarks/telecom_simulator.py --out telecom.json [--windows 8000] [--quick]

The cascade reads one column of the tables for each cause, with the options' own thresholds where they have one and else the
threshold at which it does best on the same windows, which flatters it. The trees read the telelogs view of the published
text form, and are fitted on three quarters of the clusters (drives) of N_TREES windows and scored on the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from metier.labs.telecom.parts import CAUSES, Windows
from metier.labs.telecom.simulator import simulate, taken
from metier.labs.telecom.text import standard
from metier.views import VIEWS

SEED = 20261122
LOW_MBPS = 600.0
# A text takes some 2 ms to read.
N_TREES = 4000


def rate(n: int) -> float:
    """Windows a second of one core's time (processor time, so that a busy machine counts the same)."""
    simulate(64, SEED)
    begun = time.process_time()
    simulate(n, SEED + 1)
    return n / (time.process_time() - begun)


def columns(windows: Windows) -> dict[str, np.ndarray]:
    """One number a cause, each from one column."""
    drives, cells = windows.drives, windows.cells
    serving = np.argmax((cells.pci == drives.serving_pci[:, :1]) & cells.exists, axis=1)[:, None]
    residues = np.where(drives.neighbour_pci >= 0, drives.neighbour_pci % 30, -1)
    own = (drives.serving_pci % 30)[:, :, None]
    changes = (np.diff(drives.serving_pci, axis=1) != 0).sum(axis=1)
    return {
        "C1": np.take_along_axis(cells.mechanical_downtilt, serving, axis=1)[:, 0],
        "C2": -drives.rsrp_dbm.mean(axis=1),
        "C3": (changes == 1) * 1.0,
        "C4": -drives.sinr_db.mean(axis=1),
        "C5": changes * 1.0,
        "C6": (residues == own).any(axis=(1, 2)) * 1.0,
        "C7": drives.speed_km_h.max(axis=1),
        "C8": -drives.n_rb.mean(axis=1),
    }


def cascade(windows: Windows) -> float:
    """Accuracy of the best cascade over orders of trust: the sharpest column first, C4 where none speaks."""
    values = columns(windows)
    given = {"C3": 0.5, "C5": 1.5, "C6": 0.5, "C7": 40.0, "C8": -160.0}
    best = {}
    for cause in CAUSES:
        mine = windows.cause == CAUSES.index(cause)
        tried = [given[cause]] if cause in given else np.quantile(values[cause], np.linspace(0.5, 0.99, 25)).tolist()
        scores = [(_f1(values[cause] > at, mine), at) for at in tried]
        best[cause] = max(scores)
    answer = np.full(len(windows), CAUSES.index("C4"))
    for cause in sorted(best, key=lambda name: best[name][0]):
        if cause != "C4":
            answer[values[cause] > best[cause][1]] = CAUSES.index(cause)
    return float((answer == windows.cause).mean())


def _f1(said: np.ndarray, true: np.ndarray) -> float:
    return float(2 * (said & true).sum() / max(said.sum() + true.sum(), 1))


def trees(windows: Windows) -> float:
    """Accuracy of gradient boosting on the view's features, on clusters it has not seen."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    read = VIEWS["telelogs"].read
    values = np.array([read(question).values for question in standard(windows)])
    held = windows.cluster % 4 == 0
    settings = {"max_iter": 60, "learning_rate": 0.15, "max_leaf_nodes": 12, "min_samples_leaf": 8}
    fitted = HistGradientBoostingClassifier(**settings, l2_regularization=1.0, random_state=0)
    fitted.fit(values[~held], windows.cause[~held])
    return float((fitted.predict(values[held]) == windows.cause[held]).mean())


def distributions(windows: Windows) -> dict[str, list[float]]:
    """5%, 50% and 95% of what the tables hold."""
    drives, cells = windows.drives, windows.cells
    cells_of = cells.exists.sum(axis=1)
    heard = np.isfinite(drives.neighbour_rsrp_dbm)
    changes = (np.diff(drives.serving_pci, axis=1) != 0).sum(axis=1)
    served = {
        "RSRP, dBm": drives.rsrp_dbm,
        "SINR, dB": drives.sinr_db,
        "throughput, Mbit/s": drives.throughput_mbps,
        "resource blocks": drives.n_rb,
        "speed, km/h": drives.speed_km_h,
        "neighbours heard": heard.sum(axis=2),
        "neighbour RSRP, dBm": drives.neighbour_rsrp_dbm[heard],
        "cells in the table": cells_of,
        "height, m": cells.height_m[cells.exists],
        "mechanical downtilt, degrees": cells.mechanical_downtilt[cells.exists],
        "low samples a window": (drives.throughput_mbps < LOW_MBPS).sum(axis=1),
        "handovers in 10 s, C5": changes[windows.cause == CAUSES.index("C5")],
        "handovers in 10 s, other causes": changes[windows.cause != CAUSES.index("C5")],
    }
    rows = {name: np.percentile(values, [5, 50, 95]).tolist() for name, values in served.items()}
    efficiency = drives.throughput_mbps / np.maximum(drives.n_rb, 1.0)
    for low, high in ((-20, 0), (0, 5), (5, 10), (10, 15), (15, 20), (20, 40)):
        inside = (drives.sinr_db >= low) & (drives.sinr_db < high)
        rows[f"Mbit/s a block, SINR {low} to {high} dB"] = np.percentile(efficiency[inside], [5, 50, 95]).tolist()
    return rows


def measure(n: int) -> dict[str, object]:
    figures: dict[str, object] = {"windows": n, "cores": os.cpu_count(), "windows_s": rate(n)}
    rows = []
    for difficulty in (0.0, 0.5, 1.0):
        windows = simulate(n, SEED, difficulty=difficulty)
        some = taken(windows, np.arange(min(n, N_TREES)))
        rows.append({"difficulty": difficulty, "cascade": cascade(windows), "trees": trees(some)})
        if difficulty == 0.5:
            figures["distributions"] = distributions(windows)
            figures["clusters"] = int(windows.cluster.max()) + 1
    return figures | {"difficulties": rows}


def table(figures: dict[str, object]) -> str:
    rows, spread = figures["difficulties"], figures["distributions"]
    assert isinstance(rows, list)
    assert isinstance(spread, dict)
    lines = [
        f"{figures['windows_s']:,.0f} windows a second of one core's time; {figures['windows']:,} windows a row,"
        f" {figures['clusters']:,} drives at the default difficulty.",
        "",
        "| Difficulty | One column a cause | Gradient boosting on the view, held-out drives |",
        "|---|---|---|",
        *(f"| {row['difficulty']} | {100 * row['cascade']:.1f}% | {100 * row['trees']:.1f}% |" for row in rows),
        "",
        "| At the default difficulty | 5% | median | 95% |",
        "|---|---|---|---|",
        *(f"| {name} | {low:.4g} | {mid:.4g} | {high:.4g} |" for name, (low, mid, high) in spread.items()),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None, help="where to write the figures as JSON")
    parser.add_argument("--windows", type=int, default=8000)
    parser.add_argument("--quick", action="store_true", help="1,200 windows")
    arguments = parser.parse_args()
    figures = measure(1200 if arguments.quick else arguments.windows)
    print(table(figures))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
