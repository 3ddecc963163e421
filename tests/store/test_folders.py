"""Artefact folders: skipping, resuming, refusing what was altered, surviving a kill."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA, Contradiction, Dataset
from metier.artefacts.estimates import Estimate, not_scored
from metier.artefacts.policies import Certificate, Policy, RiskPoint
from metier.artefacts.specialists import Card, Specialist
from metier.artefacts.tasks import OutputKind
from metier.errors import BadArtefact, NotFound, StoreBusy
from metier.store.folders import ArtefactStore, Recipe

RECIPE = Recipe("policy", "intents", {"dataset": "d1"}, {"alpha": 0.05}, 0, {"metier": "1", "numpy": "2"})


def clock() -> str:
    return "2026-01-01T00:00:00+00:00"


def a_policy() -> Policy:
    certificate = Certificate(
        0.05, 0.05, 100, 80, 1, 0.5, Estimate(0.8, 0.7, 0.9, 100), Estimate(0.01, 0, 0.04, 80), "human labels", "all"
    )
    curve = (RiskPoint(0.9, 0.1, math.nan, 0), RiskPoint(0.5, 0.8, 0.01, 80))
    return Policy("t", "intents", "linear", "s1", certificate, math.inf, not_scored(), 0.0, None, "certified", curve)


def test_an_artefact_comes_back_as_it_was_with_nan_and_infinity(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    stored = store.produce(RECIPE, lambda _: a_policy(), clock=clock)
    policy = stored.artefact
    assert isinstance(policy, Policy)
    assert policy.certificate == a_policy().certificate
    assert math.isnan(policy.curve[0].risk)
    assert policy.ood_threshold == math.inf
    assert not policy.base_risk.scored
    text = (store.folder(stored.manifest) / "payload.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not standard JSON"))


def test_tables_come_back_with_their_types(tmp_path: Path) -> None:
    examples = pl.DataFrame({"id": ["a"], "input": ["x"]}).match_to_schema(EXAMPLE_SCHEMA, missing_columns="insert")
    dataset = Dataset(
        "t", "intents", OutputKind.LABEL, ("a", "b"), "random", "none",
        (Contradiction("x", (("a", 1), ("b", 2)), "majority"),), ("few",), examples, pl.DataFrame(schema=REMOVED_SCHEMA),
    )  # fmt: skip
    recipe = replace(RECIPE, kind="dataset")
    back = ArtefactStore(tmp_path).produce(recipe, lambda _: dataset, clock=clock).artefact
    assert isinstance(back, Dataset)
    assert back.examples.equals(examples)
    assert back.examples.schema == EXAMPLE_SCHEMA
    assert back.contradictions == dataset.contradictions
    assert back.kind is OutputKind.LABEL


def test_the_same_recipe_is_made_once(tmp_path: Path) -> None:
    store, made = ArtefactStore(tmp_path), []

    def make(_: Path) -> Policy:
        made.append(1)
        return a_policy()

    first = store.produce(RECIPE, make, clock=clock)
    second = store.produce(RECIPE, make, clock=clock)
    assert (first.fresh, second.fresh, len(made)) == (True, False, 1)
    assert first.manifest.id == second.manifest.id


def test_what_is_not_final_is_made_again_and_the_newest_counts(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    times = iter(("2026-01-01", "2026-01-02"))
    first = store.produce(RECIPE, lambda _: a_policy(), clock=lambda: next(times))
    better = replace(a_policy(), reason="asked again")
    second = store.produce(RECIPE, lambda _: better, clock=lambda: next(times), final=lambda _: False)
    assert (second.fresh, store.find(RECIPE)) == (True, second.manifest)
    assert store.load(first.manifest) is not None


def test_other_settings_inputs_seed_or_metier_version_make_another(tmp_path: Path) -> None:
    others = [
        replace(RECIPE, settings={"alpha": 0.1}),
        replace(RECIPE, inputs={"dataset": "d2"}),
        replace(RECIPE, seed=1),
        replace(RECIPE, versions={"metier": "2", "numpy": "2"}),
    ]
    assert len({RECIPE.hash, *(other.hash for other in others)}) == 5
    assert replace(RECIPE, versions={"metier": "1", "numpy": "3"}).hash == RECIPE.hash


def test_a_failed_stage_leaves_its_folder_for_the_next_run_and_no_artefact(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)

    def fail(folder: Path) -> Policy:
        (folder / "checkpoint").write_text("half way")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.produce(RECIPE, fail, clock=clock)
    assert store.manifests() == []

    def resume(folder: Path) -> Policy:
        assert (folder / "checkpoint").read_text() == "half way"
        (folder / "checkpoint").unlink()
        return a_policy()

    assert store.produce(RECIPE, resume, clock=clock).fresh


@pytest.mark.parametrize("moved", ["replace", "rename"])
def test_a_run_that_is_stopped_while_it_stores_goes_on(
    moved: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest half written, or the folder not yet in its place."""
    store = ArtefactStore(tmp_path)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, moved, stopped)
        with pytest.raises(KeyboardInterrupt):
            store.produce(RECIPE, lambda _: a_policy(), clock=clock)
    assert store.manifests() == []
    made = store.produce(RECIPE, lambda _: a_policy(), clock=clock)
    assert made.fresh
    assert list(made.manifest.files) == ["payload.json"]
    assert store.load(made.manifest).reason == "certified"  # type: ignore[union-attr]


def test_a_killed_process_leaves_the_store_consistent(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from metier.store.folders import ArtefactStore, Recipe
        def make(folder):
            (folder / "weights").mkdir()
            (folder / "weights" / "w").write_bytes(b"x" * 1000)
            os.kill(os.getpid(), signal.SIGKILL)
        recipe = Recipe("policy", "intents", {{"dataset": "d1"}}, {{"alpha": 0.05}}, 0, {{"metier": "1", "numpy": "2"}})
        ArtefactStore(Path({str(tmp_path)!r})).produce(recipe, make, clock=lambda: "")
    """)
    done = subprocess.run([sys.executable, "-c", script], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    store = ArtefactStore(tmp_path)
    assert store.manifests() == []
    assert store.produce(RECIPE, lambda _: a_policy(), clock=clock).fresh


def test_an_altered_or_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    manifest = store.produce(RECIPE, lambda _: a_policy(), clock=clock).manifest
    payload = store.folder(manifest) / "payload.json"
    payload.write_text(payload.read_text().replace("0.8", "0.9", 1))
    with pytest.raises(BadArtefact, match=r"payload\.json was changed"):
        store.load(manifest)
    payload.unlink()
    with pytest.raises(BadArtefact, match=r"payload\.json is missing"):
        store.load(manifest)


def test_weights_travel_into_the_artefact(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path / "store")
    card = Card("linear", "t", "intents", ("a",), "", "", 1, 1, "float32", "", 3, 0.1, not_scored(), {})

    def make(folder: Path) -> Specialist:
        (folder / "folder").mkdir()
        (folder / "folder" / "weights.bin").write_bytes(b"abc")
        return Specialist(card, None, folder / "folder")

    stored = store.produce(replace(RECIPE, kind="specialist"), make, clock=clock)
    specialist = stored.artefact
    assert isinstance(specialist, Specialist)
    assert (specialist.folder / "weights.bin").read_bytes() == b"abc"
    assert "folder/weights.bin" in stored.manifest.files


def test_two_processes_do_not_make_the_same_artefact_at_once(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)

    def make(_: Path) -> Policy:
        with pytest.raises(StoreBusy, match="another process"):
            ArtefactStore(tmp_path).produce(RECIPE, lambda _: a_policy(), clock=clock)
        return a_policy()

    assert store.produce(RECIPE, make, clock=clock).fresh


def test_ids_resolve_by_prefix_and_lineage_walks_inputs(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    first = store.produce(RECIPE, lambda _: a_policy(), clock=clock).manifest
    second = store.produce(replace(RECIPE, inputs={"policy": first.id}), lambda _: a_policy(), clock=clock).manifest
    assert store.resolve(first.id[:8]) == first
    assert [manifest.id for manifest in store.lineage(second)] == [second.id, first.id]
    with pytest.raises(NotFound, match="no artefact"):
        store.resolve("zz")
    with pytest.raises(NotFound, match="fits 2 artefacts"):
        store.resolve("")
