"""Calls that wait for a specialist that writes: everything else goes on, the queue has an end, and so has patience."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from metier.gateway.calls import Decision, Mode, Pending, Reason, Route, Written
from metier.gateway.routing.asking import Failures
from metier.gateway.routing.desks import WritingDesk

ASKED = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "THE NORTH SHOP"}]}
TEXT = '{"company": "The North Shop", "total": "9.00"}'
KEPT = Decision(Route.KEPT, None, "receipts", Mode.ROUTE, written=Written(TEXT), label=TEXT, tokens=(40, 20))
BUSY = Decision(Route.ESCALATED, Reason.BUSY, "receipts", Mode.ROUTE)
PATIENCE_S = 20.0


@dataclass
class Pen:
    """A desk with two places whose answers are written when the test says so."""

    failures: Failures = field(default_factory=Failures)
    may_write: threading.Event = field(default_factory=threading.Event)
    n_written: int = 0

    def __post_init__(self) -> None:
        self.desk = WritingDesk(2, "lm spec", self.failures)

    def write(self) -> Decision:
        assert self.may_write.wait(PATIENCE_S)
        self.n_written += 1
        return KEPT

    def pending(self, max_waiting: int = 8, timeout_s: float = PATIENCE_S) -> Decision:
        return replace(BUSY, pending=Pending(self.desk, self.write, max_waiting, timeout_s, BUSY))

    def until(self, n_under_way: int) -> None:
        end = time.monotonic() + PATIENCE_S
        while self.desk.n_under_way != n_under_way:
            assert time.monotonic() < end, self.desk.n_under_way
            time.sleep(0.002)


@pytest.fixture
def pen() -> Iterator[Pen]:
    pen = Pen()
    yield pen
    pen.may_write.set()
    pen.desk.end(lambda: None, lambda: None)


def post(gateway: Any, **changes: Any) -> httpx.Response:
    return httpx.post(gateway.url + "/chat/completions", json={**ASKED, **changes}, timeout=PATIENCE_S)


def test_everything_else_goes_on_while_answers_are_written(gateway: Any, pen: Pen) -> None:
    gateway.router.decision = pen.pending()
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(post, gateway) for _ in range(6)]
        pen.until(6)
        assert httpx.get(gateway.root + "/healthz", timeout=PATIENCE_S).status_code == 200
        gateway.router.decision, gateway.router.slow = replace(KEPT, task="other"), True
        assert post(gateway).headers["x-metier-task"] == "other"
        assert pen.n_written == 0
        pen.may_write.set()
        assert [one.result().headers["x-metier-route"] for one in waiting] == ["kept"] * 6
    assert pen.n_written == 6


def test_a_full_queue_sends_calls_on(gateway: Any, pen: Pen) -> None:
    gateway.router.decision = pen.pending(max_waiting=1)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(post, gateway) for _ in range(3)]
        pen.until(3)
        late = post(gateway)
        assert (late.headers["x-metier-route"], late.headers["x-metier-reason"]) == ("escalated", "specialist_busy")
        assert late.json()["choices"][0]["message"]["content"] == "THE NORTH SHOP"
        pen.may_write.set()
        assert {one.result().headers["x-metier-route"] for one in waiting} == {"kept"}
    pen.until(0)
    assert post(gateway).headers["x-metier-route"] == "kept"


def test_who_waits_too_long_is_sent_on_and_gives_its_place_back(
    gateway: Any, pen: Pen, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.router.decision = pen.pending(timeout_s=0.2)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: post(gateway), range(4)))
    assert {answer.headers["x-metier-reason"] for answer in answers} == {"specialist_busy"}
    assert pen.failures.n == 4
    assert "specialist lm spec did not answer in time" in caplog.text
    # The two that had begun are written to their end; those that waited are not written at all.
    pen.until(2)
    pen.may_write.set()
    pen.until(0)
    assert pen.n_written == 2


def test_a_client_that_hangs_up_gives_its_place_back(gateway: Any, pen: Pen) -> None:
    gateway.router.decision = pen.pending()
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(post, gateway) for _ in range(2)]
        pen.until(2)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(gateway.url + "/chat/completions", json=ASKED, timeout=0.3)
        pen.until(2)
        pen.may_write.set()
        assert {one.result().status_code for one in waiting} == {200}
    assert pen.n_written == 2


def test_the_usage_of_a_kept_answer_is_what_the_specialist_counted(gateway: Any, pen: Pen) -> None:
    pen.may_write.set()
    gateway.router.decision = pen.pending()
    assert post(gateway).json()["usage"] == {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60}
    record = gateway.book.wait()[0]
    # What was saved is priced by what the frontier model would have counted.
    assert (record.input_tokens, record.is_estimated) == (4, True)


def test_work_that_was_taken_is_done_before_the_specialist_is_freed(pen: Pen) -> None:
    future = pen.desk.submit(pen.write, 0)
    freed = threading.Event()
    pen.desk.retire(freed.set)
    assert pen.desk.submit(pen.write, 8) is None
    assert not freed.is_set()
    pen.may_write.set()
    assert future is not None
    assert future.result(PATIENCE_S) is KEPT
    assert freed.wait(PATIENCE_S)


def test_at_the_end_what_is_being_written_is_broken_off_and_what_waits_is_dropped(pen: Pen) -> None:
    futures = [pen.desk.submit(pen.write, 8) for _ in range(5)]
    freed = threading.Event()
    pen.desk.end(pen.may_write.set, freed.set)
    assert freed.is_set()
    assert pen.n_written == 2
    assert [future is not None and future.cancelled() for future in futures] == [False, False, True, True, True]
