"""A process of several at one tuning, as `launching` starts it: `worker FOLDER PLACE COUNT THREADS`."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Lock, Thread

import torch

from metier.progress import silent
from metier.students.lm.tuning import ranks
from metier.students.lm.tuning.jobs import read_job
from metier.students.lm.tuning.launching import JOB, MEETING, Message, failure_of
from metier.students.lm.tuning.tune import device_of, train_here

Say = Callable[[Message], None]
_PR_SET_PDEATHSIG = 1


def main(folder: Path, place: int, count: int, threads: int) -> None:
    """Do this process's share of the job in `folder`."""
    _end_with_parent()
    say = _channel()

    def tell(description: str, done: int, total: int | None) -> None:
        say({"progress": [description, done, total]})

    torch.set_num_threads(threads)
    try:
        job = read_job(folder / JOB)
        ranks.meet(device_of(job.plan.device), folder / MEETING, place, count)
        say({"met": place})
        train_here(job, tell if place == 0 else silent)
        ranks.part()
    except Exception as problem:
        say(failure_of(problem))
        # The others may wait for this one in the middle of a sum: leaving them in good form would wait for them.
        os._exit(1)


def _end_with_parent() -> None:
    """End at once when whoever started this process ends, in whatever way: its end of standard input is closed then."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    os.read(0, 1)
    os._exit(1)


def _channel() -> Say:
    """How to speak to whoever started this process; what libraries print goes to standard error."""
    channel = os.dup(1)
    os.dup2(2, 1)
    lock = Lock()

    def say(message: Message) -> None:
        left = json.dumps(message).encode() + b"\n"
        with lock:
            while left:
                left = left[os.write(channel, left) :]

    return say


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
