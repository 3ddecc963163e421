"""Manifest: what an artefact is, what it was made from and how; written last, so its presence means "complete"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Manifest:
    """`id` is the hash of the recipe and of every payload file; `recipe` the hash of kind, inputs, settings and seed, by
    which a stage that would make the same thing again is skipped. `files` maps names to sha256."""

    kind: str
    id: str
    recipe: str
    task: str | None
    inputs: dict[str, str]
    settings: dict[str, Any]
    seed: int
    versions: dict[str, str]
    time: str
    files: dict[str, str] = field(default_factory=dict)
    summary: str = ""
