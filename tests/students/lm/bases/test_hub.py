"""Bases from the hub, out of a cache as its library leaves it: which commit, whose licence, which weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.students.lm.hub import away, write_hub

from metier.errors import BadInput, LicenceNotAccepted
from metier.students.encoder.base_model import find_base_model
from metier.students.lm.bases import find_base, licence_of, revision_of
from metier.students.lm.bases.cache import read_base_file
from metier.students.lm.vocabulary import read_facts

MakeModel = Callable[[str], Path]
OLD, NEW, PICKLED = "a" * 40, "b" * 40, "c" * 40


@pytest.fixture
def hub(tiny_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """org/tiny with two commits: `main` is at the newer one, whose weights differ and whose licence is another; the tag v1
    at the older. A third commit, of the branch pickled, has no safetensors."""
    folders = {commit: tmp_path / commit for commit in (OLD, NEW, PICKLED)}
    for folder, licence in zip(folders.values(), ("mit", "llama3.2", "mit"), strict=True):
        shutil.copytree(tiny_model("llama"), folder)
        (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
    weights = load_file(folders[NEW] / "model.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, folders[NEW] / "model.safetensors", {"format": "pt"})
    (folders[PICKLED] / "model.safetensors").rename(folders[PICKLED] / "pytorch_model.bin")
    cache = tmp_path / "hub"
    write_hub(cache, "org/tiny", folders, {"main": NEW, "v1": OLD, "pickled": PICKLED})
    away(monkeypatch, cache)
    return folders[OLD]


def test_a_base_from_the_hub_is_brought_in_with_its_commit(hub: Path, tmp_path: Path) -> None:
    base = find_base("hf:org/tiny@v1", cache=tmp_path / "cache")
    assert (base.name, base.source, base.licence, base.revision) == ("org/tiny", "hf:org/tiny@v1", "mit", OLD)
    assert base.named == f"org/tiny (commit {OLD})"
    before, after = load_file(hub / "model.safetensors"), load_file(base.folder / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert read_facts(base.folder) == read_facts(hub)
    assert read_base_file(base.folder)["revision"] == OLD
    assert find_base(f"hf:org/tiny@{OLD}", cache=tmp_path / "cache").folder == base.folder


def test_a_branch_is_where_it_is_now(hub: Path, tmp_path: Path) -> None:
    with pytest.raises(LicenceNotAccepted, match=r"llama3\.2"):
        find_base("hf:org/tiny", cache=tmp_path / "cache")
    moved = find_base("hf:org/tiny", cache=tmp_path / "cache", accepted=["llama3.2"])
    pinned = find_base("hf:org/tiny@v1", cache=tmp_path / "cache")
    assert (moved.revision, pinned.revision) == (NEW, OLD)
    assert moved.sha256 != pinned.sha256
    assert moved.folder != pinned.folder


def test_the_licence_and_the_commit_are_those_of_the_revision(hub: Path) -> None:
    assert (licence_of("hf:org/tiny").name, licence_of("hf:org/tiny@v1").name) == ("llama3.2", "mit")
    assert (revision_of("hf:org/tiny"), revision_of("hf:org/tiny@v1"), revision_of("smollm2")) == (NEW, OLD, "")


def test_pickled_weights_on_the_hub_are_refused(hub: Path, tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=rf"'hf:org/tiny@pickled' holds no \*\.safetensors at commit {PICKLED}.*can run code"
    ):
        find_base("hf:org/tiny@pickled", cache=tmp_path / "cache")


def test_a_revision_that_is_not_there_is_named(hub: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'hf:org/tiny@v2' cannot be had from the hub.*Check the name, the revision"):
        find_base("hf:org/tiny@v2", cache=tmp_path / "cache")
    with pytest.raises(BadInput, match="'hf:org/tiny@' names no revision"):
        find_base("hf:org/tiny@", cache=tmp_path / "cache")


@pytest.mark.parametrize(
    "lost",
    [
        httpx2.ConnectError("no route to host"),
        httpx2.RemoteProtocolError("peer closed connection"),
        httpx2.ProxyError("403 Forbidden"),
        OSError("Consistency check failed: file should be of size 100 but has size 7"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_connection_that_is_lost_on_the_way_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lost: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise lost

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(BadInput, match=rf"'hf:org/tiny' cannot be had from the hub.*: {lost}. Check the name"):
        find_base("hf:org/tiny", cache=tmp_path)
    with pytest.raises(BadInput, match=rf"'hf:org/tiny' cannot be had from the hub.*: {lost}. Check the name"):
        find_base_model("hf:org/tiny")


def test_an_encoder_too_is_taken_from_the_commit_that_is_asked_for(hub: Path) -> None:
    newest, pinned = find_base_model("hf:org/tiny"), find_base_model("hf:org/tiny@v1")
    assert (newest.name, newest.licence, newest.revision) == ("org/tiny", "llama3.2", NEW)
    assert (pinned.name, pinned.licence, pinned.revision) == ("org/tiny", "mit", OLD)
    with pytest.raises(BadInput, match="'hf:org/tiny@' names no revision"):
        find_base_model("hf:org/tiny@")


def test_a_hub_that_is_away_is_said_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    away(monkeypatch, tmp_path / "hub")
    with pytest.raises(BadInput, match="'hf:org/none' cannot be had from the hub, nor from its cache"):
        find_base("hf:org/none", cache=tmp_path)
