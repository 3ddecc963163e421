"""Phases: done once, again after a kill, never from another recipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from metier.students.lm.phases import Phases, open_phases


def test_a_phase_is_done_once(tmp_path: Path) -> None:
    calls = []

    def make(place: Path) -> Mapping[str, Any]:
        calls.append(place)
        (place / "weights").write_text("w")
        return {"n": 3}

    for _ in range(2):
        phases = open_phases(tmp_path / "work", "a")
        assert phases.once("one", make) == {"n": 3}
        assert phases.wall_s["one"] >= 0
    assert calls == [tmp_path / "work" / "one"]


def test_a_phase_that_was_stopped_is_done_again_with_its_files(tmp_path: Path) -> None:
    def stopped(place: Path) -> Mapping[str, Any]:
        (place / "checkpoint").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_phases(tmp_path / "work", "a").once("one", stopped)
    found = open_phases(tmp_path / "work", "a").once("one", lambda place: {"had": (place / "checkpoint").read_text()})
    assert found == {"had": "half"}


def test_the_work_of_another_recipe_is_removed(tmp_path: Path) -> None:
    open_phases(tmp_path / "work", "a").once("one", lambda _: {"n": 1})
    assert open_phases(tmp_path / "work", "b").once("one", lambda _: {"n": 2}) == {"n": 2}
    (tmp_path / "work" / "recipe.json").unlink()  # whose it was cannot be told
    assert open_phases(tmp_path / "work", "b").once("one", lambda _: {"n": 3}) == {"n": 3}


def test_the_seconds_of_a_phase_are_those_of_all_its_attempts(tmp_path: Path) -> None:
    def stopped(_: Path) -> Mapping[str, Any]:
        time.sleep(0.2)
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            open_phases(tmp_path / "work", "a").once("one", stopped)
    phases = open_phases(tmp_path / "work", "a")
    phases.once("one", lambda _: {})
    assert phases.wall_s["one"] >= 0.4
    again = open_phases(tmp_path / "work", "a")
    again.once("one", lambda _: {})
    assert again.wall_s == phases.wall_s


def test_the_seconds_before_a_kill_count(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from metier.students.lm.phases import Phases\n"
        "Phases(Path(sys.argv[1]), 'a', tick_s=0.02).once('one', lambda _: time.sleep(600))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    noted, deadline = tmp_path / "one.seconds", time.monotonic() + 240
    while not (noted.exists() and float(noted.read_text()) > 0.1) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    before = float(noted.read_text())
    assert before > 0.1
    phases = Phases(tmp_path, "a")
    phases.once("one", lambda _: {})
    assert phases.wall_s["one"] >= before
