"""What a specialist may do to a running gateway: its calls go to the frontier, and the log says why."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.gateway.conftest import ANSWER
from tests.gateway.faults.serving import Gateway, until
from tests.gateway.routing.conftest import TASK, Shop, clock
from tests.gateway.routing.conftest import request as kept_request

from metier.artefacts.specialists import Specialist
from metier.store.aliases import AliasStore
from metier.store.folders import ArtefactStore, Recipe

Harm = Callable[[Path], None]


def _spoil(folder: Path) -> None:
    """A temperature that is no number: it loads, and every answer raises."""
    path = folder / "meta.json"
    meta = json.loads(path.read_text())
    meta["score_model"]["temperature"] = "warm"
    path.write_text(json.dumps(meta))


def _rename_class(folder: Path) -> None:
    """A label that the task does not know."""
    path = folder / "meta.json"
    text = path.read_text()
    assert '"money_transfer"' in text
    path.write_text(text.replace('"money_transfer"', '"launder_money"'))


@pytest.fixture
def shop(served: Gateway, made: Shop) -> Iterator[Shop]:
    """The store of the running gateway; afterwards the good specialist is its champion again."""
    shop = dataclasses.replace(made, store=ArtefactStore(served.folder / ".metier"))
    yield shop
    shop.aliases.promote(TASK, made.policy_id, "afterwards")
    until(lambda: served.call(kept_request()).route == "kept", "the good specialist is not back")


def promoted(shop: Shop, harm: Harm) -> str:
    """A specialist that was harmed before it was stored, so that its hashes are right; it is made champion."""

    def make(target: Path) -> Specialist:
        good = shop.store.load(shop.store.manifest("specialist", shop.specialist_id))
        assert isinstance(good, Specialist)
        shutil.copytree(good.folder, target / "folder")
        harm(target / "folder")
        return dataclasses.replace(good, folder=target / "folder")

    settings = {"harm": harm.__name__, "time": str(time.monotonic())}
    recipe = Recipe("specialist", TASK, {"dataset": shop.dataset_id}, settings, 0, {"metier": "1"})
    specialist_id = shop.store.produce(recipe, make, clock=clock).manifest.id
    policy_id = shop.policy(specialist_id=specialist_id)
    shop.aliases.promote(TASK, policy_id, "harmed")
    return policy_id


@pytest.mark.parametrize(
    ("harm", "said"), [(_spoil, "raised"), (_rename_class, "gave a label that is not among its 2 classes")]
)
def test_a_specialist_that_fails_at_each_call_leaves_them_to_the_frontier(
    served: Gateway, shop: Shop, harm: Harm, said: str
) -> None:
    policy_id = promoted(shop, harm)
    until(lambda: served.call(kept_request()).headers["x-metier-certificate"] == policy_id, "it is not promoted")
    for stream in (False, True):
        outcome = served.call(kept_request(stream=stream))
        assert outcome.text == ANSWER
        assert (outcome.route, outcome.headers["x-metier-reason"]) == ("escalated", "specialist_failed")
        trace = served.wait_for([outcome.trace_id])[outcome.trace_id or ""]
        assert trace["route"] == "escalated"
        assert trace["evidence"]["reason"] == "specialist_failed"
    until(lambda: said in served.said, "the log does not say so")


def _unlink(path: Path) -> None:
    path.unlink()


def _alter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"x")


@pytest.mark.parametrize(("harm", "said"), [(_unlink, "is missing"), (_alter, "was changed after it was stored")])
def test_a_specialist_whose_files_are_not_what_was_stored_is_not_taken(
    served: Gateway, shop: Shop, harm: Callable[[Path], None], said: str
) -> None:
    """The one before goes on serving, and what was wrong is in the log."""

    def nothing(folder: Path) -> None:
        (folder / "note").write_text(harm.__name__)

    before = len(served.log("champion_fault"))
    aliases = AliasStore(shop.store.root)
    good = aliases.read(TASK)
    policy_id = promoted(shop, nothing)
    assert good is not None
    aliases.promote(TASK, good.champion or "", "not yet")
    specialist_id = shop.store.load(shop.store.manifest("policy", policy_id)).specialist_id  # type: ignore[attr-defined]
    harm(shop.store.root / "artefacts" / "specialist" / specialist_id / "folder" / "weights.npz")
    aliases.promote(TASK, policy_id, "now")
    until(lambda: len(served.log("champion_fault")) > before, lambda: served.said[-2000:])
    assert said in served.log("champion_fault")[-1]["problem"]
    outcome = served.call(kept_request())
    assert outcome.text == "money_transfer"
    assert outcome.headers["x-metier-certificate"] == good.champion
    served.wait_for([outcome.trace_id])
