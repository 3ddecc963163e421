"""A specialist that was loaded is freed where what comes after it in the loading fails."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from tests.gateway.routing.conftest import TASK, Shop

from metier.errors import NotFound
from metier.gateway.routing.champions import load_champion
from metier.gateway.routing.holder import RouterHolder
from metier.gateway.settings import RouteSettings
from metier.store.aliases import read_alias
from metier.store.folders import ArtefactStore
from metier.students import LmStudent
from metier.students.lm.engine.sharing import LOADED


@pytest.fixture
def shop(receipts: Shop, tmp_path: Path) -> Shop:
    """A copy of the store that a test may harm."""
    root = tmp_path / ".metier"
    shutil.copytree(receipts.store.root, root)
    return dataclasses.replace(receipts, store=ArtefactStore(root))


def test_a_champion_without_its_audit_leaves_no_model_behind(shop: Shop) -> None:
    shutil.rmtree(shop.store.root / "artefacts" / "audit" / shop.audit_id)
    before = LOADED.n_loaded()
    with pytest.raises(NotFound, match="audit"):
        load_champion(shop.store, read_alias(shop.aliases.path(TASK)))
    assert LOADED.n_loaded() == before


def test_a_table_that_cannot_be_finished_leaves_no_model_behind(shop: Shop) -> None:
    def settings_of(task: str) -> RouteSettings:
        raise ValueError(f"no settings for {task}")

    before = LOADED.n_loaded()
    holder = RouterHolder(shop.store, settings_of)
    with pytest.raises(ValueError, match=f"no settings for {TASK}"):
        holder.reload()
    assert LOADED.n_loaded() == before
    holder.close()


def test_what_an_older_table_has_loaded_goes_on_where_a_newer_one_cannot_be_finished(shop: Shop) -> None:
    is_known = True

    def settings_of(task: str) -> RouteSettings:
        if not is_known:
            raise ValueError(f"no settings for {task}")
        return RouteSettings(mode="route")

    before = LOADED.n_loaded()
    holder = RouterHolder(shop.store, settings_of)
    holder.reload()
    loaded = LOADED.n_loaded()
    is_known = False
    with pytest.raises(ValueError, match="no settings"):
        holder.reload()
    champion = holder.table.routes[TASK].champion
    assert champion is not None
    assert champion.predictor.predict(["THE NORTH SHOP total 9.00"]).failures != ()
    assert LOADED.n_loaded() == loaded
    holder.close()
    assert LOADED.n_loaded() == before


def test_a_student_whose_score_cannot_be_read_leaves_no_model_behind(shop: Shop) -> None:
    folder = shop.store.root / "artefacts" / "specialist" / shop.specialist_id / "folder"
    meta = json.loads((folder / "meta.json").read_text())
    meta["score"] = {"nothing": 1}
    (folder / "meta.json").write_text(json.dumps(meta))
    before = LOADED.n_loaded()
    with pytest.raises(KeyError, match="bias"):
        LmStudent().load(folder)
    assert LOADED.n_loaded() == before
