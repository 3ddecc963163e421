"""A long run of mixed calls: no error, flat memory, every trace in the database.

Kept by a `linear` specialist, passed on, streamed, and embeddings, in turn, as fast as 32 connections get answers. Every
answer is checked, and its trace id noted; in the end each id must be in the database once.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import kept
import project as projects
import servers
import workload
from common import finish, options, say, work_folder
from load import Answer, Call, closed_loop
from summary import table

CONNECTIONS = 32
N = 300_000
# Of ten calls; the streams are of 20 pieces, sent at once.
_MIX = {"kept": 4, "passed": 4, "streamed": 1, "embeddings": 1}
_WARM_UP = 0.1
_STEPS = 30


class Noted:
    """Calls whose answers' trace ids are noted. Embeddings leave no trace: there is nothing to learn from them."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.n_answers = 0

    def noting(self, call: Call) -> Call:
        def check(answer: Answer) -> str | None:
            self.n_answers += 1
            identifier = answer.header(b"x-metier-trace")
            if identifier is None:
                return "no trace id"
            self.ids.add(identifier.decode())
            return call.check(answer)

        return replace(call, check=check)


def mixed(address: Any, labels: list[tuple[dict[str, Any], str]], noted: Noted) -> Iterator[Call]:
    """Calls of every kind in the proportions of the mix, in an order drawn once."""
    kinds = {
        "kept": kept.kept_calls(address, labels),
        "passed": workload.chats(address, workload.through_metier, 400),
        "streamed": workload.streams(address, workload.through_metier, 200, tokens_per_s=0.0, n_chunks=20),
        "embeddings": workload.vectors(address),
    }
    cycles = {
        kind: itertools.cycle(calls if kind == "embeddings" else [noted.noting(call) for call in calls])
        for kind, calls in kinds.items()
    }
    order = [kind for kind, count in _MIX.items() for _ in range(100 * count)]
    random.Random(0).shuffle(order)
    return (next(cycles[kind]) for kind in itertools.cycle(order))


def measure(project: projects.Project, folder: Path, n: int) -> dict[str, Any]:
    labels = kept.labelled_requests(project, 400)
    at = projects.copied(project, folder / "project")
    projects.command(at.folder, "promote", at.task, at.policy_id)
    noted = Noted()
    errors: Counter[str] = Counter()
    memory: list[tuple[int, float]] = []
    by_process: list[dict[int, float]] = []
    with (
        servers.mock(folder, "--answers", str(kept.answers_file(folder, labels))) as upstream,
        servers.metier(at.folder, upstream, kept.ROUTE) as server,
    ):
        calls = mixed(server.address, labels, noted)
        began, cpu = time.monotonic(), server.cpu_s()
        for step in range(_STEPS):
            load = closed_loop(server.address, calls, CONNECTIONS, n=n // _STEPS)
            errors += load.errors
            by_process.append(server.memory_mib())
            memory.append(((step + 1) * (n // _STEPS), sum(by_process[-1].values())))
            shown = " + ".join(f"{mib:.0f}" for mib in by_process[-1].values())
            say(f"{memory[-1][0]:,} calls, {load.rate:,.0f}/s, {load.n_errors} errors, {shown} MiB")
        wall_s, cpu_s = time.monotonic() - began, servers.used_s(cpu, server.cpu_s())
        n_live = len(_recorded(at.folder) & noted.ids)
        stop_s = servers.stop(server)
        has_ended_well = server.process.returncode == 0
    recorded = _recorded(at.folder)
    warm = next(mib for count, mib in memory if count >= _WARM_UP * n)
    return {
        "n_calls": n // _STEPS * _STEPS,
        "errors": dict(errors),
        "n_answers_with_a_trace": noted.n_answers,
        "n_traces": len(recorded & noted.ids),
        "n_missing": len(noted.ids - recorded),
        "n_recorded_at_the_end_of_the_load": n_live,
        "stop_s": stop_s,
        "has_ended_well": has_ended_well,
        "rate": n / wall_s,
        "cpu_s_per_call": cpu_s / n,
        "memory_mib": memory,
        "memory_mib_by_process": by_process,
        "memory_growth": memory[-1][1] / warm - 1,
        "warm_mib": warm,
    }


def _recorded(folder: Path) -> set[str]:
    """Ids of the traces in the database; an id that were in it twice would break its key."""
    with closing(sqlite3.connect(f"file:{folder / '.metier' / 'traffic.db'}?mode=ro", uri=True)) as database:
        return {row[0] for row in database.execute("SELECT id FROM traces WHERE id LIKE 'mtr-%'")}


def problems(result: dict[str, Any]) -> list[str]:
    """What went wrong: an error, a missing trace, a bad end. Memory is a figure to judge, not a wrong answer."""
    found = []
    if result["errors"]:
        found.append(f"errors: {result['errors']}")
    if result["n_traces"] != result["n_answers_with_a_trace"]:
        found.append(f"traces: {result['n_traces']:,} of {result['n_answers_with_a_trace']:,} are in the database")
    if not result["has_ended_well"]:
        found.append("the gateway did not end with exit code 0")
    return found


def show(result: dict[str, Any]) -> str:
    rows = [
        ["calls", "300,000", f"{result['n_calls']:,}"],
        ["errors", "0", f"{sum(result['errors'].values())}"],
        [
            "traces in the database, of the calls that leave one",
            "all",
            f"{result['n_traces']:,} of {result['n_answers_with_a_trace']:,}",
        ],
        ["memory after 10% of the calls, all processes, MiB", "", f"{result['warm_mib']:.0f}"],
        ["growth of memory from there, %", "≤ 5", f"{100 * result['memory_growth']:.1f}"],
        ["calls/s", "", f"{result['rate']:,.0f}"],
        ["CPU µs a call, all processes", "", f"{1e6 * result['cpu_s_per_call']:.0f}"],
        ["traces in the database as the load ended", "", f"{result['n_recorded_at_the_end_of_the_load']:,}"],
        ["seconds to stop (SIGTERM)", "", f"{result['stop_s']:.1f}"],
    ]
    mix = ", ".join(f"{count * 10}% {kind}" for kind, count in _MIX.items())
    return table(["soak", "to reach", "measured"], rows) + f"\n\nOne run; {mix}; {CONNECTIONS} connections, one worker."


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calls", type=int, default=0, help=f"{N}, quick 15000")
    parser.add_argument("--project", type=Path, default=projects.FOLDER, help="where the projects are kept")


def main() -> None:
    given = options(__doc__, _add_options)
    project = projects.made(given.project, projects.LINEAR)
    with work_folder() as folder:
        result = measure(project, folder, given.calls or (15_000 if given.quick else N))
    finish(result, show(result), given.out, problems(result))


if __name__ == "__main__":
    main()
