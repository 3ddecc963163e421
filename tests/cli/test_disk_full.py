"""A full disk in the middle of a stage: a clear message, nothing harmed, and the same command goes on afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from metier.store.folders import ArtefactStore

SIZE_MIB = 8


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MiB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def metier(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "metier", *arguments],
        cwd=folder, env={**os.environ, "TERM": "dumb", "NO_COLOR": "1"}, text=True, capture_output=True, check=False,
    )  # fmt: skip


def test_a_stage_on_a_full_disk_says_so_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    rows = [f"where is parcel {i} of mine,track" for i in range(300)] + [
        f"refund order {i} now,refund" for i in range(300)
    ]
    (small_disk / "calls.csv").write_text("\n".join(["input,output", *rows]))
    assert metier(small_disk, "import", "calls.csv").returncode == 0
    free = os.statvfs(small_disk)
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (free.f_bavail * free.f_bsize - 8192))

    full = metier(small_disk, "audit")
    assert full.returncode == 1, full.stdout
    assert "free some space" in full.stderr
    assert "Traceback" not in full.stderr
    assert ArtefactStore(small_disk / ".metier").manifests() == []

    filler.unlink()
    again = metier(small_disk, "audit")
    assert again.returncode == 0, again.stderr
    assert [manifest.kind for manifest in ArtefactStore(small_disk / ".metier").manifests()] == ["audit"]
