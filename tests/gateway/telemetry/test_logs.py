"""Log lines can be read by machines, hold nothing that was said and no secret, and never hold up a call."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metier.gateway.calls import AuditOutcome, CallRecord
from metier.gateway.telemetry.lines import MAX_VALUE_CHARACTERS, clean, line
from metier.gateway.telemetry.logs import NoLogs, open_logs
from metier.gateway.telemetry.masks import masked
from metier.gateway.telemetry.stdlib import EventHandler, give_back_logging, take_over_logging
from metier.gateway.telemetry.writer import LineWriter

INJECTIONS = (
    'x"\n{"event":"call","status":200}',
    "x\r\nInjected: yes",
    "\x1b[2J\x1b]0;title\x07red \x1b[31m",
    "\x9b31mC1",
    "line\u2028separator\u2029",
    "right\u202eto left",
    "nul\x00byte",
    "lone \ud800 surrogate",
    "x" * 5_000,
    'level=error msg="forged"',
)


def test_a_call_is_one_object(opened: Callable[..., Any], escalated: Callable[..., CallRecord]) -> None:
    gateway = opened()
    gateway.call(escalated(attempts=2))
    (text,) = gateway.lines()
    found = json.loads(text)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "info",
        "event": "call",
        "trace_id": "mtr-" + "0" * 32,
        "endpoint": "/v1/chat/completions",
        "status": 200,
        "model": "gpt-4.1",
        "stream": True,
        "key_id": "key-1",
        "route": "escalated",
        "reason": "low_score",
        "task": "intents",
        "score": 0.4,
        "threshold": 0.8,
        "policy_id": "policy-1",
        "upstream": "openai",
        "upstream_model": "gpt-4.1-2025-04-14",
        "attempts": 2,
        "latency_s": 1.7,
        "ttft_s": 0.3,
        "input_tokens": 12,
        "output_tokens": 2,
        "cost_usd": 0.5,
    }


def test_nothing_that_was_said_is_logged(
    opened: Callable[..., Any], kept: Callable[..., CallRecord], audit_of: Callable[..., AuditOutcome]
) -> None:
    gateway = opened()
    gateway.call(kept(decision={"is_audited": True}))
    gateway.telemetry.audited(audit_of(kept(), True))
    gateway.telemetry.audited(audit_of(kept(), None))
    text = "\n".join(lines := gateway.lines())
    assert "secret words" not in text
    assert "refund" not in text
    call, audit, failed = map(json.loads, lines)
    assert (call["event"], call["audited"]) == ("call", True)
    assert (audit["event"], audit["level"], audit["wrong"], audit["cost_usd"]) == ("audit", "info", True, 0.5)
    assert audit["trace_id"] == call["trace_id"]
    assert (failed["level"], failed["error"]) == ("warning", "upstream_timeout")


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("injected", INJECTIONS, ids=range(len(INJECTIONS)))
def test_nobody_can_forge_a_line(
    opened: Callable[..., Any], escalated: Callable[..., CallRecord], form: str, injected: str
) -> None:
    gateway = opened(form)
    gateway.call(escalated(model=injected, upstream_model=injected, error=injected, endpoint=injected))
    gateway.telemetry.event("reload", "warning", what=injected)
    lines = gateway.lines()
    assert len(lines) == 2
    for text in lines:
        assert text.isprintable()
        assert len(text) < 5 * (MAX_VALUE_CHARACTERS + 100)
    if form == "json":
        events = [json.loads(text) for text in lines]
        assert [(found["event"], found["level"]) for found in events] == [("call", "error"), ("reload", "warning")]
    else:
        assert lines[0].split()[1:3] == ["ERROR", "call"]
        assert lines[1].split()[1:3] == ["WARNING", "reload"]
        assert " level=error" not in lines[1].replace('"level=error', "")


def test_the_text_form_can_be_read_by_people(opened: Callable[..., Any], kept: Callable[..., CallRecord]) -> None:
    gateway = opened("text")
    gateway.call(kept())
    gateway.telemetry.event("started", address="http://127.0.0.1:8484", workers=2, note="no key: only this machine")
    call, started = gateway.lines()
    assert call.partition(" ")[2] == (
        f"INFO call trace_id=mtr-{'0' * 32} endpoint=/v1/chat/completions status=200 model=gpt-4.1 key_id=key-1 "
        "route=kept task=intents score=0.93 threshold=0.8 policy_id=policy-1 latency_s=0.004 input_tokens=12 "
        "output_tokens=2 cost_usd=0.0 saved_usd=0.25"
    )
    assert started.partition(" ")[2] == (
        'INFO started address=http://127.0.0.1:8484 workers=2 note="no key: only this machine"'
    )


def test_logs_that_are_off_write_nothing(opened: Callable[..., Any], kept: Callable[..., CallRecord]) -> None:
    gateway = opened("off")
    gateway.call(kept())
    gateway.telemetry.event("started")
    assert gateway.lines() == []
    assert isinstance(open_logs("off"), NoLogs)


SECRETS = (
    ("postgresql://metier:hunter2@db.example/traffic", "hunter2"),
    ("could not connect to postgresql+psycopg://u:p%40ss/word@db:5432/x", "p%40ss"),
    ("Authorization: Bearer sk-proj-abcdefghijklmnop0123456789", "abcdefghijklmnop"),
    ("got header authorization=Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
    ("key sk-" + "ant-api03-" + "aBcDeFgH" * 4 + " refused", "aBcDeFgH"),
    ('{"api_key": "0123456789abcdef0123456789abcdef"}', "0123456789abcdef"),
    ("password=correct-horse-battery", "correct-horse"),
    ("cookie: session=abcdef0123456789", "abcdef0123456789"),
    ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
)


@pytest.mark.parametrize(("text", "secret"), SECRETS, ids=range(len(SECRETS)))
def test_secrets_are_masked(opened: Callable[..., Any], text: str, secret: str) -> None:
    gateway = opened()
    gateway.telemetry.event("database_away", "error", error=text)
    (written,) = gateway.lines()
    assert secret not in written
    assert "[REDACTED" in written


def test_plain_words_are_left_alone() -> None:
    for text in (
        "http://127.0.0.1:8484/v1",
        "max_tokens 100",
        "3 workers",
        "mtr-" + "0" * 32,
        "postgresql://db.example/traffic",
    ):
        assert masked(text) == text


def test_a_key_sent_as_the_model_is_masked(opened: Callable[..., Any], kept: Callable[..., CallRecord]) -> None:
    gateway = opened()
    gateway.call(kept(model="sk-proj-abcdefghijklmnop0123456789"))
    (text,) = gateway.lines()
    assert "abcdefghijklmnop" not in text


def test_a_reader_that_stops_reading_costs_lines_not_time(tmp_path: Path) -> None:
    reader, descriptor = os.pipe()
    writer = LineWriter(descriptor, max_lines=100)
    before = threading.active_count()
    try:
        for _ in range(5_000):
            writer.write(b"x" * 999 + b"\n")
        # A pipe holds 64 KiB, a batch and the queue hold 100 lines each; the rest is gone, and counted.
        assert writer.n_dropped >= 5_000 - 66 - 200
        assert threading.active_count() == before
        drained = threading.Thread(target=lambda: _drain(reader))
        drained.start()
        writer.close(timeout_s=10)
    finally:
        os.close(descriptor)
        drained.join(10)
        os.close(reader)


def _drain(reader: int) -> None:
    while os.read(reader, 1 << 20):
        pass


def test_dropped_lines_are_counted_in_the_metrics(opened: Callable[..., Any], kept: Callable[..., CallRecord]) -> None:
    reader, descriptor = os.pipe()
    os.close(reader)
    gateway = opened(descriptor=descriptor)
    gateway.call(kept(), kept())
    gateway.telemetry.close()
    assert gateway.value("metier_dropped_log_lines_total") == 2
    os.close(descriptor)


def test_values_of_any_type_make_a_line() -> None:
    text = line("json", 0.0, "info", "odd", {"path": Path("/tmp/x\n"), "n": 3, "none": None, "list": [1, 2]})
    assert json.loads(text) == {
        "time": "1970-01-01T00:00:00.000Z",
        "level": "info",
        "event": "odd",
        "path": "/tmp/x\\n",
        "n": 3,
        "none": None,
        "list": [1, 2],
    }
    assert clean("a\\b ü 漢") == "a\\b ü 漢"


@pytest.fixture
def taken_over(opened: Callable[..., Any]) -> Iterator[Any]:
    gateway = opened()
    take_over_logging(gateway.telemetry)
    yield gateway
    give_back_logging()


def test_what_libraries_log_becomes_a_line(taken_over: Any) -> None:
    logging.getLogger("uvicorn.error").info("Uvicorn running on %s", "http://127.0.0.1:8484")
    logging.getLogger("uvicorn.access").info("GET / 200")
    try:
        raise ValueError("no route to postgresql://u:hunter2@db/x\nforged")
    except ValueError:
        logging.getLogger("metier.gateway").exception("background work failed")
    EventHandler(taken_over.telemetry).emit(
        logging.LogRecord("metier", logging.WARNING, __file__, 1, "%d", ("not a number",), None)
    )
    first, second, third = (json.loads(text) for text in taken_over.lines())
    assert first["logger"] == "uvicorn.error"
    assert first["message"] == "Uvicorn running on http://127.0.0.1:8484"
    assert second["level"] == "error"
    assert second["exception"].startswith("ValueError: no route to postgresql://u:[REDACTED")
    assert "test_logs.py" in second["frames"]
    assert third["message"] == "%d"
