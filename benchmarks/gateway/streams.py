"""Two thousand streams open at once: all complete, none reordered or cut, through metier and directly.

Each stream carries a text of its own, so a piece that went astray shows; what arrives must be the mock's events, byte for
byte. The streams begin one after the other over a few seconds and last long enough that all are open together.
"""

from __future__ import annotations

import argparse
import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import servers
import workload
from common import finish, options, say, work_folder
from load import Load, even, open_loop
from summary import percentile, spread, table

N = 2000
_RAMP_S = 5.0
_PIECES = 30
_PIECES_PER_S = 3.0
# More than the settings' default of 1,000, which is meant to spare the upstream.
_MORE = f"max_connections = {2 * N}\n"
DIRECT, METIER = "directly", "metier"


def measure(folder: Path, n: int, repeats: int) -> dict[str, list[Load]]:
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(servers.mock(folder))
        ways = {DIRECT: upstream, METIER: stack.enter_context(servers.metier(folder / "project", upstream, _MORE))}
        found: dict[str, list[Load]] = {name: [] for name in ways}
        for repeat in range(repeats):
            for name in list(ways) if repeat % 2 == 0 else reversed(ways):
                judge = workload.relayed if name == DIRECT else workload.through_metier
                calls = workload.streams(
                    ways[name].address, judge, n, tokens_per_s=_PIECES_PER_S, n_chunks=_PIECES, seed=repeat
                )
                load = open_loop(ways[name].address, iter(calls), even(n / _RAMP_S, _RAMP_S), n)
                say(f"{name}: {load.most_open:,} open at once, {load.n_errors} errors")
                found[name].append(load)
    return found


def figures(found: dict[str, list[Load]], n: int) -> dict[str, Any]:
    return {
        "n_streams": n,
        "pieces": _PIECES,
        "ways": {
            name: {
                "n_complete": sum(len(load.latencies_s) for load in loads),
                "most_open": min(load.most_open for load in loads),
                "errors": dict(sum((load.errors for load in loads), Counter())),
                "first_text_p50_s": spread(percentile(load.first_tokens_s, 0.5) for load in loads),
                "first_text_p99_s": spread(percentile(load.first_tokens_s, 0.99) for load in loads),
                "whole_p99_s": spread(percentile(load.latencies_s, 0.99) for load in loads),
            }
            for name, loads in found.items()
        },
    }


def problems(result: dict[str, Any]) -> list[str]:
    found = []
    for name, row in result["ways"].items():
        if row["errors"]:
            found.append(f"{name}: {row['errors']}")
        if row["most_open"] < result["n_streams"]:
            found.append(f"{name}: only {row['most_open']:,} streams were open at once")
    return found


def show(result: dict[str, Any], repeats: int) -> str:
    rows = [
        [
            name,
            f"{row['most_open']:,}",
            f"{row['n_complete']:,} of {result['n_streams'] * repeats:,}",
            f"{sum(row['errors'].values())}",
            row["first_text_p50_s"].show(0, 1e3),
            row["first_text_p99_s"].show(0, 1e3),
            row["whole_p99_s"].show(2),
        ]
        for name, row in result["ways"].items()
    ]
    head = [
        "streams",
        "open at once, least",
        "complete, in order",
        "errors",
        "first text p50 ms",
        "p99 ms",
        "whole p99 s",
    ]
    note = (
        f"{repeats} runs, median (least–most). {_PIECES} pieces of text, {_PIECES_PER_S:.0f} a second, so that {N:,} "
        f"streams make {N * _PIECES_PER_S:,.0f} events a second; the mock sends the first text after "
        f"{1e3 / _PIECES_PER_S:.0f} ms, the last event after {(_PIECES + 2) / _PIECES_PER_S:.1f} s. The upstream's "
        f"`max_connections` is raised to {2 * N:,}."
    )
    return table(head, rows) + "\n\n" + note


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--streams", type=int, default=0, help=f"{N}, quick 200")
    parser.add_argument("--repeats", type=int, default=0, help="5, quick 1")


def main() -> None:
    given = options(__doc__, _add_options)
    repeats = given.repeats or (1 if given.quick else 5)
    n = given.streams or (200 if given.quick else N)
    with work_folder() as folder:
        found = measure(folder, n, repeats)
    result = figures(found, n)
    finish(result, show(result, repeats), given.out, problems(result))


if __name__ == "__main__":
    main()
