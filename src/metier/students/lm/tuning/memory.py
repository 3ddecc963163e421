"""How much memory a training took, and whether an error says that there was not enough."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from pathlib import Path

import torch


def peak_bytes(device: torch.device) -> int:
    """The most memory this process has held: on a GPU what torch took there, else resident memory, since the process began
    or `reset_peak` was called."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def reset_peak(device: torch.device) -> None:
    """Begin to count anew, where the system lets us: Linux and GPUs."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def give_back() -> None:
    """Give the system back what was freed: a thread's memory stays with it in glibc's malloc, and what one training leaves
    would stand beside what the next one needs."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library than glibc has no such function
            ctypes.CDLL(None).malloc_trim(0)


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether torch or the system had no memory to give."""
    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(problem, RuntimeError) and any(
        words in str(problem) for words in ("can't allocate memory", "not enough memory", "out of memory")
    )
