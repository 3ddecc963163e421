"""Champions and certificates change while calls are under way; what cannot be loaded harms nobody else."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.routing.conftest import TASK, Shop, request

from metier.gateway.calls import Reason, Route
from metier.gateway.realised import Evidence
from metier.gateway.routing.holder import GRACE_S, RETRY_S, RouterHolder
from metier.gateway.routing.ledger import DatabaseLedger, Findings
from metier.gateway.settings import RouteSettings
from metier.store.aliases import Alias
from metier.store.audits import AuditRow, add_audits
from metier.store.database import open_database, writing
from metier.store.revocations import Revocation, add_revocation

_WAIT_S = 20.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Switched:
    """A ledger that can be away."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.is_away = False

    def read(self, policy_ids: Collection[str]) -> Findings:
        if self.is_away:
            raise ConnectionError("postgresql://user:secret@db is away")
        return self.findings

    def close(self) -> None:
        pass


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + _WAIT_S
    while not is_so():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def test_promoting_exchanges_the_champion(shop: Shop) -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    holder = RouterHolder(
        shop.store,
        lambda _: RouteSettings(mode="route", audit_share=0.0),
        event=lambda event, level="info", **fields: events.append((event, fields)),
    )
    holder.refresh()
    assert events == [("champion", {"task": TASK, "policy": shop.policy_id, "previous": None})]
    under_way = holder.table
    strict = shop.policy(threshold=1.0)
    shop.aliases.promote(TASK, strict, "later")
    holder.refresh()
    assert holder.decide(request(), "mtr-1").reason is Reason.LOW_SCORE
    assert holder.states()[TASK].champion == strict
    # A call that began before has all it needs.
    assert under_way.routes[TASK].champion is not None
    assert under_way.routes[TASK].champion.policy_id == shop.policy_id
    shop.aliases.roll_back(TASK, "later still")
    holder.refresh()
    assert holder.decide(request(), "mtr-1").route is Route.KEPT
    shop.aliases.retire(TASK, "at last")
    holder.refresh()
    assert holder.decide(request(), "mtr-1").reason is Reason.NO_CHAMPION
    assert [fields["policy"] for event, fields in events if event == "champion"] == [
        shop.policy_id, strict, shop.policy_id, None,
    ]  # fmt: skip


def test_nothing_is_loaded_again_where_nothing_changed(shop: Shop) -> None:
    holder = shop.holder()
    table = holder.table
    holder.refresh()
    assert holder.table is table
    os.utime(shop.aliases.path(TASK))
    holder.refresh()
    assert holder.table is not table
    assert holder.table.routes[TASK].champion is table.routes[TASK].champion
    assert holder.table.recognisers[0].recogniser is table.recognisers[0].recogniser


Harm = Callable[[Shop, str], None]


def _remove_weights(shop: Shop, policy_id: str) -> None:
    (shop.store.root / "artefacts" / "specialist" / shop.specialist_id / "folder" / "weights.npz").unlink()


def _alter_weights(shop: Shop, policy_id: str) -> None:
    path = shop.store.root / "artefacts" / "specialist" / shop.specialist_id / "folder" / "weights.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def _alter_policy(shop: Shop, policy_id: str) -> None:
    path = shop.store.root / "artefacts" / "policy" / policy_id / "payload.json"
    path.write_text(path.read_text().replace("0.05", "0.5", 1))


def _remove_policy(shop: Shop, policy_id: str) -> None:
    (shop.store.root / "artefacts" / "policy" / policy_id / "manifest.json").unlink()


def _remove_dataset(shop: Shop, policy_id: str) -> None:
    (shop.store.root / "artefacts" / "dataset" / shop.dataset_id / "payload.json").unlink()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_remove_weights, "is missing"),
        (_alter_weights, "was changed after it was stored"),
        (_alter_policy, "was changed after it was stored"),
        (_remove_policy, "is not in the store"),
        (_remove_dataset, "is missing"),
    ],
)
def test_a_champion_that_cannot_be_loaded_leaves_its_task_to_the_frontier(shop: Shop, harm: Harm, said: str) -> None:
    harm(shop, shop.policy_id)
    holder = shop.holder()
    assert said in holder.faults()[TASK]
    assert "All calls of the task are escalated." in holder.faults()[TASK]
    decision = holder.decide(request(), "mtr-1")
    assert (decision.route, decision.reason) == (Route.ESCALATED, Reason.NO_CHAMPION)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_alter_policy, "was changed after it was stored"),
        (_remove_policy, "is not in the store"),
        (_remove_dataset, "is missing"),
    ],
)
def test_a_bad_new_champion_keeps_the_old_one_serving(shop: Shop, harm: Harm, said: str) -> None:
    holder = shop.holder()
    new = shop.policy(threshold=1.0)
    harm(shop, new)
    shop.aliases.promote(TASK, new, "now")
    holder.refresh()
    assert holder.decide(request(), "mtr-1").route is Route.KEPT
    assert said in holder.faults()[TASK]
    assert f"Policy {shop.policy_id} goes on serving." in holder.faults()[TASK]
    assert holder.states()[TASK].fault == holder.faults()[TASK]


def test_an_unknown_kind_of_student_is_a_fault(shop: Shop) -> None:
    folder = shop.store.root / "artefacts" / "specialist" / shop.specialist_id
    payload, manifest = folder / "payload.json", folder / "manifest.json"
    payload.write_text(payload.read_text().replace('"linear"', '"oracle"'))
    from metier.store.payload import digest

    found = json.loads(manifest.read_text())
    found["files"]["payload.json"] = digest(payload)
    manifest.write_text(json.dumps(found))
    assert "'oracle' is not known" in shop.holder().faults()[TASK]


def test_a_policy_of_another_task_is_a_fault(shop: Shop) -> None:
    shop.aliases.promote(TASK, shop.policy(task_name="others"), "now")
    assert "is of task 'others'" in shop.holder().faults()[TASK]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"task": 3}', '{"task": "intents", "champion": 3, "previous": null, "time": ""}']
)
def test_a_garbled_alias_keeps_the_old_champion(shop: Shop, alias_file: Path, text: str) -> None:
    holder = shop.holder()
    alias_file.write_text(text)
    holder.refresh()
    assert holder.decide(request(), "mtr-1").route is Route.KEPT
    assert "is no alias" in holder.faults()[TASK]
    # At a start there is none to keep; other aliases are served all the same.
    assert shop.holder().decide(request(), "mtr-1").reason is Reason.NO_CHAMPION


def test_what_failed_is_tried_again_after_a_while(shop: Shop) -> None:
    path = shop.store.root / "artefacts" / "policy" / shop.policy_id / "payload.json"
    good = path.read_text()
    path.write_text("garbage")
    clock = Clock()
    holder = RouterHolder(shop.store, lambda _: RouteSettings(mode="route"), clock=clock)
    holder.refresh()
    assert holder.faults()
    path.write_text(good)
    holder.refresh()
    assert holder.faults()
    clock.now += RETRY_S
    holder.refresh()
    assert not holder.faults()
    assert holder.decide(request(), "mtr-1").route is Route.KEPT


def test_revocations_hold_at_once_and_while_the_database_is_away(shop: Shop) -> None:
    ledger, clock = Switched(), Clock()
    holder = RouterHolder(shop.store, lambda _: RouteSettings(mode="route", audit_share=0.0), ledger, clock=clock)
    holder.refresh()
    assert holder.decide(request(), "mtr-1").route is Route.KEPT
    ledger.findings = Findings(frozenset({shop.policy_id, "another"}))
    holder.refresh()
    revoked = holder.decide(request(), "mtr-1")
    assert (revoked.route, revoked.reason, revoked.policy_id) == (Route.ESCALATED, Reason.REVOKED, shop.policy_id)
    assert holder.states()[TASK].is_revoked
    ledger.is_away = True
    holder.refresh()
    holder.reload()
    assert holder.decide(request(), "mtr-1").reason is Reason.REVOKED
    assert holder.faults() == {}
    clock.now += GRACE_S + 1
    holder.refresh()
    assert "has not answered for 61 s" in holder.faults()["revocations"]
    assert "secret" not in str(holder.faults())
    # A gateway that starts while the database is away knows what was known before.
    fresh = RouterHolder(shop.store, lambda _: RouteSettings(mode="route"), ledger)
    fresh.refresh()
    assert fresh.decide(request(), "mtr-1").reason is Reason.REVOKED
    ledger.is_away = False
    holder.refresh()
    assert holder.faults() == {}


def test_a_database_that_is_away_does_not_stop_answers(shop: Shop) -> None:
    ledger = Switched()
    ledger.is_away = True
    assert shop.holder(ledger=ledger).decide(request(), "mtr-1").route is Route.KEPT


def test_the_ledger_reads_revocations_and_audits_of_the_database(shop: Shop, tmp_path: Path) -> None:
    location = f"sqlite:///{tmp_path / 'traffic.db'}"
    database = open_database(location)
    holder = shop.holder(ledger=DatabaseLedger(location))
    assert [found.e_value for found in holder.realised()] == [1.0]
    rows = [AuditRow(shop.policy_id, TASK, f"mtr-{i}", float(i), i % 10 == 0, 0.05) for i in range(40)]
    for part in (rows[:15], rows[15:]):
        with writing(database.engine) as connection:
            add_audits(connection, part)
        holder.refresh()
    (found,) = holder.realised()
    assert (found.task, found.error, found.allowed, found.is_revoked) == (TASK, 0.1, 0.05, False)
    assert found.e_value == pytest.approx(Evidence().after(rows).e_value)
    with writing(database.engine) as connection:
        add_revocation(connection, Revocation(shop.policy_id, TASK, 1.0, 21.0, 40, 9, "because"))
    holder.refresh()
    assert holder.decide(request(), "mtr-1").reason is Reason.REVOKED
    holder.close()


def test_an_older_audits_champion_is_recognised_by_its_own_audit(shop: Shop) -> None:
    """A newer audit names the task anew and finds others; the champion goes on with the inputs it was certified for."""
    shop.audit("2026-02-01T00:00:00+00:00", "topics", "invoices")
    holder = shop.holder()
    assert set(holder.tasks()) == {TASK, "topics", "invoices"}
    kept = holder.decide(request(), "mtr-1")
    assert (kept.route, kept.task) == (Route.KEPT, TASK)
    other = request()
    other["messages"][0]["content"] = (
        "Write down for the archive what these invoices papers hold, in a single short line."
    )
    decision = holder.decide(other, "mtr-1")
    assert (decision.route, decision.reason, decision.task) == (Route.ESCALATED, Reason.NO_CHAMPION, "invoices")


class Broken:
    """A predictor that does what no predictor should."""

    def __init__(self, good: Any, what: Callable[[Any], Any]) -> None:
        self.good, self.what, self.classes_ = good, what, good.classes_

    def predict(self, inputs: list[str]) -> Any:
        return self.what(self.good.predict(inputs))


def _raise(answers: Any) -> Any:
    raise RuntimeError("a secret of the input")


@pytest.mark.parametrize(
    "what",
    [
        _raise,
        lambda answers: None,
        lambda answers: dataclasses.replace(answers, scores=answers.scores * float("nan")),
        lambda answers: dataclasses.replace(answers, scores=answers.scores * 0 + 1.5),
        lambda answers: dataclasses.replace(answers, ood_scores=answers.ood_scores * 0 - float("inf")),
        lambda answers: dataclasses.replace(answers, labels=answers.labels * 0 + "no such label"),
        lambda answers: dataclasses.replace(answers, labels=answers.labels[:0]),
    ],
    ids=["raises", "none", "nan", "above one", "infinite", "another label", "empty"],
)
def test_a_specialist_that_fails_escalates_is_counted_and_logged_once(
    shop: Shop, what: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    from metier.gateway.routing.router import TableRouter

    table = shop.holder().table
    route = table.routes[TASK]
    assert route.champion is not None
    broken = dataclasses.replace(route.champion, predictor=Broken(route.champion.predictor, what))
    broken = dataclasses.replace(broken, failures=type(broken.failures)())
    router = TableRouter(dataclasses.replace(table, routes={TASK: dataclasses.replace(route, champion=broken)}))
    for _ in range(3):
        decision = router.decide(request(), "mtr-1")
        assert (decision.route, decision.reason) == (Route.ESCALATED, Reason.SPECIALIST_FAILED)
        assert (decision.task, decision.written) == (TASK, None)
    assert broken.failures.n == 3
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text


def test_calls_in_threads_never_see_half_an_exchange(shop: Shop) -> None:
    """While champions change, every decision is wholly that of one of the two policies."""
    strict = shop.policy(threshold=1.0)
    holder = shop.holder()
    wrong: list[Any] = []
    is_over = threading.Event()

    def call() -> None:
        while not is_over.is_set():
            given = request()
            holder.is_slow(given)
            decision = holder.decide(given, "mtr-1")
            expected = Route.KEPT if decision.policy_id == shop.policy_id else Route.ESCALATED
            if decision.route is not expected or decision.policy_id not in (shop.policy_id, strict):
                wrong.append(decision)

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for place in range(7):
        shop.aliases.promote(TASK, strict if place % 2 == 0 else shop.policy_id, str(place))
        holder.refresh()
    is_over.set()
    for thread in threads:
        thread.join(_WAIT_S)
    assert wrong == []


def test_the_watching_thread_takes_over_a_promotion_and_a_signal(shop: Shop) -> None:
    holder = RouterHolder(shop.store, lambda _: RouteSettings(mode="route", audit_share=0.0))
    holder.start()
    try:
        strict = shop.policy(threshold=1.0)
        shop.aliases.promote(TASK, strict, "now")
        until(lambda: holder.states()[TASK].champion == strict)
        table = holder.table
        holder.ask_to_reload()
        until(lambda: holder.table is not table)
    finally:
        holder.close()


def test_an_alias_is_what_the_store_says(shop: Shop) -> None:
    assert shop.aliases.read(TASK) == Alias(TASK, shop.policy_id, None, "2026-01-01T00:00:00+00:00")


def test_a_revocation_outlives_the_database_that_held_it(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "traffic.db"
    location = f"sqlite:///{path}"
    holder = shop.holder(ledger=DatabaseLedger(location))
    database = open_database(location)
    with writing(database.engine) as connection:
        add_revocation(connection, Revocation(shop.policy_id, TASK, 1.0, 21.0, 40, 9, "because"))
    holder.refresh()
    assert holder.decide(request(), "mtr-1").reason is Reason.REVOKED
    database.close()
    for left in tmp_path.glob("traffic.db*"):
        left.unlink()
    holder.refresh()
    fresh = open_database(location)
    with writing(fresh.engine) as connection:
        add_revocation(connection, Revocation("another", TASK, 2.0, 21.0, 40, 9, "because"))
    holder.refresh()
    assert holder.table.revoked == {shop.policy_id, "another"}
    assert holder.decide(request(), "mtr-1").reason is Reason.REVOKED
    fresh.close()
    holder.close()


def test_what_fails_to_end_keeps_nothing_else_open(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []

    class Closing(Switched):
        def close(self) -> None:
            ended.append("ledger")

    holder = shop.holder(ledger=Closing())
    champion = holder.table.routes[TASK].champion
    assert champion is not None

    def fail(self: object) -> None:
        ended.append("champion")
        raise OSError("gone")

    monkeypatch.setattr(type(champion), "end", fail)
    with pytest.raises(OSError, match="gone"):
        holder.close()
    assert ended == ["champion", "ledger"]


def test_a_ledger_that_hangs_delays_no_promotion(shop: Shop) -> None:
    is_over, hangs = threading.Event(), threading.Event()

    class Hanging(Switched):
        def read(self, policy_ids: Collection[str]) -> Findings:
            if hangs.is_set():
                is_over.wait(_WAIT_S)
            return super().read(policy_ids)

    holder = RouterHolder(shop.store, lambda _: RouteSettings(mode="route"), Hanging())
    holder.start()
    hangs.set()
    try:
        strict = shop.policy(threshold=1.0)
        shop.aliases.promote(TASK, strict, "now")
        until(lambda: holder.states()[TASK].champion == strict)
    finally:
        is_over.set()
        holder.close()
