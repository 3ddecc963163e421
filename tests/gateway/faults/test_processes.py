"""What may happen to a gateway's processes under load: calls go on, and what was lost is in the log, to the call."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.conftest import AGREEING, ANSWER, Make
from tests.gateway.faults.serving import PROMPT_KEY, Gateway, Load, Outcome, until
from tests.gateway.routing.conftest import request as kept_request

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": f"is {PROMPT_KEY} any good?"}]}
STREAM = {**ASKED, "stream": True, "x_fake": {"tokens_per_s": 200}}
KEPT = {**kept_request(), "model": AGREEING}
REQUESTS = (KEPT, ASKED, STREAM, {**KEPT, "stream": True})
# What a kill may cost, by the product's own promise.
LAST_S = 1.0
# Beside each process that runs, time.time() is ahead of the machine's clock by what the file says.
_JUMPING_CLOCK = """\
import time
_time, _file = time.time, {path!r}
def _read():
    try:
        with open(_file) as file:
            return float(file.read() or 0)
    except OSError:
        return 0.0
time.time = lambda: _time() + _read()
"""


@pytest.fixture(scope="module")
def gateway(make_gateway: Make, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of this module's own, not yet started; its tests kill it and start it again."""
    gateway = make_gateway()
    # Every kept answer is audited as well, so that audits are under way whatever happens.
    gateway.configure(serve=["workers = 2", "drain_s = 5.0"], audit_share=1.0)
    gateway.make_key("shop")
    # Not in the project's folder: metier takes no code from there.
    place = tmp_path_factory.mktemp("clock")
    (place / "sitecustomize.py").write_text(_JUMPING_CLOCK.format(path=str(place / "ahead")))
    gateway.environment["PYTHONPATH"] = str(place)
    yield gateway
    gateway.end()


@pytest.fixture
def running(gateway: Gateway) -> Gateway:
    if not gateway.is_running:
        gateway.start()
    return gateway


def expected(request: Any) -> str:
    return ANSWER if request in (ASKED, STREAM) else "money_transfer"


def check(gateway: Gateway, load: Load, killed_at: float | None, n_workers: int, *, lost_before: int) -> None:
    """Every answer is right; all are in the database but for what was lost, which is of the last second before the kill
    and what the log states."""
    for request, outcome in load.answered:
        outcome.check(expected(request))
    answered = {outcome.trace_id: outcome for _, outcome in load.answered if outcome.trace_id is not None}
    assert len(answered) == len(load.answered)
    missing: list[Outcome] = []

    def is_settled() -> bool:
        found = gateway.trace_ids()
        missing[:] = [outcome for id_, outcome in answered.items() if id_ not in found]
        n_stated = gateway.stated_loss() - lost_before
        # The call that a worker was just answering may have been sent off and not yet counted.
        return len(missing) <= n_stated + (n_workers if killed_at is not None else 0)

    until(
        is_settled, lambda: f"{len(missing)} are missing, {gateway.stated_loss() - lost_before} were stated lost", 0.1
    )
    if killed_at is None:
        assert missing == []
    else:
        assert all(killed_at - outcome.done_at < LAST_S for outcome in missing)


def test_kill_minus_nine_of_a_worker_under_load(running: Gateway) -> None:
    lost_before = running.stated_loss()
    workers = running.children("metier.gateway.process.worker")
    assert len(workers) == 2
    with Load(running, REQUESTS) as load:
        load.wait(40)
        killed_at = time.monotonic()
        os.kill(workers[0], signal.SIGKILL)
        load.wait(40)
        until(lambda: len(running.children("metier.gateway.process.worker")) == 2, "no new worker")
        load.wait(30)
    # Each client's connection breaks once at most; a new one is answered.
    assert len(load.broken) <= load.n_clients
    check(running, load, killed_at, 1, lost_before=lost_before)


def test_kill_minus_nine_of_the_ingester_under_load(running: Gateway) -> None:
    (ingester,) = running.children("metier.gateway.process.ingesting")
    with Load(running, REQUESTS) as load:
        load.wait(40)
        os.kill(ingester, signal.SIGKILL)
        load.wait(40)
    assert load.broken == []
    check(running, load, None, 0, lost_before=running.stated_loss())


def test_kill_minus_nine_of_the_supervisor_under_load(running: Gateway) -> None:
    """Its children finish the calls they have, write everything down, and leave the address free."""
    assert running.process is not None
    lost_before = running.stated_loss()
    with Load(running, REQUESTS) as load:
        load.wait(40)
        running.process.kill()
        running.process.wait(60)
        until(lambda: running.children() == [], "the children live on")
    running.start()
    for request, outcome in load.answered:
        outcome.check(expected(request))
    check(running, load, None, 0, lost_before=lost_before)


def test_kill_minus_nine_of_everything_under_load(running: Gateway) -> None:
    lost_before = running.stated_loss()
    with Load(running, REQUESTS) as load:
        load.wait(40)
        killed_at = running.kill_everything()
        running.start()
        load.wait(30)
    check(running, load, killed_at, 2, lost_before=lost_before)
    assert [line for line in running.log("recording") if line.get("message") == "a worker ended without goodbye"]


@pytest.mark.parametrize("jump_s", [-7_200.0, 40 * 86_400.0], ids=["two hours back", "forty days ahead"])
def test_the_clock_jumps_under_load(running: Gateway, jump_s: float) -> None:
    """Calls, streams and time limits go by a clock that does not jump; keys stay valid; every call is recorded."""
    ahead = Path(running.environment["PYTHONPATH"]) / "ahead"
    lost_before = running.stated_loss()
    slow = {**STREAM, "x_fake": {"tokens_per_s": 4}}
    with Load(running, (*REQUESTS, slow, *REQUESTS * 4)) as load:
        load.wait(30)
        before = time.monotonic()
        ahead.write_text(str(jump_s))
        until(lambda: any(o.sent_at > before and r is slow for r, o in load.answered), "no stream after the jump")
        load.wait(40)
        # Longer than keys and champions are looked at.
        until(lambda: time.monotonic() > before + 1.5, "time stands still")
    assert load.broken == []
    for request, outcome in load.answered:
        assert outcome.status == 200, outcome.body
        outcome.check(ANSWER if request is slow else expected(request))
    traces = running.wait_for(outcome.trace_id for _, outcome in load.answered)
    for _, outcome in load.answered:
        trace = traces[outcome.trace_id or ""]
        assert 0 <= trace["latency_s"] <= outcome.done_at - outcome.sent_at + 0.5
        assert trace["ttft_s"] is None or 0 <= trace["ttft_s"] <= trace["latency_s"]
    assert max(abs(traces[o.trace_id or ""]["time"] - time.time() - jump_s) for _, o in load.answered[-3:]) < 60
    assert running.stated_loss() == lost_before


def test_sigterm_under_load(running: Gateway) -> None:
    lost_before = running.stated_loss()
    slow = {**STREAM, "x_fake": {"tokens_per_s": 4}}
    with Load(running, (*REQUESTS, slow, *REQUESTS * 4)) as load:
        load.wait(40)
        # A stream that is under way when the signal comes.
        until(lambda: any(request is slow for request, _ in load.answered), "no slow stream yet")
        assert running.stop() == 0
        n_answered = len(load.answered)
    assert len(load.answered) >= n_answered
    for request, outcome in load.answered:
        outcome.check(ANSWER if request is slow else expected(request))
    # Calls that had begun were finished: what broke was sent to a port that was closed already, or on a connection in the
    # moment it was closed.
    for outcome in load.broken:
        assert outcome.status == 0
    answered = {outcome.trace_id for _, outcome in load.answered if outcome.trace_id}
    traces = running.traces()
    assert answered <= set(traces)
    assert any(traces[id_]["reference"] == "money_transfer" for id_ in answered)
    assert running.stated_loss() == lost_before
    assert "Traceback" not in running.said
    running.check_secrets()
