"""What this machine offers a computation: the cores that this process may use, and the number formats they multiply."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


def usable_cores() -> int:
    """How many cores this process may use: those it is pinned to, where the system pins processes, else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def multiplies_bfloat16(cpu_info: Path = _CPU_INFO) -> bool:
    """Whether the processor multiplies bfloat16 natively (x86 with AVX-512 BF16 or AMX, as Linux lists them in `cpu_info`).
    Elsewhere it is emulated, and slower than float32."""
    if sys.platform != "linux" or not cpu_info.is_file():
        return False
    lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not _BFLOAT16_FLAGS.isdisjoint(flags.split())
