"""How much memory a training took, whether an error says that there was not enough, and what is said then."""

from __future__ import annotations

import ctypes
import errno
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from safetensors import SafetensorError

from metier.errors import TrainingFailed
from metier.progress import Progress

# Of torch's allocators on Linux, macOS and Windows, of mmap, and of CUDA's libraries.
_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "Cannot allocate memory", "_ALLOC_FAILED")


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
    if isinstance(problem, OSError) and problem.errno == errno.ENOMEM:
        return True
    return isinstance(problem, RuntimeError | OSError | SafetensorError) and any(
        words in str(problem) for words in _WORDS
    )


class LastSaid:
    """A Progress that hands on to `progress` and remembers what it was told last."""

    def __init__(self, progress: Progress, description: str) -> None:
        self._progress, self.description = progress, description

    def __call__(self, description: str, done: int, total: int | None) -> None:
        self.description = description
        self._progress(description, done, total)


@contextmanager
def enough_memory(said: LastSaid) -> Iterator[None]:
    """Raise TrainingFailed where memory does not suffice, with what was done last and what helps. Only what is whole is
    ever written under its name, so the same call goes on from there."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError, SafetensorError) as problem:
        if not is_out_of_memory(problem):
            raise
        told = str(problem).strip().partition("\n")[0] or type(problem).__name__
        raise TrainingFailed(
            f"Out of memory (at: {said.description}): {told}. What was done is kept: close other programs and give the "
            "same command again, and it goes on from there. Where that does not help, a smaller base, method 'lora', a "
            "lower max_tokens or fewer cores take less; with other options the training begins anew."
        ) from problem
