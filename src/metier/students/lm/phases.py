"""The phases of a long training: each leaves its result in the work folder, so that a kill costs one phase at most."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metier.students.exports import write_json

Facts = Mapping[str, Any]
_RECIPE = "recipe.json"


@dataclass(frozen=True)
class Phases:
    """A work folder that belongs to one recipe; `wall_s` holds the seconds of every phase that is done."""

    folder: Path
    recipe: str
    wall_s: dict[str, float] = field(default_factory=dict)

    def once(self, name: str, make: Callable[[Path], Facts]) -> Facts:
        """The facts that `make` gives, which must be plain JSON; asked again, those that were written when it was done.

        `make` gets the folder `<work>/<name>` for its files, which may hold what a killed run left there: resuming from
        that, or starting over, is its own affair.
        """
        record = self.folder / f"{name}.json"
        if not record.exists():
            started = time.perf_counter()
            place = self.folder / name
            place.mkdir(exist_ok=True)
            facts = dict(make(place))
            write_json(record, {"facts": facts, "wall_s": time.perf_counter() - started})
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
