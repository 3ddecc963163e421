"""Metrics of several worker processes: files that prometheus_client shares, summed at each scrape.

Each worker counts in memory-mapped files of its own in one folder; whichever worker is scraped adds all of them up. A
worker that ended takes its gauges with it; its counters are folded into one file, so that nothing counted is lost and the
folder stays small however often workers are started again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_LOCK = "scrape.lock"
# No process has this id, so no worker ever opens the files of those that ended.
_ENDED_PID = 0
_FOLDED = ("counter", "histogram")


def prepare_multiprocess(folder: Path) -> dict[str, str]:
    """Empty the folder of metrics files (made where absent) for a new run of the gateway.

    The environment that it gives must be set in every worker before prometheus_client is first imported.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.db"):
        path.unlink(missing_ok=True)
    (folder / _LOCK).touch()
    return {FOLDER_VARIABLE: str(folder)}


def multiprocess_folder(environ: Mapping[str, str]) -> Path | None:
    """The folder that workers share, or None where there is one process.

    Raises RuntimeError where prometheus_client was imported before the environment named the folder: it would count in
    memory, and every scrape would show one worker's share only.
    """
    name = environ.get(FOLDER_VARIABLE)
    if not name:
        return None
    from prometheus_client import values

    if not getattr(values.ValueClass, "_multiprocess", False):
        raise RuntimeError(f"prometheus_client was imported before {FOLDER_VARIABLE} was set")
    return Path(name)


def forget_process(folder: Path, pid: int) -> None:
    """Take a worker that has ended out of the gauges, and fold its counters and histograms into the file of those that
    ended before. Call it after the process has been waited for. A second call does nothing."""
    from prometheus_client.multiprocess import mark_process_dead

    with _locked(folder, fcntl.LOCK_EX):
        mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        for kind in _FOLDED:
            _fold(folder / f"{kind}_{pid}.db", folder / f"{kind}_{_ENDED_PID}.db")


def _fold(ended: Path, total: Path) -> None:
    if not ended.exists():
        return
    from prometheus_client.mmap_dict import MmapedDict

    sums: dict[str, float] = {}
    for path in (total, ended):
        if path.exists():
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
                sums[key] = sums.get(key, 0.0) + value
    # The old total stands until the new one is whole. Only the supervisor's own sudden end could come between the last
    # two lines and show the ended worker twice; the next start empties the folder.
    new = total.with_suffix(".new")
    new.unlink(missing_ok=True)
    file = MmapedDict(str(new))  # type: ignore[no-untyped-call]
    try:
        for key, value in sums.items():
            file.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    finally:
        file.close()  # type: ignore[no-untyped-call]
    new.replace(total)
    ended.unlink()


@contextmanager
def scraping(folder: Path) -> Iterator[None]:
    """Hold off `forget_process` while the files are read, so that no count is seen twice or not at all."""
    with _locked(folder, fcntl.LOCK_SH):
        yield


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
