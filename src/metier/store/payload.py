"""One artefact as files: scalars as JSON, tables as Parquet, weights as they are."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from metier.artefacts.kinds import KINDS, Artefact
from metier.errors import BadArtefact

PAYLOAD = "payload.json"
MANIFEST, UNFINISHED_MANIFEST = "manifest.json", "manifest.tmp"
_READ_SIZE = 1 << 20


def write_payload(artefact: Artefact, folder: Path) -> None:
    """Write every field of `artefact` below `folder` and flush it to disk."""
    scalars: dict[str, Any] = {}
    for field in dataclasses.fields(artefact):
        value = getattr(artefact, field.name)
        if isinstance(value, pl.DataFrame):
            value.write_parquet(folder / f"{field.name}.parquet")
        elif isinstance(value, Path):
            _bring_in(value, folder / field.name)
        else:
            scalars[field.name] = value
    # "strings" keeps the file standard JSON and lets NaN and infinity come back as what they were.
    (folder / PAYLOAD).write_bytes(to_json(scalars, indent=1, inf_nan_mode="strings"))
    for path in payload_files(folder):
        flush(path)


def read_payload(kind: str, folder: Path) -> Artefact:
    """The artefact of `kind` in `folder`. Raises BadArtefact where a file is missing or does not fit."""
    cls = KINDS[kind]
    try:
        values: dict[str, Any] = from_json((folder / PAYLOAD).read_bytes())
        for field in dataclasses.fields(cls):
            if field.name in values:
                continue
            table = folder / f"{field.name}.parquet"
            values[field.name] = pl.read_parquet(table) if table.exists() else folder / field.name
        return TypeAdapter(cls).validate_python(values)
    except (OSError, ValueError, ValidationError, pl.exceptions.PolarsError) as error:
        raise BadArtefact(
            f"{kind} in {folder} cannot be read: {error}. Remove the folder and run the stage again."
        ) from error


def payload_files(folder: Path) -> list[Path]:
    """Every file below `folder`, sorted, without the manifest or what an interrupted run had written of it."""
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name not in (MANIFEST, UNFINISHED_MANIFEST)
    )


def digest(path: Path) -> str:
    """sha256 of a file as hex."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_SIZE):
            sha.update(chunk)
    return sha.hexdigest()


def flush(path: Path) -> None:
    """Make a file's bytes survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _bring_in(source: Path, target: Path) -> None:
    if source.resolve() != target.resolve():
        shutil.copytree(source, target, dirs_exist_ok=True)
