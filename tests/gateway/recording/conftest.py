"""Calls to record, and a journal with its ingester."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from metier.gateway.calls import Caller, CallRecord, Decision, Mode, Reason, Route
from metier.gateway.recording.ingester import Ingester
from metier.gateway.recording.journal import Journal
from metier.gateway.recording.recorder import JournalRecorder

ESCALATED = Decision(
    Route.ESCALATED,
    Reason.LOW_SCORE,
    "intents",
    Mode.ROUTE,
    "how do I pay?",
    "pay_bill",
    0.41,
    0.2,
    0.8,
    0.9,
    "policy-1",
    "specialist-1",
)


def _call(number: int, **changes: Any) -> CallRecord:
    made = CallRecord(
        trace_id=f"mtr-{number:032x}",
        endpoint="/v1/chat/completions",
        time=1_750_000_000.0 + number,
        caller=Caller("key-1", "shop"),
        request={
            "model": "support",
            "temperature": 0,
            "messages": [
                {"role": "system", "content": "You name the intent."},
                {"role": "user", "content": f"how do I pay bill {number}?"},
            ],
        },
        model="support",
        decision=ESCALATED,
        upstream="openai",
        upstream_model="gpt-4.1",
        attempts=1,
        status=200,
        response_id=f"chatcmpl-{number}",
        response="pay_bill",
        finish_reason="stop",
        input_tokens=30,
        output_tokens=2,
        cost_usd=0.001,
        latency_s=0.5,
    )
    return replace(made, **changes)


@dataclass
class Notes:
    """What was said to the log."""

    said: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, message: str, fields: Mapping[str, Any]) -> None:
        self.said.append((message, dict(fields)))

    def messages(self) -> list[str]:
        return [message for message, _ in self.said]


def _drain(root: Path, location: str, **options: Any) -> tuple[Ingester, Notes]:
    """An ingester that brings in everything that ended workers left, and stops."""
    notes = Notes()
    ingester = Ingester(root, location, note=notes, busy_timeout_s=0.2, **options)
    stop = threading.Event()
    stop.set()
    ingester.run(stop)
    return ingester, notes


def _recorder(root: Path, location: str, worker: str = "worker0", **options: Any) -> JournalRecorder:
    journal = Journal(root, worker, **{name: options.pop(name) for name in list(options) if name in _JOURNAL})
    return JournalRecorder(journal, location, options.pop("redact", lambda text: text), **options)


_JOURNAL = ("limit_bytes", "segment_bytes", "write", "clock")


@pytest.fixture
def call() -> Callable[..., CallRecord]:
    return _call


@pytest.fixture
def drain() -> Callable[..., tuple[Ingester, Notes]]:
    return _drain


@pytest.fixture
def recorder() -> Callable[..., JournalRecorder]:
    return _recorder


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "journal"
