"""Aliases: whole or not at all, rolled back, refused where they are garbled."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from metier.errors import BadArtefact, NotFound
from metier.store.aliases import Alias, AliasStore, read_alias, write_atomically


def test_promoting_remembers_the_one_before(tmp_path: Path) -> None:
    store = AliasStore(tmp_path)
    assert store.read("intents") is None
    assert store.promote("intents", "p1", "t1") == Alias("intents", "p1", None, "t1")
    assert store.promote("intents", "p2", "t2") == Alias("intents", "p2", "p1", "t2")
    assert store.read("intents") == Alias("intents", "p2", "p1", "t2")
    assert json.loads((tmp_path / "aliases" / "intents.json").read_text()) == {
        "task": "intents",
        "champion": "p2",
        "previous": "p1",
        "time": "t2",
    }


def test_promoting_the_champion_again_changes_nothing(tmp_path: Path) -> None:
    store = AliasStore(tmp_path)
    first = store.promote("intents", "p1", "t1")
    before = store.fingerprint()
    assert store.promote("intents", "p1", "t2") == first
    assert store.fingerprint() == before


def test_rolling_back_and_retiring(tmp_path: Path) -> None:
    store = AliasStore(tmp_path)
    with pytest.raises(NotFound, match="no champion before"):
        store.roll_back("intents", "t0")
    with pytest.raises(NotFound, match="no champion"):
        store.retire("intents", "t0")
    store.promote("intents", "p1", "t1")
    with pytest.raises(NotFound, match="no champion before"):
        store.roll_back("intents", "t2")
    store.promote("intents", "p2", "t2")
    assert store.roll_back("intents", "t3") == Alias("intents", "p1", "p2", "t3")
    assert store.roll_back("intents", "t4") == Alias("intents", "p2", "p1", "t4")
    assert store.retire("intents", "t5") == Alias("intents", None, "p2", "t5")
    assert store.roll_back("intents", "t6") == Alias("intents", "p2", None, "t6")
    store.retire("intents", "t7")
    assert store.promote("intents", "p2", "t8") == Alias("intents", "p2", None, "t8")
    store.retire("intents", "t9")
    assert store.promote("intents", "p3", "t10") == Alias("intents", "p3", "p2", "t10")


@pytest.mark.parametrize("task", ["a/b", "../../etc/passwd", "ümlaut task", ".hidden", "con*:?", "100%"])
def test_any_name_of_a_task_makes_a_file_in_the_folder(tmp_path: Path, task: str) -> None:
    store = AliasStore(tmp_path)
    store.promote(task, "p1", "t")
    assert store.path(task).parent == tmp_path / "aliases"
    assert [read_alias(path).task for path in store.paths()] == [task]


def test_the_fingerprint_changes_with_every_change(tmp_path: Path) -> None:
    store = AliasStore(tmp_path)
    seen = [store.fingerprint()]
    store.promote("a", "p1", "t1")
    seen.append(store.fingerprint())
    store.promote("b", "p1", "t1")
    seen.append(store.fingerprint())
    store.promote("a", "p2", "t1")
    seen.append(store.fingerprint())
    store.path("b").unlink()
    seen.append(store.fingerprint())
    assert len(set(seen)) == len(seen)


def test_a_garbled_file_is_named_with_the_mend(tmp_path: Path) -> None:
    store = AliasStore(tmp_path)
    store.promote("intents", "p1", "t")
    store.path("intents").write_text("{")
    with pytest.raises(BadArtefact, match=r"intents\.json is no alias.*metier promote"):
        store.read("intents")
    store.promote("intents", "p2", "t")
    assert store.read("intents") == Alias("intents", "p2", None, "t")


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path, texts = tmp_path / "f.json", ["a" * 10_000, "b" * 20_000]
    write_atomically(path, texts[0])
    is_over = threading.Event()
    broken = []

    def read() -> None:
        while not is_over.is_set():
            if path.read_text() not in texts:
                broken.append(True)

    reader = threading.Thread(target=read)
    reader.start()
    for place in range(50):
        write_atomically(path, texts[place % 2])
    is_over.set()
    reader.join(10)
    assert not broken
    assert [found.name for found in tmp_path.iterdir()] == ["f.json"]
