"""What every command needs: the project, its store and traffic, the terminal, the clock."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console

from metier.cli.bars import bars
from metier.progress import Progress
from metier.project import Project, load_project
from metier.store.folders import ArtefactStore
from metier.store.traffic import TrafficStore
from metier.version import __version__

# Libraries whose version can change what an artefact holds; recorded in its manifest.
_RECORDED = ("numpy", "polars", "scikit-learn", "scipy", "onnxruntime", "tokenizers", "torch", "transformers")


@dataclass(frozen=True)
class Session:
    """One command's run."""

    project: Project
    store: ArtefactStore
    console: Console
    progress: Progress

    def now(self) -> str:
        return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")

    @contextmanager
    def traffic(self) -> Iterator[TrafficStore]:
        """The project's traffic, made where there is none."""
        self.project.store_folder.mkdir(parents=True, exist_ok=True)
        with TrafficStore(self.project.traffic_url) as traffic:
            yield traffic


@contextmanager
def session(folder: Path, console: Console) -> Iterator[Session]:
    """A session in the project that `folder` belongs to."""
    project = load_project(folder)
    with bars(console) as progress:
        yield Session(project, ArtefactStore(project.store_folder), console, progress)


def versions() -> dict[str, str]:
    """Versions of metier, Python and the libraries that matter, where installed."""
    found = {"metier": __version__, "python": platform.python_version()}
    for name in _RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
