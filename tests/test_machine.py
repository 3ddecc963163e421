"""What this machine offers, against what the system says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from metier.machine import multiplies_bfloat16, usable_cores

# As Linux writes it; model names and other lines must not count.
CPU_INFO = "processor\t: 0\nmodel name\t: amx_bf16 lookalike\nflags\t\t: fpu sse4_2 {flags}\nbugs\t\t: spectre_v1\n"


def test_a_pinned_process_has_the_cores_it_is_pinned_to() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system does not pin processes to cores")
    before = os.sched_getaffinity(0)
    assert usable_cores() == len(before)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists a processor's flags")
@pytest.mark.parametrize(
    ("flags", "has_it"),
    [("avx512_bf16", True), ("amx_tile amx_bf16", True), ("avx2 avx512f", False), ("avx512_bf16_not", False)],
)
def test_bfloat16_is_told_by_the_processors_flags(tmp_path: Path, flags: str, has_it: bool) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text(CPU_INFO.format(flags=flags))
    assert multiplies_bfloat16(listed) is has_it


def test_a_processor_of_which_nothing_is_told_has_none(tmp_path: Path) -> None:
    assert not multiplies_bfloat16(tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("Features\t: fp asimd\n")
    assert not multiplies_bfloat16(tmp_path / "cpuinfo")
