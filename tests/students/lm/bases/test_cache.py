from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from metier.students.lm.bases.cache import CONVERSION, cache_folder, cached, read_base_file


def _maker(content: bytes, calls: list[Path]) -> Any:
    def make(folder: Path) -> dict[str, Any]:
        calls.append(folder)
        (folder / "model.safetensors").write_bytes(content)
        return {"name": "x"}

    return make


def test_the_environment_decides_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("METIER_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("METIER_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "metier"


def test_a_base_is_made_once(tmp_path: Path) -> None:
    calls: list[Path] = []
    first, second = (cached(tmp_path, "key", _maker(b"weights", calls)) for _ in range(2))
    assert first == second
    assert len(calls) == 1
    assert read_base_file(first)["name"] == "x"


@pytest.mark.parametrize("damage", ["shorter", "other bytes", "gone", "no record"])
def test_a_damaged_base_is_made_again(tmp_path: Path, damage: str) -> None:
    calls: list[Path] = []
    folder = cached(tmp_path, "key", _maker(b"weights", calls))
    weights = folder / "model.safetensors"
    if damage == "shorter":
        weights.write_bytes(b"weigh")
    elif damage == "other bytes":
        weights.write_bytes(b"WEIGHTS")
        os.utime(weights, ns=(1, 1))
    elif damage == "gone":
        weights.unlink()
    else:
        (folder / "base.json").write_text("{")
    assert (cached(tmp_path, "key", _maker(b"weights", calls)) / "model.safetensors").read_bytes() == b"weights"
    assert len(calls) == 2


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def full_disk(folder: Path) -> dict[str, Any]:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        cached(tmp_path, "key", full_disk)
    assert [path.name for path in (tmp_path / "bases").iterdir()] == ["key.lock"]


_KILLED = """
    import os, signal, sys
    from pathlib import Path
    from metier.students.lm.bases.cache import cached
    def make(folder):
        (folder / "model.safetensors").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    cached(Path(sys.argv[1]), "key", make)
"""


def test_a_kill_leaves_nothing_that_is_taken_for_a_base(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(_KILLED), str(tmp_path)], timeout=60, check=False)
    assert killed.returncode == -9
    calls: list[Path] = []
    folder = cached(tmp_path, "key", _maker(b"weights", calls))
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert len(calls) == 1
    assert sorted(path.name for path in (tmp_path / "bases").iterdir()) == [f"key-v{CONVERSION}", "key.lock"]


_SLOW = """
    import sys, time
    from pathlib import Path
    from metier.students.lm.bases.cache import cached
    def make(folder):
        with open(sys.argv[2], "a") as log:
            log.write("made\\n")
        time.sleep(0.3)
        (folder / "model.safetensors").write_bytes(b"weights")
        return {"name": "x"}
    cached(Path(sys.argv[1]), "key", make)
"""


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(_SLOW), str(tmp_path), str(tmp_path / "log")]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert (tmp_path / "log").read_text() == "made\n"
