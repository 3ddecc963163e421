"""What a database may do to a running gateway: no call waits for it or fails, and in the end it holds all of them."""

from __future__ import annotations

import resource
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.gateway.conftest import ANSWER, Make
from tests.gateway.faults.serving import PROMPT_KEY, Gateway, Outcome, until
from tests.gateway.routing.conftest import request as kept_request

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": f"is {PROMPT_KEY} any good?"}]}
TROUBLE = "the database does not take traces; they wait in the journal"
_N_CALLS = 10


def calls(gateway: Gateway) -> list[Outcome]:
    """Answers that are all right, whatever the database is doing."""
    outcomes = []
    for number in range(_N_CALLS):
        outcomes.append(gateway.call(kept_request() if number % 2 else {**ASKED, "stream": number % 4 == 0}))
        assert outcomes[-1].text == ("money_transfer" if number % 2 else ANSWER)
    return outcomes


def in_trouble(gateway: Gateway) -> int:
    return sum(line.get("message") == TROUBLE for line in gateway.log("recording"))


def survived(gateway: Gateway, harm: Callable[[], Any], mend: Callable[[], Any]) -> None:
    """Calls before, during and after the harm: all answered, none twice and none missing in the database."""
    outcomes = calls(gateway)
    # A database that was in trouble before must be known to be well, or the next trouble is no news to the log.
    gateway.wait_for(outcome.trace_id for outcome in outcomes)
    n_before, lost_before = in_trouble(gateway), gateway.stated_loss()
    harm()
    try:
        outcomes += calls(gateway)
        until(lambda: in_trouble(gateway) > n_before, "the trouble is not in the log")
        outcomes += calls(gateway)
        ids = {outcome.trace_id for outcome in outcomes}
        assert any(each.encode() in journal(gateway) for each in ids if each), "the calls are not in the journal"
        # Also what waits in the journal holds no secret.
        gateway.check_secrets()
    finally:
        mend()
    outcomes += calls(gateway)
    traces = gateway.wait_for(outcome.trace_id for outcome in outcomes)
    assert len({outcome.trace_id for outcome in outcomes}) == 4 * _N_CALLS
    assert all(trace["response"] for id_, trace in traces.items() if id_ in {each.trace_id for each in outcomes})
    assert gateway.stated_loss() == lost_before


def journal(gateway: Gateway) -> bytes:
    return b"".join(path.read_bytes() for path in (gateway.folder / ".metier" / "journal").glob("*/*.jsonl"))


def test_sqlite_is_locked(served: Gateway) -> None:
    other = sqlite3.connect(served.location, isolation_level=None)
    survived(served, lambda: other.execute("BEGIN IMMEDIATE"), lambda: other.execute("ROLLBACK"))
    other.close()


def test_sqlite_is_gone_and_comes_back(served: Gateway) -> None:
    def moved(to: str, back: bool = False) -> None:
        # The file itself last when it comes back: whoever finds it finds its log beside it.
        for suffix in ("-wal", "-shm", "") if back else ("", "-wal", "-shm"):
            here, there = Path(f"{served.location}{suffix}"), Path(f"{served.location}.{to}{suffix}")
            first, second = (there, here) if back else (here, there)
            if first.exists():
                first.rename(second)

    survived(served, lambda: moved("away"), lambda: moved("away", back=True))


@contextmanager
def file_limit(pids: list[int], n_bytes: int) -> Iterator[None]:
    """No file of these processes may grow beyond so many bytes, as on a full disk: writing gives an error."""
    before = [resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids]
    for pid, (_, hard) in zip(pids, before, strict=True):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        for pid, limits in zip(pids, before, strict=True):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def test_no_room_for_the_database(served: Gateway) -> None:
    """The disk is full for the process that writes the database; the journal has room."""
    limit = file_limit(served.children("metier.gateway.process.ingesting"), 4096)
    survived(served, limit.__enter__, lambda: limit.__exit__(None, None, None))


def test_no_room_for_anything(served: Gateway) -> None:
    """The disk is full for journal, database and log: calls are answered, and written down when there is room."""
    outcomes = calls(served)
    with file_limit(served.children(), 4096):
        outcomes += calls(served)
        time.sleep(0.2)
        assert served.call(None, "/readyz", method="GET").status == 200
    outcomes += calls(served)
    served.wait_for(outcome.trace_id for outcome in outcomes)


def test_postgresql_stops_and_comes_back(make_gateway: Make, postgres_server: Any, postgres_url: str) -> None:
    """With a key in use, so that the list of keys comes from the database that goes away. It is away at the start, too:
    then nobody can be told from a stranger, and everybody is asked to come back."""
    password = "Xk7-postgres-password-19vQ"
    gateway = make_gateway(location=postgres_url, password=password)
    gateway.environment["PGPASSWORD"] = password
    gateway.make_key("shop")
    postgres_server.stop()
    try:
        gateway.start()
        early = gateway.call(ASKED)
    finally:
        postgres_server.start()
    assert (early.status, early.error["type"]) == (503, "api_error")
    until(lambda: gateway.call(ASKED).status == 200, "the keys are not read")
    survived(gateway, postgres_server.stop, postgres_server.start)
    assert gateway.stop() == 0
    assert "Traceback" not in gateway.said
    gateway.check_secrets()
    gateway.end()
