"""A specialist that reads through a view at the gateway: kept, by the names of the input, and never a guess."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.gateway.routing.conftest import TASK, Shop, clock, request
from tests.students.trees.meters import CLASSES, Meters, make_readings

from metier.artefacts.estimates import not_scored
from metier.artefacts.specialists import Card, Specialist
from metier.artefacts.tasks import OutputKind
from metier.gateway.calls import Decision, Reason, Route
from metier.progress import silent
from metier.store.folders import Recipe
from metier.students import STUDENTS, TaskSpec
from metier.views import VIEWS

NAMES = {"surge": "Z1", "calm": "Z2", "leak": "Z3"}


def grown(place: Path) -> Specialist:
    folder = place / "folder"
    summary = STUDENTS["trees"].fit(
        make_readings(200, 0),
        make_readings(80, 1),
        folder,
        seed=0,
        progress=silent,
        options={"iterations": 20},
        task=TaskSpec(view="meters"),
    )
    card = Card(
        "trees", "task-1", TASK, CLASSES, "", "", 200, 80, "float32", "", 0, 0.0, not_scored(), {}, view=summary.view
    )  # fmt: skip
    return Specialist(card, None, folder)


@pytest.fixture
def metered(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The shop with trees on the small view promoted."""
    monkeypatch.setitem(VIEWS, "meters", Meters())
    recipe = Recipe("specialist", TASK, {"dataset": shop.dataset_id}, {"student": "trees"}, 0, {"metier": "1"})
    specialist_id = shop.store.produce(recipe, grown, clock=clock).manifest.id
    policy_id = shop.policy(threshold=0.0, student="trees", specialist_id=specialist_id)
    shop.aliases.promote(TASK, policy_id, clock())
    return replace(shop, specialist_id=specialist_id, policy_id=policy_id)


def decided(shop: Shop, text: str) -> Decision:
    return shop.holder().decide(request(text), "trace")


def test_it_answers_by_the_names_that_the_input_gives(metered: Shop) -> None:
    holder = metered.holder()
    plain, renamed = (
        [holder.decide(request(text), "trace") for text in make_readings(6, 3, names).inputs] for names in (None, NAMES)
    )
    assert {(one.route, one.kind) for one in (*plain, *renamed)} == {(Route.KEPT, OutputKind.LABEL)}
    assert [one.label for one in renamed] == [NAMES[one.label or ""] for one in plain]
    assert len({one.label for one in renamed}) > 1
    assert [one.written.content for one in renamed if one.written] == [one.label for one in renamed]


def test_what_the_view_cannot_read_is_sent_on_with_the_reason(metered: Shop) -> None:
    for text in ("hello", "meter reading\nload: many\nflow: -\nheat: 1"):
        decision = decided(metered, text)
        assert (decision.route, decision.reason) == (Route.ESCALATED, Reason.ANSWER_FAILED)
        assert (decision.failure, decision.label, decision.score) == ("unreadable", None, 0.0)


def test_it_is_asked_in_a_thread(metered: Shop) -> None:
    holder = metered.holder()
    assert holder.is_slow(request(make_readings(1, 3).inputs[0]))


def test_a_changed_view_takes_no_calls(metered: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VIEWS, "meters", replace(Meters(), version=2))
    holder = metered.holder()
    decision = holder.decide(request(make_readings(1, 3).inputs[0]), "trace")
    assert (decision.route, decision.reason) == (Route.ESCALATED, Reason.NO_CHAMPION)
    assert "here is version 2" in holder.table.faults[TASK]
