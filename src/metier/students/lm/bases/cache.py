"""Where converted bases are kept, and how a folder gets there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from metier.students.exports import sha256_of

BASE_FILE = "base.json"
WEIGHTS_FILE = "model.safetensors"
# Raised whenever a conversion comes out differently, so that folders of older versions are made again.
CONVERSION = 2


def cache_folder() -> Path:
    """METIER_CACHE where it is set, else ~/.cache/metier."""
    stated = os.environ.get("METIER_CACHE")
    return Path(stated).expanduser() if stated else Path.home() / ".cache" / "metier"


def cached(cache: Path, key: str, make: Callable[[Path], dict[str, Any]]) -> Path:
    """The folder `cache`/bases/`key`, made by `make(empty folder)` where it is not there or was altered.

    `make` returns what base.json is to hold. The folder appears in one rename, after its bytes are on the disk, so that a
    kill leaves nothing half made; a lock lets one process make it while others wait. Weights are compared with the hash
    taken when they were made: their size at each call, their bytes once in a process.
    """
    from filelock import FileLock

    home = cache / "bases"
    home.mkdir(parents=True, exist_ok=True)
    final = home / f"{key}-v{CONVERSION}"
    with FileLock(home / f"{key}.lock"):
        if is_whole(final):
            return final
        for left_over in (final, *home.glob(f".{key}.*.tmp")):
            shutil.rmtree(left_over, ignore_errors=True)
        work = home / f".{key}.{os.getpid()}.tmp"
        work.mkdir()
        try:
            fields = make(work)
            weights = work / WEIGHTS_FILE
            fields |= {"weights_bytes": weights.stat().st_size, "weights_sha256": sha256_of(weights)}
            (work / BASE_FILE).write_text(json.dumps(fields, indent=1, ensure_ascii=False), encoding="utf-8")
            _flush(work)
            work.rename(final)
            _flush_entry(home)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)  # a full disk gets its room back
            raise
    return final


def read_base_file(folder: Path) -> dict[str, Any]:
    """What base.json of a converted base holds; empty where there is none that can be read."""
    try:
        fields = json.loads((folder / BASE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}


def is_whole(folder: Path) -> bool:
    """Whether a converted base is there and its weights are those that were written."""
    fields = read_base_file(folder)
    weights = folder / WEIGHTS_FILE
    if not fields or not weights.is_file():
        return False
    stat = weights.stat()
    if stat.st_size != fields.get("weights_bytes"):
        return False
    return _hash_once(weights, stat.st_size, stat.st_mtime_ns) == fields.get("weights_sha256")


@lru_cache(maxsize=64)
def _hash_once(path: Path, _size: int, _mtime_ns: int) -> str:
    """The file's hash; size and time of change only tell one state of the file from another."""
    return sha256_of(path)


def _flush(folder: Path) -> None:
    for path in folder.iterdir():
        _flush_entry(path)
    _flush_entry(folder)


def _flush_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
