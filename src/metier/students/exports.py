"""A student's folder: meta.json, written last, names every exported file with its sha256."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from metier.artefacts.specialists import LanguageModel, ViewUse
from metier.errors import BadArtefact
from metier.progress import Progress, silent
from metier.students.base import EpochPoint, FitSummary, LabelledTexts, Option
from metier.version import __version__

META = "meta.json"
FORMAT = 1  # raise it when the exported form changes so that older code must refuse it
_BLOCK_BYTES = 1 << 22


def recipe_of(
    student: str,
    train: LabelledTexts,
    tune: LabelledTexts,
    seed: int,
    options: Mapping[str, Option],
    view: ViewUse | None = None,
) -> str:
    """A digest of everything that decides what a training makes; work of another recipe is never resumed."""
    sha = hashlib.sha256()
    plain = {"student": student, "seed": seed, "options": dict(options), "metier": __version__, "format": FORMAT}
    if view is not None:
        plain["view"] = [view.name, view.version, view.sha256]
    sha.update(json.dumps(plain, sort_keys=True).encode())
    for texts in (train, tune):
        sha.update(json.dumps([texts.inputs, texts.labels]).encode())
    return sha.hexdigest()


def versions_of(packages: Sequence[str]) -> dict[str, str]:
    """The installed versions of metier and of `packages`; a package that is not installed is left out."""
    found = {"metier": __version__}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def sha256_of(path: Path, progress: Progress = silent, description: str = "") -> str:
    """Hex SHA-256 of a file's bytes. It is read in blocks, after each of which `progress` hears the bytes done, of all."""
    digest = hashlib.sha256()
    done, total = 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            progress(description, done, total)
    return digest.hexdigest()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write in one rename, so that a kill leaves the old file or the new one and never half of it."""
    write_bytes(path, json.dumps(_plain(content), ensure_ascii=False, indent=1, allow_nan=False).encode())


def write_bytes(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def write_meta(
    folder: Path,
    files: Sequence[str],
    recipe: str,
    summary: FitSummary,
    *,
    answers_from: Sequence[str] | None = None,
    **more: Any,
) -> FitSummary:
    """Close the folder: the summary with the size of `files` filled in, their digests, and what the loader needs.

    Where a folder holds more forms than the one that answers, `answers_from` are the files whose size counts.
    """
    size = sum((folder / name).stat().st_size for name in (files if answers_from is None else answers_from))
    summary = FitSummary(**{**vars(summary), "size_bytes": size})
    digests = {name: sha256_of(folder / name) for name in files}
    content = {"format": FORMAT, "student": summary.student, "recipe": recipe, "files": digests}
    write_json(folder / META, {**content, **more, "summary": asdict(summary)})
    return summary


def done_summary(folder: Path, recipe: str) -> FitSummary | None:
    """The summary of a training of this recipe that is done and whole, or None."""
    if not (folder / META).exists():
        return None
    try:
        meta = read_meta(folder, None)
    except BadArtefact:
        return None
    return _summary(meta["summary"]) if meta.get("recipe") == recipe else None


def read_meta(folder: Path, student: str | None) -> dict[str, Any]:
    """meta.json once every file it lists has been checked. Raises BadArtefact naming the file that is wrong."""
    path = folder / META
    try:
        meta = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadArtefact(f"{path} is missing: the training did not finish. Run train again; it resumes.") from None
    except ValueError as problem:
        raise BadArtefact(f"{path} is no JSON ({problem}). Train again.") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise BadArtefact(f"{path} is not of the form that this version reads (format {FORMAT}). Train again.")
    if student is not None and meta.get("student") != student:
        raise BadArtefact(f"{path} belongs to a student {meta.get('student')!r}, not {student!r}.")
    for name, expected in meta["files"].items():
        _check(folder / name, expected)
    return cast(dict[str, Any], meta)


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz, which is never allowed to hold Python objects."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez(file, **cast(Any, dict(arrays)))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _plain(value: Any) -> Any:
    """JSON has no NaN: not scored is null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _check(path: Path, expected: str) -> None:
    if not path.is_file():
        raise BadArtefact(f"{path} is missing. Train again, or bring the file back.")
    found = sha256_of(path)
    if found != expected:
        raise BadArtefact(
            f"{path} was altered: its sha256 is {found[:12]}…, recorded was {expected[:12]}…. Train again."
        )


def epoch_points(stored: Sequence[Mapping[str, Any]]) -> tuple[EpochPoint, ...]:
    """The points of a curve as they were before `write_json` made null of NaN."""
    plain: list[dict[str, Any]] = [{k: math.nan if v is None else v for k, v in point.items()} for point in stored]
    return tuple(EpochPoint(**point) for point in plain)


def _summary(content: Mapping[str, Any]) -> FitSummary:
    plain = {**content, "classes": tuple(content["classes"]), "notes": tuple(content["notes"])}
    if plain["tune_accuracy"] is None:
        plain["tune_accuracy"] = math.nan
    if (model := plain.get("language_model")) is not None:
        plain["language_model"] = TypeAdapter(LanguageModel).validate_python(model)
    if (view := plain.get("view")) is not None:
        plain["view"] = TypeAdapter(ViewUse).validate_python(view)
    return FitSummary(**{**plain, "curve": epoch_points(content["curve"])})
