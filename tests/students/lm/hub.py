"""A Hugging Face hub that is away, with models in its cache."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest


def write_hub(cache: Path, name: str, commits: Mapping[str, Path], refs: Mapping[str, str]) -> None:
    """Put models into the cache as the hub's library lays it out: the folders' files as blobs, which the snapshot of each
    commit links to; `refs` says which commit a branch or a tag is at."""
    home = cache / f"models--{name.replace('/', '--')}"
    for commit, folder in commits.items():
        snapshot = home / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (home / "blobs").mkdir(exist_ok=True)
        for path in folder.iterdir():
            blob = home / "blobs" / f"{commit}-{path.name}"
            shutil.copyfile(path, blob)
            (snapshot / path.name).symlink_to(blob)
    for ref, commit in refs.items():
        (home / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (home / "refs" / ref).write_text(commit)


def away(patch: pytest.MonkeyPatch, cache: Path) -> None:
    """The hub's library as with HF_HUB_OFFLINE=1 and HF_HUB_CACHE, which it reads when it is imported."""
    from huggingface_hub import constants

    patch.setattr(constants, "HF_HUB_OFFLINE", True)
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
