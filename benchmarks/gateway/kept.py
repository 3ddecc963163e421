"""Answers that the specialist gives itself: the most a second, and their latency at 70% of that, by kind of student.

The specialists are made by metier's commands from clinc150 (150 labels) and promoted; the gateway runs as it comes, in mode
`route`, recording and auditing included. Inputs are held-out utterances that `metier predict` says the policy keeps; each
answer must be kept and be the very label that `metier predict` gave.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from collections.abc import Callable
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
_TO_REACH = {projects.LINEAR: "≥ 1,200", projects.ENCODER: "≥ 250"}
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
        most, cpu_s = _repeated(
            server,
            repeats,
            f"{student}, closed loop",
            lambda _: closed_loop(server.address, workload.forever(calls), CONNECTIONS, duration_s=block_s),
        )
        rate = SHARE_OF_MAXIMUM * statistics.median(load.rate for load in most)
        loaded, _ = _repeated(
            server,
            repeats,
            f"{student}, {rate:,.0f}/s",
            lambda repeat: open_loop(
                server.address, workload.forever(calls), poisson(rate, block_s, repeat), 4 * CONNECTIONS
            ),
        )
    return {
        "n_calls": sum(load.n for load in (*most, *loaded)),
        "rate": spread(load.rate for load in most),
        "cpu_s_per_call": spread(seconds / load.n for seconds, load in zip(cpu_s, most, strict=True)),
        "loaded_rate": rate,
        "loaded_p50_s": spread(percentile(load.latencies_s, 0.5) for load in loaded),
        "loaded_p99_s": spread(percentile(load.latencies_s, 0.99) for load in loaded),
        "errors": dict(sum((load.errors for load in (*most, *loaded)), Counter())),
    }


def _repeated(
    server: servers.Server, repeats: int, what: str, once: Callable[[int], Load]
) -> tuple[list[Load], list[float]]:
    loads, cpu_s = [], []
    for repeat in range(repeats):
        before = server.cpu_s()
        load = once(repeat)
        cpu_s.append(servers.used_s(before, server.cpu_s()))
        loads.append(load)
        say(f"{what}: {load.rate:,.0f}/s, {load.n_errors} errors")
    return loads, cpu_s


def show(result: dict[str, Any], repeats: int) -> str:
    head = ["kept by", "calls", "errors", "answers/s", "to reach", "server CPU µs a call", "load, calls/s"]
    head += ["p50 ms at 70%", "p99 ms at 70%", "to reach"]
    rows = [
        [
            student,
            f"{row['n_calls']:,}",
            f"{sum(row['errors'].values())}",
            row["rate"].show(),
            _TO_REACH[student],
            row["cpu_s_per_call"].show(0, 1e6),
            f"{row['loaded_rate']:,.0f}",
            row["loaded_p50_s"].show(1, 1e3),
            row["loaded_p99_s"].show(1, 1e3),
            _P99_TO_REACH[student],
        ]
        for student, row in result["students"].items()
    ]
    note = (
        f"Median of {repeats} runs (least–most). Maximum: {CONNECTIONS} connections in a closed loop. At 70% of it: calls "
        "arrive at random (Poisson), latencies from the time each was to be sent. One worker; 150 labels; "
        "the default 2% of the kept answers are audited at the mock as well."
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
