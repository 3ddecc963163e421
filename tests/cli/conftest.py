"""Commands in this process: to start Python anew for each takes seconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metier.cli.app import main
from metier.cli.terminal import err, out


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `metier` with these words in `tmp_path`; what it printed, and its exit status, which must be `code`."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"COLUMNS": "160", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    for console in (out, err):
        monkeypatch.setattr(console, "_width", 160)
        monkeypatch.setattr(console, "no_color", True)

    def run(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["metier", *words])
        capsys.readouterr()
        status = 0
        try:
            main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        said = capsys.readouterr()
        assert status == code, said.out + said.err
        return subprocess.CompletedProcess(["metier", *words], status, said.out, said.err)

    return run
