"""Artefacts on disk: one folder each, complete when its manifest is there.

A stage works in `work/<recipe>`, which survives a kill so that the next run resumes in it. When it is done the payload is
hashed, the manifest written last, and the folder moved to `artefacts/<kind>/<id>` in one rename.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from metier.artefacts.kinds import KINDS, Artefact, kind_of
from metier.artefacts.manifests import Manifest
from metier.errors import BadArtefact, NotFound, StoreBusy
from metier.store.payload import (
    MANIFEST,
    UNFINISHED_MANIFEST,
    digest,
    flush,
    payload_files,
    read_payload,
    write_payload,
)

_ID_LENGTH = 16  # 64 bits: a collision among a million artefacts has a chance of about 3e-8
_LOCK_WAIT_S = 1.0
_SUMMARY_CHARS = 120


@dataclass(frozen=True)
class Recipe:
    """What an artefact is made from. Two runs with the same recipe make the same thing, so the second is skipped."""

    kind: str
    task: str | None
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]
    seed: int
    versions: Mapping[str, str]

    @property
    def hash(self) -> str:
        same = {**asdict(self), "versions": self.versions.get("metier")}
        text = json.dumps(same, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:_ID_LENGTH]


@dataclass(frozen=True)
class Stored:
    """An artefact with its manifest; `fresh` is False where an earlier run had made it already."""

    artefact: Artefact
    manifest: Manifest
    fresh: bool


@dataclass(frozen=True)
class ArtefactStore:
    """Reads and writes artefacts below `root` (the project's .metier folder)."""

    root: Path

    def produce(
        self,
        recipe: Recipe,
        make: Callable[[Path], Artefact],
        *,
        clock: Callable[[], str],
        summary: str = "",
        final: Callable[[Artefact], bool] = lambda _: True,
    ) -> Stored:
        """The artefact of `recipe`: read where it exists, else made by `make(work_folder)` and stored.

        `make` may find files of an interrupted run in its folder. An artefact that is not `final` (a server was away when
        it was made) is made again. Raises StoreBusy where another process is making the same artefact.
        """
        if (found := self._finished(recipe, final)) is not None:
            return found
        with self._workspace(recipe) as folder:
            if (found := self._finished(recipe, final)) is not None:
                return found
            manifest = self._commit(make(folder), recipe, folder, clock(), summary)
        return Stored(self.load(manifest), manifest, fresh=True)

    def manifests(self, kind: str | None = None, task: str | None = None) -> list[Manifest]:
        """Manifests of complete artefacts, newest first."""
        kinds = [kind] if kind else list(KINDS)
        paths = (path for name in kinds for path in (self.root / "artefacts" / name).glob(f"*/{MANIFEST}"))
        found = [_read_manifest(path) for path in paths]
        chosen = [manifest for manifest in found if task is None or manifest.task == task]
        return sorted(chosen, key=lambda manifest: (manifest.time, manifest.id), reverse=True)

    def find(self, recipe: Recipe) -> Manifest | None:
        """The manifest that a run of `recipe` left, if any."""
        return next((found for found in self.manifests(recipe.kind) if found.recipe == recipe.hash), None)

    def latest(self, kind: str, task: str | None = None) -> Manifest | None:
        """The newest artefact of a kind, for a task where one is given."""
        return next(iter(self.manifests(kind, task)), None)

    def manifest(self, kind: str, id: str) -> Manifest:
        """The manifest of one artefact, without reading any other. Raises NotFound where it is not there."""
        path = self.root / "artefacts" / kind / id / MANIFEST
        if not path.is_file():
            raise NotFound(
                f"{kind} {id} is not in the store ({path} is missing). 'metier ls {kind}' lists those that are."
            )
        return _read_manifest(path)

    def resolve(self, id_prefix: str) -> Manifest:
        """The one artefact whose id starts with `id_prefix`. Raises NotFound where none or several do."""
        found = [manifest for manifest in self.manifests() if manifest.id.startswith(id_prefix)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise NotFound(f"no artefact has an id that starts with '{id_prefix}'. 'metier ls' lists them.")
        several = ", ".join(f"{manifest.kind} {manifest.id}" for manifest in found[:5])
        raise NotFound(f"'{id_prefix}' fits {len(found)} artefacts ({several}); give more of the id.")

    def lineage(self, *manifests: Manifest) -> tuple[Manifest, ...]:
        """These artefacts and all that they were made from, nearest first; inputs that are no artefacts are left out."""
        known = {manifest.id: manifest for manifest in self.manifests()}
        walked: dict[str, Manifest] = {}
        waiting = [manifest.id for manifest in manifests]
        while waiting:
            current = known.get(waiting.pop(0))
            if current is not None and current.id not in walked:
                walked[current.id] = current
                waiting.extend(current.inputs.values())
        return tuple(walked.values())

    def load(self, manifest: Manifest, *, verify: bool = True) -> Artefact:
        """Read an artefact; with `verify`, every payload file is compared with the hash in its manifest."""
        folder = self.folder(manifest)
        if verify:
            _verify(manifest, folder)
        return read_payload(manifest.kind, folder)

    def folder(self, manifest: Manifest) -> Path:
        """Where an artefact's files lie."""
        return self.root / "artefacts" / manifest.kind / manifest.id

    def _finished(self, recipe: Recipe, final: Callable[[Artefact], bool]) -> Stored | None:
        manifest = self.find(recipe)
        if manifest is None:
            return None
        artefact = self.load(manifest)
        return Stored(artefact, manifest, fresh=False) if final(artefact) else None

    @contextmanager
    def _workspace(self, recipe: Recipe) -> Iterator[Path]:
        work = self.root / "work"
        work.mkdir(parents=True, exist_ok=True)
        folder = work / f"{recipe.kind}-{recipe.hash}"
        lock = FileLock(f"{folder}.lock", timeout=_LOCK_WAIT_S)
        try:
            lock.acquire()
        except Timeout:
            raise StoreBusy(
                f"another process is making this {recipe.kind} (lock {folder}.lock). Wait for it or stop it."
            ) from None
        try:
            folder.mkdir(exist_ok=True)
            yield folder
        finally:
            lock.release()

    def _commit(self, artefact: Artefact, recipe: Recipe, folder: Path, time: str, summary: str) -> Manifest:
        if kind_of(artefact) != recipe.kind:
            raise BadArtefact(f"a recipe for {recipe.kind} made a {kind_of(artefact)}")
        write_payload(artefact, folder)
        files = {path.relative_to(folder).as_posix(): digest(path) for path in payload_files(folder)}
        content = json.dumps([recipe.hash, sorted(files.items())])
        manifest = Manifest(
            kind=recipe.kind,
            id=hashlib.sha256(content.encode()).hexdigest()[:_ID_LENGTH],
            recipe=recipe.hash,
            task=recipe.task,
            inputs=dict(recipe.inputs),
            settings=dict(recipe.settings),
            seed=recipe.seed,
            versions=dict(recipe.versions),
            time=time,
            files=files,
            summary=summary or _summary(artefact),
        )
        _write_manifest(folder, manifest)
        target = self.folder(manifest)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            # Left by a run whose manifest was damaged: what was just made replaces it.
            shutil.rmtree(target)
        folder.rename(target)
        return manifest


def _summary(artefact: Artefact) -> str:
    """The first sentence of what an artefact says of itself, short enough for a list."""
    text = str(getattr(artefact, "summary", "") or getattr(artefact, "verdict", ""))
    return textwrap.shorten(text.split(". ")[0], _SUMMARY_CHARS, placeholder=" …")


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    temporary = folder / UNFINISHED_MANIFEST
    temporary.write_text(json.dumps(asdict(manifest), indent=1, default=str), encoding="utf-8")
    flush(temporary)
    temporary.replace(folder / MANIFEST)


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BadArtefact(f"{path} cannot be read: {error}. Remove its folder and run the stage again.") from error


def _verify(manifest: Manifest, folder: Path) -> None:
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BadArtefact(f"{path} is missing. Remove {folder} and run the stage again.")
        if digest(path) != expected:
            raise BadArtefact(f"{path} was changed after it was stored. Remove {folder} and run the stage again.")
