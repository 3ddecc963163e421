"""What metier adds to a call at 100 requests a second, beside LiteLLM's proxy: paired against calling the upstream itself.

In each repetition every way gets a block of its own, in an order that rotates: directly, through metier, through LiteLLM.
Calls are sent evenly spaced whatever the servers do, and a latency runs from the time at which the call was to be sent.
What is added is the block's percentile less that of the direct block of the same repetition. Streams likewise, at 20 a
second: time to the first text. LiteLLM can hardly keep up with 100 requests a second; so that it is not judged by its
queue, the same is measured at 25 a second as well, and that is where the two are compared.
"""

from __future__ import annotations

import argparse
import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import servers
import workload
from common import finish, options, say, work_folder
from load import Call, Load, even, open_loop
from summary import Spread, percentile, spread, table

RATE = 100.0
EASY_RATE = 25.0
STREAM_RATE = 20.0  # LiteLLM's proxy does not keep up with 50
_CONNECTIONS = 32
_WARM_UP_S = 3.0
DIRECT, METIER, LITELLM = "directly", "metier", "LiteLLM"
_JUDGES: dict[str, workload.Judge] = {
    DIRECT: workload.relayed,
    METIER: workload.through_metier,
    LITELLM: workload.same_text,
}


def measure(folder: Path, repeats: int, block_s: float) -> dict[str, dict[str, list[Load]]]:
    """The load of every repetition, by phase (plain, easy, stream) and way."""
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(servers.mock(folder))
        ways = {DIRECT: upstream, METIER: stack.enter_context(servers.metier(folder / "project", upstream))}
        if servers.litellm_version() is not None:
            ways[LITELLM] = stack.enter_context(servers.litellm(folder, upstream, workload.MODEL))
        phases = {
            "plain": (RATE, _plain_calls),
            "easy": (EASY_RATE, _plain_calls),
            "stream": (STREAM_RATE, _stream_calls),
        }
        return {name: _phase(ways, rate, make, repeats, block_s) for name, (rate, make) in phases.items()}


def _phase(
    ways: dict[str, servers.Server],
    rate: float,
    make: Callable[[servers.Server, workload.Judge], list[Call]],
    repeats: int,
    block_s: float,
) -> dict[str, list[Load]]:
    calls = {name: make(server, _JUDGES[name]) for name, server in ways.items()}
    found: dict[str, list[Load]] = {name: [] for name in ways}
    for name, server in ways.items():
        open_loop(server.address, workload.forever(calls[name]), even(rate, _WARM_UP_S), _CONNECTIONS)
    for repeat in range(repeats):
        names = list(ways)
        start = repeat % len(names)
        for name in names[start:] + names[:start]:
            load = open_loop(ways[name].address, workload.forever(calls[name]), even(rate, block_s), _CONNECTIONS)
            say(f"{name}, {rate:.0f}/s: {load.n} calls, {load.n_errors} errors")
            found[name].append(load)
    return found


def _plain_calls(server: servers.Server, judge: workload.Judge) -> list[Call]:
    return workload.chats(server.address, judge, key=server.key)


def _stream_calls(server: servers.Server, judge: workload.Judge) -> list[Call]:
    return workload.streams(server.address, judge, 256, tokens_per_s=100.0, n_chunks=20, key=server.key)


def added(loads: dict[str, list[Load]], way: str, share: float, of: Callable[[Load], list[float]]) -> Spread:
    """Seconds that `way` adds to a percentile, over the repetitions."""
    return spread(
        percentile(of(there), share) - percentile(of(direct), share)
        for there, direct in zip(loads[way], loads[DIRECT], strict=True)
    )


def _latencies(load: Load) -> list[float]:
    return load.latencies_s


def _first_tokens(load: Load) -> list[float]:
    return load.first_tokens_s


def figures(found: dict[str, dict[str, list[Load]]]) -> dict[str, Any]:
    result: dict[str, Any] = {"litellm_version": servers.litellm_version(), "ways": {}}
    for way in found["plain"]:
        row: dict[str, Any] = {
            "errors": dict(sum((load.errors for phase in found.values() for load in phase[way]), Counter()))
        }
        for phase, loads in found.items():
            of = _first_tokens if phase == "stream" else _latencies
            row[phase] = {
                "n": sum(load.n for load in loads[way]),
                "p50_s": spread(percentile(of(load), 0.5) for load in loads[way]),
                "p99_s": spread(percentile(of(load), 0.99) for load in loads[way]),
                "added_p50_s": added(loads, way, 0.5, of),
                "added_p99_s": added(loads, way, 0.99, of),
            }
        result["ways"][way] = row
    return result


_TITLES = {
    "plain": ("whole answer, 100/s", "≤ 1.50", "≤ 6.00"),
    "easy": ("whole answer, 25/s", "≤ 1/8 of LiteLLM's", ""),
    "stream": ("first text of a stream, 20/s", "≤ 2.00", ""),
}


def show(result: dict[str, Any], repeats: int) -> str:
    rows = []
    for phase, (title, p50_to_reach, p99_to_reach) in _TITLES.items():
        for way, ways_row in result["ways"].items():
            row = ways_row[phase]
            name = f"{way} {result['litellm_version']}" if way == LITELLM else way
            differences = (
                ["", ""] if way == DIRECT else [row[key].show(2, 1e3) for key in ("added_p50_s", "added_p99_s")]
            )
            figures_ms = [row[key].show(2, 1e3) for key in ("p50_s", "p99_s")]
            rows.append([title, name, f"{row['n']:,}", *figures_ms, *differences])
        rows.append(["", "*metier, to reach*", "", "", "", p50_to_reach, p99_to_reach])
    n_errors = sum(sum(row["errors"].values()) for row in result["ways"].values())
    notes = [
        f"Milliseconds, median of {repeats} paired blocks (least–most). Calls evenly spaced; latencies from the time "
        f"each was to be sent. Streams of 20 pieces, one every 10 ms. {n_errors} errors."
    ]
    if LITELLM in result["ways"]:
        ways = result["ways"]
        ratio = ways[LITELLM]["easy"]["added_p50_s"].median / ways[METIER]["easy"]["added_p50_s"].median
        notes.append(f"At {EASY_RATE:.0f}/s LiteLLM adds {ratio:.1f} times as much as metier at p50.")
    else:
        notes.append("LiteLLM was not measured: it is not installed (`make bench` does it).")
    head = ["ms", "way", "calls", "p50", "p99", "added p50", "added p99"]
    return table(head, rows) + "\n\n" + " ".join(notes)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=0, help="5, quick 2")
    parser.add_argument("--block-s", type=float, default=0.0, help="seconds a block, 8, quick 2")


def main() -> None:
    given = options(__doc__, _add_options)
    repeats = given.repeats or (2 if given.quick else 5)
    block_s = given.block_s or (2.0 if given.quick else 8.0)
    with work_folder() as folder:
        found = measure(folder, repeats, block_s)
    result = figures(found)
    failures = [f"{way}: {row['errors']}" for way, row in result["ways"].items() if row["errors"]]
    finish(result, show(result, repeats), given.out, failures)


if __name__ == "__main__":
    main()
