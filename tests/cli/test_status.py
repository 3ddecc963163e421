"""metier status, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metier.artefacts.traffic import Trace
from metier.cli.app import build
from metier.cli.terminal import out
from metier.store.audits import AuditRow, add_audits
from metier.store.batches import Batch, Located
from metier.store.revocations import Revocation, add_revocation
from metier.store.traffic import TrafficStore


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    # The console took its width from the environment when it was made.
    monkeypatch.setattr(out, "_width", 200)
    return tmp_path


def status() -> str:
    result = CliRunner().invoke(build(), ["status"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert result.exit_code == 0, result.output
    return result.stdout


def test_without_calls_it_says_what_to_do() -> None:
    assert "metier serve" in status()


def test_kept_shadowed_and_audited_calls_are_shown_by_policy(folder: Path) -> None:
    (folder / ".metier").mkdir()
    shadowed = {"policy": "p2", "label": "a", "reason": "shadow_mode", "is_wrong": False}
    calls = [("kept", {"policy": "p1"})] * 30 + [("escalated", {"policy": "p1"})] * 10 + [("shadow", shadowed)] * 20
    traces = [
        Located(Trace(f"mtr-{i}", "[]", task="intents", route=route, evidence=json.dumps(evidence)), i, b"")
        for i, (route, evidence) in enumerate(calls, 1)
    ]
    with TrafficStore(folder / ".metier" / "traffic.db") as store:
        begun = store.begin_import(path="x", sha256="0", size_bytes=0, format="gateway", dataset=None, now=0.0)
        store.add(begun.id, Batch(traces, [], len(traces)), 0.0)
        audits = [AuditRow("p1", "intents", f"mtr-{i}", 0.0, i == 1, 0.1) for i in range(1, 11)]
        store.database.write(lambda connection: add_audits(connection, audits))
        gone = Revocation("p1", "intents", 0.0, 20.0, 10, 1, "")
        store.database.write(lambda connection: add_revocation(connection, gone))
    first, second = (line for line in status().splitlines() if "intents" in line)
    assert "p1 (revoked)" in first
    assert "30 (75%)" in first
    assert "1 of 10 (" in first
    assert "p2 (former)" in second
    assert "20 (100%)" in second
    assert "0 of 20 (0.0% to " in second
