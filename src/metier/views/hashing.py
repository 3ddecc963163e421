"""The hash by which a view travels with a specialist: it says whether this code reads as the training's did."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path

from metier.views.base import View


def view_hash(view: View) -> str:
    """The sha256 (hex) of a view's name, its version, and the source files of the package that defines it."""
    file = sys.modules[type(view).__module__].__file__
    if file is None:
        raise TypeError(f"the view {view.name!r} is not defined in a file, so it has no source to hash")
    return _hash(view.name, view.version, Path(file).parent)


@cache
def _hash(name: str, version: int, package: Path) -> str:
    digest = hashlib.sha256(f"{name}\0{version}\0".encode())
    for path in sorted(package.rglob("*.py")):
        # A checkout may have turned the line ends; that changes nothing of what the code computes.
        source = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.relative_to(package).as_posix()}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()
