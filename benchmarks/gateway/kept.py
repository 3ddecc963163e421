"""Answers that the specialist gives itself, by kind of student: the most a second, and their latency at 70% of the rate
to reach and at 70% of the most.

The specialists are made by metier's commands from clinc150 (150 labels) and promoted; the gateway runs as it comes, in mode
`route`, recording and auditing included. Inputs are held-out utterances that `metier predict` says the policy keeps; each
answer must be kept and be the very label that `metier predict` gave.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import project as projects
import servers
import workload
from common import finish, options, say, work_folder
from load import Address, Call, Load, closed_loop, open_loop, poisson
from project import Project
from summary import percentile, spread, table

CONNECTIONS = 32
SHARE_OF_MAXIMUM = 0.7
_N_INPUTS = 400
_WARM_UP_S = 3.0
_TO_REACH = {projects.LINEAR: 1_200, projects.ENCODER: 250}  # answers a second
_P99_TO_REACH = {projects.LINEAR: "≤ 25", projects.ENCODER: ""}
ROUTE = """
[route]
mode = "route"
"""


def labelled_requests(project: Project, n: int) -> list[tuple[dict[str, Any], str]]:
    """Requests of the log that the policy keeps, each with the label that `metier predict` gives."""
    requests = {request["messages"][-1]["content"]: request for request in project.requests()}  # type: ignore[index]
    inputs = project.folder / "inputs.jsonl"
    inputs.write_bytes(b"".join(orjson.dumps({"input": text}) + b"\n" for text in list(requests)[-4 * n :]))
    printed = projects.command(project.folder, "predict", project.task, inputs.name)
    answers = [orjson.loads(line) for line in printed.splitlines()]
    kept = [(requests[row["input"]], row["label"]) for row in answers if row["decision"] == "kept"]
    if len(kept) < n:
        raise RuntimeError(f"{project.folder}: only {len(kept)} of {len(answers)} inputs are kept; {n} are needed")
    return kept[:n]


def kept_calls(address: Address, labels: list[tuple[dict[str, Any], str]]) -> list[Call]:
    return [
        Call(workload.http(address, "/v1/chat/completions", orjson.dumps(request)), workload.labelled(label))
        for request, label in labels
    ]


def answers_file(folder: Path, labels: list[tuple[dict[str, Any], str]]) -> Path:
    """What the mock answers when it is asked as an audit: the same label, so that no certificate is revoked."""
    path = folder / "answers.json"
    path.write_bytes(orjson.dumps({request["messages"][-1]["content"]: label for request, label in labels}))
    return path


def measure(project: Project, student: str, folder: Path, repeats: int, block_s: float) -> dict[str, Any]:
    labels = labelled_requests(project, _N_INPUTS)
    at = projects.copied(project, folder / student)
    projects.command(at.folder, "promote", at.task, at.policy_id)
    with (
        servers.mock(folder, "--answers", str(answers_file(folder, labels))) as upstream,
        servers.metier(at.folder, upstream, ROUTE) as server,
    ):
        calls = kept_calls(server.address, labels)
        closed_loop(server.address, workload.forever(calls), CONNECTIONS, duration_s=_WARM_UP_S)
        most: list[Load] = []
        loaded: dict[str, list[Load]] = {"to_reach": [], "most": []}
        cpu_s = []
        for repeat in range(repeats):
            before = server.cpu_s()
            most.append(closed_loop(server.address, workload.forever(calls), CONNECTIONS, duration_s=block_s))
            cpu_s.append(servers.used_s(before, server.cpu_s()))
            # Of the rate just measured: the machine may be slower or faster a minute later.
            for name, full in (("to_reach", float(_TO_REACH[student])), ("most", most[-1].rate)):
                times_s = poisson(SHARE_OF_MAXIMUM * full, block_s, repeat)
                load = open_loop(server.address, workload.forever(calls), times_s, 4 * CONNECTIONS)
                loaded[name].append(load)
                say(f"{student}: {most[-1].rate:,.0f}/s at most; p99 at {load.rate:,.0f}/s {_p99_ms(load):.1f} ms")
    every = [*most, *loaded["to_reach"], *loaded["most"]]
    return {
        "n_calls": sum(load.n for load in every),
        "rate": spread(load.rate for load in most),
        "cpu_s_per_call": spread(seconds / load.n for seconds, load in zip(cpu_s, most, strict=True)),
        "errors": dict(sum((load.errors for load in every), Counter())),
        "loaded": {
            name: {
                "rate": spread(load.rate for load in loads),
                "p50_s": spread(percentile(load.latencies_s, 0.5) for load in loads),
                "p99_s": spread(percentile(load.latencies_s, 0.99) for load in loads),
            }
            for name, loads in loaded.items()
        },
    }


def _p99_ms(load: Load) -> float:
    return 1e3 * percentile(load.latencies_s, 0.99)


def show(result: dict[str, Any], repeats: int) -> str:
    head = ["kept by", "load", "calls/s", "to reach", "server CPU µs a call", "p50 ms", "p99 ms", "to reach"]
    rows = []
    for student, row in result["students"].items():
        rate = f"≥ {_TO_REACH[student]:,}"
        rows.append([student, "the most", row["rate"].show(), rate, row["cpu_s_per_call"].show(0, 1e6), "", "", ""])
        for name, what in (("to_reach", "70% of the rate to reach"), ("most", "70% of the most")):
            load = row["loaded"][name]
            times = [load["p50_s"].show(1, 1e3), load["p99_s"].show(1, 1e3)]
            rows.append([student, what, load["rate"].show(), "", "", *times, _P99_TO_REACH[student]])
    counts = "; ".join(
        f"{student}: {row['n_calls']:,} calls, {sum(row['errors'].values())} errors"
        for student, row in result["students"].items()
    )
    note = (
        f"Median of {repeats} runs (least–most). The most: {CONNECTIONS} connections in a closed loop. The others: calls "
        "arrive at random (Poisson), latencies from the time each was to be sent; 70% of what the closed loop just before "
        "gave. One worker; 150 labels; the default 2% of the kept answers are audited at the mock as well. "
        f"{counts}."
    )
    return table(head, rows) + "\n\n" + note


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=0, help="5, quick 2")
    parser.add_argument("--block-s", type=float, default=0.0, help="seconds a run, 8, quick 2")
    parser.add_argument("--students", nargs="+", choices=tuple(_TO_REACH), default=list(_TO_REACH))
    parser.add_argument("--project", type=Path, default=projects.FOLDER, help="where the projects are kept")


def main() -> None:
    given = options(__doc__, _add_options)
    repeats = given.repeats or (2 if given.quick else 5)
    with work_folder() as folder:
        found = {
            student: measure(
                projects.made(given.project, student),
                student,
                folder,
                repeats,
                given.block_s or (2.0 if given.quick else 8.0),
            )
            for student in given.students
        }
    result = {"connections": CONNECTIONS, "students": found}
    failures = [f"{student}: {row['errors']}" for student, row in found.items() if row["errors"]]
    finish(result, show(result, repeats), given.out, failures)


if __name__ == "__main__":
    main()
