"""One tuning by several processes of this machine, started from here: one for each GPU.

They read their job from a file and meet at another, in the work folder; nothing of it can run code. They tell how far they
are, and what went wrong, in lines of JSON on a pipe. Another pipe to each of them says nothing: it closes when this process
ends, however it ends, and they end with it.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import torch

from metier.errors import BadInput, NotEnoughData, TrainingFailed
from metier.machine import usable_cores
from metier.progress import Progress
from metier.students import checkpoints
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning import ranks
from metier.students.lm.tuning.jobs import TuningJob, write_job
from metier.students.lm.tuning.packs import steps_per_epoch
from metier.students.lm.tuning.plan import PassFailed, TuningPlan

JOB, MEETING = "job.safetensors", "meeting"
_FOLDER = "processes"
_WORKER = "metier.students.lm.tuning.worker"
# Python and torch are loaded and every process has found the others within seconds; from a slow disk it takes longer.
_MEETING_S = 300.0
# Where one process fails the others soon do, for want of it: which of them had a reason of its own is known by then.
_LAST_WORDS_S = 2.0
_MOST_OF_LOG = 2000
# What a process may fail with, to be raised here as it was there; the first that fits.
_RAISED: tuple[type[Exception], ...] = (
    PassFailed,
    TrainingFailed,
    NotEnoughData,
    BadInput,
    MemoryError,
    torch.OutOfMemoryError,
)

Message = dict[str, Any]


class NotMet(TrainingFailed):
    """The processes did not find one another; nothing was begun."""


@dataclass(frozen=True)
class _Worker:
    place: int
    process: subprocess.Popen[bytes]
    log: Path


@dataclass(frozen=True)
class _Failure:
    """`kind` is a name in `_RAISED`, or empty where it is none of them; `is_early`: before all had met."""

    kind: str
    told: str
    is_early: bool
    is_killed: bool = False


def processes_for(plan: TuningPlan, device: torch.device, train: Sequence[Encoded]) -> int:
    """How many processes shall share the steps: as many as the plan says; where it leaves it open, one for each GPU, but no
    more than a step has examples, and one on a processor. In a process of several it is one: it has its share already.

    Raises BadInput where the plan asks for more processes than there are GPUs.
    """
    if ranks.n_started() > 1 or ranks.place()[1] > 1:
        return 1
    if device.type != "cuda":
        return plan.processes or 1
    n_gpus = max(1, torch.cuda.device_count()) if plan.device in ("auto", "cuda") else 1
    if plan.processes > n_gpus:
        raise BadInput(
            f"The tuning's processes are {plan.processes}, and each needs a GPU of its own: there are {n_gpus} for device "
            f"{plan.device!r}. Give {n_gpus} or fewer, or 0 for as many as there are."
        )
    return plan.processes or min(n_gpus, max(1, len(train) // steps_per_epoch(train, plan.step_tokens)))


def tune_together(job: TuningJob, count: int, progress: Progress) -> None:
    """Have `count` processes do the job; when it returns its result is written, and none of them is left however it ends.

    Raises NotMet where they did not find one another, what one of them raised where it did, and TrainingFailed where one
    was killed. What was saved before is whole then, and the same call goes on from there.
    """
    folder = job.work / _FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    threads = max(1, (job.plan.threads or usable_cores()) // count)
    workers: list[_Worker] = []
    try:
        with checkpoints.room(job.work):
            folder.mkdir()
            write_job(replace(job, plan=replace(job.plan, threads=threads)), folder / JOB)
            workers.extend(_start(folder, place, count, threads) for place in range(count))
        _follow(workers, progress)
    finally:
        for one in workers:
            one.process.kill()
        for one in workers:
            one.process.wait()
            assert one.process.stdin is not None
            one.process.stdin.close()
        shutil.rmtree(folder, ignore_errors=True)


def failure_of(problem: Exception) -> Message:
    """What a process says of what it failed with."""
    kind = next((each.__name__ for each in _RAISED if isinstance(problem, each)), "")
    return {"failed": kind, "told": str(problem) if kind else "".join(traceback.format_exception(problem))}


def _start(folder: Path, place: int, count: int, threads: int) -> _Worker:
    log = folder / f"{place}.log"
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    # They are all on this machine: nothing that they say to one another need leave it.
    quiet = {name: os.environ.get(name, loopback) for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")}
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            # -P: a file in the folder where this was started must not stand in for a library.
            [sys.executable, "-P", "-m", _WORKER, str(folder), str(place), str(count), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **quiet, "LOCAL_RANK": str(place)},
            # Ctrl-C is for this process, which ends the others.
            process_group=0,
        )
    return _Worker(place, process, log)


def _follow(workers: Sequence[_Worker], progress: Progress) -> None:
    """Pass on what the processes say until all have ended. Raises what `tune_together` raises."""
    heard: SimpleQueue[tuple[_Worker, Message | None]] = SimpleQueue()
    for one in workers:
        Thread(target=_listen, args=(one, heard), daemon=True).start()
    running, met = {one.place for one in workers}, set[int]()
    failures: dict[int, _Failure] = {}
    until = time.monotonic() + _MEETING_S
    while running:
        try:
            worker, message = heard.get(timeout=None if math.isinf(until) else max(0.0, until - time.monotonic()))
        except Empty:
            break
        place, is_early = worker.place, worker.place not in met
        if message is None:
            running.remove(place)
            if worker.process.wait() != 0 and place not in failures:
                failures[place] = _death(worker, is_early)
        elif "failed" in message:
            failures[place] = _Failure(message["failed"], message["told"], is_early)
        elif "met" in message:
            met.add(place)
            if not failures:
                until = math.inf
        else:
            progress(*message["progress"])
        if failures:
            until = min(until, time.monotonic() + _LAST_WORDS_S)
    if failures:
        raise _cause(failures, len(workers))
    if running:
        raise NotMet(f"The {len(workers)} processes of the tuning did not find one another within {_MEETING_S:.0f} s.")


def _listen(worker: _Worker, heard: SimpleQueue[tuple[_Worker, Message | None]]) -> None:
    assert worker.process.stdout is not None
    with worker.process.stdout as lines:
        for line in lines:
            with suppress(ValueError):  # half a line, of a process that was killed
                heard.put((worker, json.loads(line)))
    heard.put((worker, None))


def _death(worker: _Worker, is_early: bool) -> _Failure:
    """Of a process that ended without a word."""
    status = worker.process.returncode
    log = worker.log.read_text(encoding="utf-8", errors="replace")[-_MOST_OF_LOG:].strip()
    if status >= 0:
        return _Failure("", f"ended with status {status}. {log}", is_early)
    name = signal.Signals(-status).name if -status in signal.valid_signals() else str(-status)
    told = (
        f"was ended by {name}. A system that runs out of memory does that: where it did, take fewer processes. What was "
        f"saved before is whole: run the same command again, and the training goes on from there. {log}"
    )
    return _Failure("", told.strip(), is_early, is_killed=True)


def _cause(failures: dict[int, _Failure], count: int) -> Exception:
    """What to raise: the others fail for want of the one that had a reason of its own."""
    place, first = min(failures.items(), key=lambda item: (not item[1].kind, not item[1].is_killed))
    who = f"Process {place + 1} of {count}"
    if first.is_early and all(one.is_early for one in failures.values()):
        return NotMet(f"The {count} processes of the tuning did not find one another. {who}: {first.told}")
    if first.kind:
        return next(each for each in _RAISED if each.__name__ == first.kind)(first.told)
    if first.is_killed:
        return TrainingFailed(f"{who} of the tuning {first.told}")
    return RuntimeError(f"{who} of the tuning failed: {first.told}")
