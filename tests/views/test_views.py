from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from metier.views import VIEWS, view_hash
from metier.views.hashing import _hash
from metier.views.telelogs import Telelogs


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_says_what_it_is(name: str) -> None:
    view = VIEWS[name]
    names = [feature.name for feature in view.features]
    assert view.name == name
    assert len(names) == len(set(names))
    assert list(view.classes) == sorted(view.classes)
    assert all(feature.description for feature in view.features)


def test_the_hash_follows_version_and_source(tmp_path: Path) -> None:
    view = Telelogs()
    assert view_hash(view) == view_hash(Telelogs()) != view_hash(replace(view, version=view.version + 1))
    package = Path(str(sys.modules[type(view).__module__].__file__)).parent
    copies = [tmp_path / "same", tmp_path / "other", tmp_path / "line-ends"]
    for copy in copies:
        shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    parser = copies[1] / "parser.py"
    parser.write_text(parser.read_text("utf-8") + "#\n", "utf-8")
    parser = copies[2] / "parser.py"
    parser.write_bytes(parser.read_bytes().replace(b"\n", b"\r\n"))
    hashes = [_hash(view.name, view.version, copy) for copy in copies]
    assert hashes[0] == view_hash(view) == hashes[2] != hashes[1]
