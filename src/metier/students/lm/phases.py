"""The phases of a long training: each leaves its result in the work folder, so that a kill costs one phase at most."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metier.students.exports import write_bytes, write_json

Facts = Mapping[str, Any]
_RECIPE = "recipe.json"


@dataclass(frozen=True)
class Phases:
    """A work folder that belongs to one recipe; `wall_s` holds the seconds of every phase that is done, those of attempts
    that were killed among them. Every `tick_s` seconds it is written down how long a phase has taken."""

    folder: Path
    recipe: str
    wall_s: dict[str, float] = field(default_factory=dict)
    tick_s: float = 2.0

    def once(self, name: str, make: Callable[[Path], Facts]) -> Facts:
        """The facts that `make` gives, which must be plain JSON; asked again, those that were written when it was done.

        `make` gets the folder `<work>/<name>` for its files, which may hold what a killed run left there: resuming from
        that, or starting over, is its own affair.
        """
        record = self.folder / f"{name}.json"
        if not record.exists():
            place = self.folder / name
            place.mkdir(exist_ok=True)
            with _stopwatch(self.folder / f"{name}.seconds", self.tick_s) as elapsed_s:
                facts = dict(make(place))
                write_json(record, {"facts": facts, "wall_s": elapsed_s()})
        stored = json.loads(record.read_bytes())
        self.wall_s[name] = stored["wall_s"]
        facts_stored: Facts = stored["facts"]
        return facts_stored


def open_phases(folder: Path, recipe: str) -> Phases:
    """The work folder; what another recipe left in it is removed, for nothing of it may be used."""
    record = folder / _RECIPE
    if folder.exists() and (not record.exists() or json.loads(record.read_bytes()) != {"recipe": recipe}):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not record.exists():
        write_json(record, {"recipe": recipe})
    return Phases(folder, recipe)


@contextmanager
def _stopwatch(path: Path, tick_s: float) -> Iterator[Callable[[], float]]:
    """The seconds so far, of earlier attempts too: they are kept in `path`, which a thread writes every `tick_s`."""
    before = float(path.read_bytes()) if path.exists() else 0.0
    started = time.perf_counter()
    stopped = threading.Event()

    def elapsed_s() -> float:
        return before + time.perf_counter() - started

    def note() -> None:
        # A disk that is full stops the training where something is lost; a lost figure is not worth that.
        with suppress(OSError):
            write_bytes(path, f"{elapsed_s():.3f}".encode())

    def keep_noting() -> None:
        while not stopped.wait(tick_s):
            note()

    thread = threading.Thread(target=keep_noting, name=f"stopwatch {path.stem}", daemon=True)
    thread.start()
    try:
        yield elapsed_s
    finally:
        stopped.set()
        thread.join()
        note()
