"""What metier adds to a call at 100 requests a second, beside LiteLLM's proxy: paired against calling the upstream itself.

In each repetition every way gets a block of its own, in an order that rotates: directly, through metier, through LiteLLM.
Calls are sent evenly spaced whatever the servers do, and a latency runs from the time at which the call was to be sent.
What is added is the block's percentile less that of the direct block of the same repetition. Streams likewise, at 20 a
second: time to the first text.
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
STREAM_RATE = 20.0  # LiteLLM's proxy does not keep up with 50
_CONNECTIONS = 32
_WARM_UP_S = 3.0
DIRECT, METIER, LITELLM = "directly", "metier", "LiteLLM"
_JUDGES: dict[str, workload.Judge] = {
    DIRECT: workload.relayed,
    METIER: workload.through_metier,
    LITELLM: workload.same_text,
}


def measure(folder: Path, repeats: int, block_s: float, stream_s: float) -> dict[str, Any]:
    """Latencies of every repetition, by way: {"plain": {way: [Load]}, "stream": {way: [Load]}}."""
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(servers.mock(folder))
        ways = {DIRECT: upstream, METIER: stack.enter_context(servers.metier(folder / "project", upstream))}
        if servers.litellm_version() is not None:
            ways[LITELLM] = stack.enter_context(servers.litellm(folder, upstream, workload.MODEL))
        plain: dict[str, list[Load]] = {name: [] for name in ways}
        stream: dict[str, list[Load]] = {name: [] for name in ways}
        for found, rate, duration_s, make in (
            (plain, RATE, block_s, _plain_calls),
            (stream, STREAM_RATE, stream_s, _stream_calls),
        ):
            calls = {name: make(server, _JUDGES[name]) for name, server in ways.items()}
            for name, server in ways.items():
                open_loop(server.address, workload.forever(calls[name]), even(rate, _WARM_UP_S), _CONNECTIONS)
            for repeat in range(repeats):
                names = list(ways)
                start = repeat % len(names)
                for name in names[start:] + names[:start]:
                    times = even(rate, duration_s)
                    load = open_loop(ways[name].address, workload.forever(calls[name]), times, _CONNECTIONS)
                    say(f"{name}: {load.n} calls, {load.n_errors} errors")
                    found[name].append(load)
    return {"plain": plain, "stream": stream}


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


def figures(found: dict[str, Any]) -> dict[str, Any]:
    plain, stream = found["plain"], found["stream"]
    result: dict[str, Any] = {"litellm_version": servers.litellm_version(), "ways": {}}
    for way in plain:
        result["ways"][way] = {
            "n_calls": sum(load.n for load in plain[way]),
            "n_streams": sum(load.n for load in stream[way]),
            "latency_p50_s": spread(percentile(load.latencies_s, 0.5) for load in plain[way]),
            "latency_p99_s": spread(percentile(load.latencies_s, 0.99) for load in plain[way]),
            "first_token_p50_s": spread(percentile(load.first_tokens_s, 0.5) for load in stream[way]),
            "added_p50_s": added(plain, way, 0.5, _latencies),
            "added_p99_s": added(plain, way, 0.99, _latencies),
            "added_first_token_p50_s": added(stream, way, 0.5, _first_tokens),
            "added_first_token_p99_s": added(stream, way, 0.99, _first_tokens),
            "errors": dict(sum((load.errors for load in (*plain[way], *stream[way])), Counter())),
        }
    return result


def show(result: dict[str, Any], repeats: int) -> str:
    rows = []
    for way, row in result["ways"].items():
        name = f"{way} {result['litellm_version']}" if way == LITELLM else way
        differences = [
            "" if way == DIRECT else row[key].show(2, 1e3)
            for key in ("added_p50_s", "added_p99_s", "added_first_token_p50_s", "added_first_token_p99_s")
        ]
        rows.append(
            [
                name,
                f"{row['n_calls']:,} + {row['n_streams']:,}",
                f"{sum(row['errors'].values())}",
                *(row[key].show(2, 1e3) for key in ("latency_p50_s", "latency_p99_s")),
                *differences,
            ]
        )
    rows.append(["*to reach*", "", "0", "", "", "≤ 1.50, and ≤ 1/8 of LiteLLM's", "≤ 6.00", "≤ 2.00", ""])
    head = ["ms, 100 requests/s", "calls + streams", "errors", "p50", "p99", "added p50", "added p99"]
    head += ["first text added, p50", "p99"]
    notes = [
        f"Median of {repeats} paired blocks (least–most). Calls evenly spaced; latencies from the time each was to be sent."
    ]
    notes.append(f"Streams: {STREAM_RATE:.0f}/s, 20 pieces of text, one every 10 ms.")
    if LITELLM in result["ways"]:
        ways = result["ways"]
        ratio = ways[LITELLM]["added_p50_s"].median / ways[METIER]["added_p50_s"].median
        notes.append(f"LiteLLM adds {ratio:.1f} times as much as metier at p50.")
    else:
        notes.append("LiteLLM was not measured: it is not installed (`make bench` does it).")
    return table(head, rows) + "\n\n" + " ".join(notes)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=0, help="7, quick 2")
    parser.add_argument("--block-s", type=float, default=0.0, help="seconds a block, 10, quick 2")


def main() -> None:
    given = options(__doc__, _add_options)
    repeats = given.repeats or (2 if given.quick else 7)
    block_s = given.block_s or (2.0 if given.quick else 10.0)
    with work_folder() as folder:
        found = measure(folder, repeats, block_s, block_s)
    result = figures(found)
    failures = [f"{way}: {row['errors']}" for way, row in result["ways"].items() if row["errors"]]
    finish(result, show(result, repeats), given.out, failures)


if __name__ == "__main__":
    main()
