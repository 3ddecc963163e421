"""Report: one self-contained page for people, and the same content as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Report:
    """`folder` holds report.html and report.json."""

    task_name: str
    verdict: str
    folder: Path
