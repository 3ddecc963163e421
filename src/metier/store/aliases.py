"""Which policy speaks for a task: `aliases/<task>.json`, names for artefacts after MLflow's aliases ("champion").

A file is replaced in one rename, so whoever reads it sees the old one or the new one, whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from metier.errors import BadArtefact, NotFound, StoreBusy
from metier.store.payload import flush

FOLDER = "aliases"
_SUFFIX = ".json"
_LOCK_WAIT_S = 5.0


@dataclass(frozen=True)
class Alias:
    """The policy that serves a task, `champion` (None: none does), and the one before it; `time` is ISO 8601, UTC."""

    task: str
    champion: str | None
    previous: str | None
    time: str


@dataclass(frozen=True)
class AliasStore:
    """Reads and writes the aliases below `root` (the project's .metier folder)."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / FOLDER

    def path(self, task: str) -> Path:
        """The file of a task; what is no plain character in a file name is written as in a URL."""
        name = quote(task, safe=" ")
        # A leading dot would hide the file from `paths`, which passes over locks and unfinished files.
        return self.folder / f"{name.replace('.', '%2E', 1) if name.startswith('.') else name}{_SUFFIX}"

    def read(self, task: str) -> Alias | None:
        """The alias of a task, None where none was ever promoted. Raises BadArtefact where the file cannot be read."""
        path = self.path(task)
        return read_alias(path) if path.exists() else None

    def paths(self) -> list[Path]:
        """The files of all tasks, sorted."""
        return sorted(self.folder.glob(f"[!.]*{_SUFFIX}"))

    def fingerprint(self) -> tuple[tuple[str, int, int, int], ...]:
        """Changes whenever a file is added, taken away, replaced or written to."""
        found = []
        for path in self.paths():
            try:
                stat = path.stat()
            except OSError:
                continue
            found.append((path.name, stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(found)

    def promote(self, task: str, policy_id: str, time: str) -> Alias:
        """Make a policy the champion of a task; the one before it becomes `previous`. The same again changes nothing;
        a file that cannot be read is replaced, and what it said is lost."""
        with self._locked(task):
            try:
                old = self.read(task)
            except BadArtefact:
                old = None
            if old is not None and old.champion == policy_id:
                return old
            previous = (old.champion or old.previous) if old else None
            return self._write(Alias(task, policy_id, previous if previous != policy_id else None, time))

    def roll_back(self, task: str, time: str) -> Alias:
        """Let champion and previous change places. Raises NotFound where there is none before."""
        with self._locked(task):
            old = self.read(task)
            if old is None or old.previous is None:
                raise NotFound(f"task '{task}' has no champion before the present one to go back to.")
            return self._write(replace(old, champion=old.previous, previous=old.champion, time=time))

    def retire(self, task: str, time: str) -> Alias:
        """Leave the task without a champion; the present one becomes `previous`. Raises NotFound where there is none."""
        with self._locked(task):
            old = self.read(task)
            if old is None or old.champion is None:
                raise NotFound(f"task '{task}' has no champion, so there is none to take away.")
            return self._write(replace(old, champion=None, previous=old.champion, time=time))

    def _write(self, alias: Alias) -> Alias:
        write_atomically(self.path(alias.task), json.dumps(asdict(alias), indent=1) + "\n")
        return alias

    @contextmanager
    def _locked(self, task: str) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(task)
        lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=_LOCK_WAIT_S)
        try:
            lock.acquire()
        except Timeout:
            raise StoreBusy(f"another process is promoting '{task}'; try again.") from None
        try:
            yield
        finally:
            lock.release()


def read_alias(path: Path) -> Alias:
    """The alias in a file. Raises BadArtefact naming the file where it is not one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        alias = Alias(**found)
    except (OSError, ValueError, TypeError) as error:
        raise BadArtefact(f"{path} is no alias: {error}. Write it anew with: metier promote TASK") from error
    if not isinstance(alias.task, str) or not all(isinstance(v, str | None) for v in (alias.champion, alias.previous)):
        raise BadArtefact(f"{path} is no alias: {found}. Write it anew with: metier promote TASK")
    return alias


def write_atomically(path: Path, text: str) -> None:
    """Replace a file by one with this text, so that neither a reader nor a power cut ever sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    flush(temporary)
    temporary.replace(path)
    flush(path.parent)
