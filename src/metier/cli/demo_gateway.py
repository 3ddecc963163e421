"""The last leg of `metier demo`: the gateway before a made-up frontier, asked with OpenAI's own client."""

from __future__ import annotations

import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import orjson
import polars as pl
from rich.markup import escape
from rich.table import Table

from metier.artefacts.datasets import Dataset
from metier.artefacts.tasks import Audit
from metier.calibrate import CalibrateSettings
from metier.cli.lookup import latest_dataset
from metier.cli.session import Session
from metier.cli.terminal import err, out
from metier.curation.labels import read_answer, spelling_key
from metier.errors import MetierError
from metier.labs.upstream import Behaviour, running_upstream
from metier.labs.upstream.texts import from_table, last_user_text

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0
_MAX_LABEL_CHARS = 200
# The demo's frontier has no list price; these are the prices of a mid-size model, and are said to be made up.
_SETTINGS = """
# The frontier of the demo: a server on this machine that repeats the answers of the log.
[upstreams.frontier]
base_url = "{url}"
api_key_env = ""
input_usd_per_million = 2.5
output_usd_per_million = 10.0
"""


@dataclass(frozen=True)
class Question:
    """A call of the log whose input was in no training: its request, what the frontier answered, and the truth (None for
    an input that belongs to no class)."""

    request: dict[str, Any]
    recorded: str
    truth: str | None


@dataclass(frozen=True)
class Served:
    """One answer of the gateway: its route, whether it was right (None for an input that belongs to no class), and
    seconds."""

    route: str
    is_right: bool | None
    latency_s: float


def serve_demo(at: Session, task: str, settings: Path, n_calls: int, seed: int) -> None:
    """Start the gateway on the demo's project, send it calls that no specialist was trained on, and say what came of it."""
    asked = questions(at, task, n_calls, seed)
    answer = from_table({last_user_text(one.request): one.recorded for one in asked})
    with running_upstream(Behaviour(answer=answer, latency_s=0.3)) as frontier:
        with settings.open("a", encoding="utf-8") as file:
            file.write(_SETTINGS.format(url=frontier.url))
        with _gateway(settings.parent) as base_url:
            served = _ask(base_url, asked, at)
    out.print(_table(served))


def questions(at: Session, task: str, n_calls: int, seed: int) -> list[Question]:
    """Calls of the log whose inputs stand in the dataset's test and ood splits, drawn at random; of the latter, which may
    be calls of other tasks, as many as the certificate reckons with."""
    found = latest_dataset(at, task)
    dataset, audit = found.dataset, cast(Audit, at.store.load(at.store.resolve(found.manifest.inputs["audit"])))
    truths = _held_out(dataset)
    rows = [
        (trace_id, text)
        for trace_id, task_id, text in audit.assignments.select("trace_id", "task_id", "input").iter_rows()
        if text in truths and (task_id == dataset.task_id or truths[text] is None)
    ]
    share = cast(CalibrateSettings, at.project.settings("calibrate", dataset.task_name)).ood_share
    chosen = _drawn(rows, truths, n_calls, share, random.Random(seed))
    with at.traffic() as traffic:
        calls = traffic.select(pl.Series(list(chosen)), ("id", "messages", "parameters", "response", "model"))
    return [
        Question(
            {"model": model or "frontier", "messages": orjson.loads(messages), **orjson.loads(parameters or "{}")},
            response or "",
            truths[chosen[trace_id]],
        )
        for trace_id, messages, parameters, response, model in calls.iter_rows()
    ]


def _drawn(
    rows: Sequence[tuple[str, str]],
    truths: Mapping[str, str | None],
    n_calls: int,
    ood_share: float,
    rng: random.Random,
) -> dict[str, str]:
    """Trace id -> input of `n_calls` rows at most, with `ood_share` of them out of scope."""
    foreign = [row for row in rows if truths[row[1]] is None]
    known = [row for row in rows if truths[row[1]] is not None]
    n_foreign = min(len(foreign), round(n_calls * ood_share))
    return dict(rng.sample(foreign, n_foreign) + rng.sample(known, min(len(known), n_calls - n_foreign)))


def _held_out(dataset: Dataset) -> dict[str, str | None]:
    """Inputs and what is right for them; those with the frontier's own answer alone only where there are no others."""
    test = dataset.split("test")
    judged = test.filter(pl.col("provenance") != "teacher")
    kept = [judged if judged.height else test, dataset.split("ood")]
    return {text: truth for split in kept for text, truth in split.select("input", "output").iter_rows()}


@contextmanager
def _gateway(folder: Path) -> Iterator[str]:
    """`metier serve` in a process of its own, ready; stopped as Ctrl-C would."""
    port = _free_port()
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "metier", "serve", "--port", str(port)], cwd=folder, stdout=log, stderr=log
        )
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{port}", folder / "gateway.log")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{address}/readyz", trust_env=False).status_code == httpx.codes.OK:
                for line in log.read_text(encoding="utf-8").splitlines():
                    if not line.startswith("{"):
                        err.print(line, markup=False, highlight=False, soft_wrap=True)
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise MetierError(f"the gateway did not start; {log} says why.")


def _ask(base_url: str, asked: Sequence[Question], at: Session) -> list[Served]:
    """Each question in turn, as an application would ask it."""
    import openai

    served = []
    with openai.OpenAI(
        base_url=base_url, api_key="unused", max_retries=0, http_client=openai.DefaultHttpxClient(trust_env=False)
    ) as client:
        for done, question in enumerate(asked, 1):
            began = time.perf_counter()
            reply = client.chat.completions.with_raw_response.create(**question.request)
            latency_s = time.perf_counter() - began
            said = reply.parse().choices[0].message.content or ""
            right = None if question.truth is None else _same(said, question.truth)
            served.append(Served(reply.headers["x-metier-route"], right, latency_s))
            at.progress("Asking the gateway", done, len(asked))
    return served


def _same(said: str, truth: str) -> bool:
    label = read_answer(said, _MAX_LABEL_CHARS).label
    return label is not None and spelling_key(label) == spelling_key(truth)


def _table(served: Sequence[Served]) -> Table:
    """A row a route: calls, how many were right and wrong, how many belonged to no class, median milliseconds."""
    title = f"{len(served)} calls that no specialist was trained on, through the gateway"
    table = Table(title=title, title_justify="left")
    table.add_column("route")
    for name in ("calls", "share", "right", "wrong", "out of scope", "median"):
        table.add_column(name, justify="right")
    for route in sorted({one.route for one in served}):
        rows = [one for one in served if one.route == route]
        verdicts = Counter(one.is_right for one in rows)
        counts = (str(verdicts[verdict]) for verdict in (True, False, None))
        median_ms = statistics.median(one.latency_s for one in rows) * 1000
        table.add_row(escape(route), str(len(rows)), f"{len(rows) / len(served):.0%}", *counts, f"{median_ms:.1f} ms")
    return table
