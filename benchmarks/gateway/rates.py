"""The most requests a second that pass through: metier, an empty handler on the same server, LiteLLM's proxy, and the mock.

Closed loop on kept-alive connections. The ways take turns within each repetition, so that what disturbs the machine
disturbs all of them alike. CPU is that of the server's processes, user and system, divided by the calls.
"""

from __future__ import annotations

import argparse
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import servers
import workload
from common import finish, options, say, work_folder
from load import Load, closed_loop
from summary import percentile, spread, table

CONNECTIONS = 32
_WARM_UP_S = 3.0
MOCK, EMPTY, METIER, LITELLM = "mock upstream alone", "empty handler", "metier", "LiteLLM"
_JUDGES: dict[str, workload.Judge] = {
    MOCK: workload.relayed,
    EMPTY: workload.relayed,
    METIER: workload.through_metier,
    LITELLM: workload.same_text,
}


@dataclass
class Runs:
    """What the repetitions of one way gave."""

    loads: list[Load] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


def measure(folder: Path, repeats: int, block_s: float, more: str = "") -> dict[str, Runs]:
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(servers.mock(folder))
        ways = {
            MOCK: upstream,
            EMPTY: stack.enter_context(servers.empty_proxy(folder, upstream)),
            METIER: stack.enter_context(servers.metier(folder / "project", upstream, more)),
        }
        if servers.litellm_version() is not None:
            ways[LITELLM] = stack.enter_context(servers.litellm(folder, upstream, workload.MODEL))
        calls = {name: workload.chats(server.address, _JUDGES[name], key=server.key) for name, server in ways.items()}
        found = {name: Runs() for name in ways}
        for name, server in ways.items():
            closed_loop(server.address, workload.forever(calls[name]), CONNECTIONS, duration_s=_WARM_UP_S)
        for repeat in range(repeats):
            names = list(ways)
            start = repeat % len(names)
            for name in names[start:] + names[:start]:
                before = ways[name].cpu_s()
                load = closed_loop(ways[name].address, workload.forever(calls[name]), CONNECTIONS, duration_s=block_s)
                found[name].loads.append(load)
                found[name].cpu_s.append(servers.used_s(before, ways[name].cpu_s()))
                say(f"{name}: {load.rate:,.0f}/s, {load.n_errors} errors")
    return found


def figures(found: dict[str, Runs]) -> dict[str, Any]:
    ways = {
        name: {
            "n_calls": sum(load.n for load in runs.loads),
            "rate": spread(load.rate for load in runs.loads),
            "share_of_empty": spread(
                load.rate / empty.rate for load, empty in zip(runs.loads, found[EMPTY].loads, strict=True)
            ),
            "latency_p50_s": spread(percentile(load.latencies_s, 0.5) for load in runs.loads),
            "latency_p99_s": spread(percentile(load.latencies_s, 0.99) for load in runs.loads),
            "cpu_s_per_call": spread(cpu_s / load.n for cpu_s, load in zip(runs.cpu_s, runs.loads, strict=True)),
            "errors": dict(sum((load.errors for load in runs.loads), Counter())),
        }
        for name, runs in found.items()
    }
    return {"litellm_version": servers.litellm_version(), "connections": CONNECTIONS, "ways": ways}


def show(result: dict[str, Any], repeats: int) -> str:
    rows = []
    for name, row in result["ways"].items():
        shown = f"{name} {result['litellm_version']}" if name == LITELLM else name
        rows.append(
            [
                shown,
                f"{row['n_calls']:,}",
                f"{sum(row['errors'].values())}",
                row["rate"].show(),
                "" if name == MOCK else row["share_of_empty"].show(1, 100),
                row["cpu_s_per_call"].show(0, 1e6),
                row["latency_p50_s"].show(1, 1e3),
                row["latency_p99_s"].show(1, 1e3),
            ]
        )
    rows.append(["*metier, to reach*", "", "0", "≥ 12 × LiteLLM's", "≥ 60", "", "", ""])
    head = ["passing through", "calls", "errors", "requests/s", "% of the empty handler", "server CPU µs a call"]
    head += ["p50 ms", "p99 ms"]
    notes = [f"Median of {repeats} runs (least–most), {CONNECTIONS} connections, one worker each."]
    if LITELLM in result["ways"]:
        ratio = result["ways"][METIER]["rate"].median / result["ways"][LITELLM]["rate"].median
        notes.append(f"metier: {ratio:.1f} times LiteLLM's rate.")
    else:
        notes.append("LiteLLM was not measured: it is not installed (`make bench` does it).")
    return table(head, rows) + "\n\n" + " ".join(notes)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=0, help="7, quick 2")
    parser.add_argument("--block-s", type=float, default=0.0, help="seconds a run, 6, quick 2")


def main() -> None:
    given = options(__doc__, _add_options)
    repeats = given.repeats or (2 if given.quick else 7)
    with work_folder() as folder:
        found = measure(folder, repeats, given.block_s or (2.0 if given.quick else 6.0))
    result = figures(found)
    failures = [f"{name}: {row['errors']}" for name, row in result["ways"].items() if row["errors"]]
    finish(result, show(result, repeats), given.out, failures)


if __name__ == "__main__":
    main()
