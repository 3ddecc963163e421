"""Routing of records and texts: what is kept, in which form, and why a call is sent on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from tests.gateway.routing.conftest import Shop, a_form, clock, request
from tests.gateway.writing.conftest import RECEIPT, SCHEMA, TASK, TOOL, WIDER, json_schema, record_of

from metier.artefacts.tasks import OutputKind
from metier.gateway.calls import Decision, Reason, Route, Written
from metier.gateway.routing.answers import same_answer
from metier.gateway.routing.holder import SETTLED_S, RouterHolder
from metier.gateway.routing.kinds import answer_check
from metier.gateway.routing.parameters import refused_parameter
from metier.gateway.routing.router import TableRouter
from metier.gateway.routing.table import RoutingTable
from metier.gateway.settings import RouteSettings
from metier.metrics.records import canonical
from metier.students import Answers
from metier.students.lm.engine.sharing import LOADED

RECORD = '{"shop": "north", "total": "9.00"}'


@dataclass
class Says:
    """A predictor that gives one answer to everything."""

    answer: str
    failure: str | None = None
    score: float = 0.9
    read: list[str] = field(default_factory=list)
    classes_: tuple[str, ...] = ()

    def predict(self, inputs: Sequence[str]) -> Answers:
        self.read += inputs
        labels = np.array([self.answer], dtype=np.object_)
        scores, count = np.array([self.score]), np.array([7])
        return Answers(labels, scores, np.zeros(1), np.empty((1, 0), np.float32), (self.failure,), count, count + 1)


@pytest.fixture(scope="module")
def holder(receipts: Shop) -> Iterator[RouterHolder]:
    holder = receipts.holder()
    yield holder
    holder.close()


def finished(decision: Decision) -> Decision:
    """The decision once the specialist has written."""
    if decision.pending is None:
        return decision
    future = decision.pending.desk.submit(decision.pending.work, decision.pending.max_waiting)
    assert future is not None
    return future.result(30)


def decided(holder: RouterHolder | TableRouter, text: str = RECEIPT, **more: Any) -> Decision:
    return finished(holder.decide(request(text, **more), "mtr-1"))


def saying(holder: RouterHolder, predictor: Says, **changes: Any) -> TableRouter:
    """The holder's table with another specialist at the same desk."""
    table = holder.table
    champion = table.routes[TASK].champion
    assert champion is not None
    champion = dataclasses.replace(champion, predictor=predictor, **changes)
    route = dataclasses.replace(table.routes[TASK], champion=champion)
    return TableRouter(RoutingTable(table.recognisers, {TASK: route}))


def test_a_record_is_kept_and_laid_out_as_the_frontier_model_does(holder: RouterHolder) -> None:
    decision = decided(holder)
    assert (decision.route, decision.reason) == (Route.KEPT, None)
    assert decision.kind is OutputKind.FIELDS
    record = json.loads(decision.label or "")
    assert decision.label == canonical(record, SCHEMA)
    written = decision.written
    assert written is not None
    assert written.content is not None
    assert written.content.startswith('```json\n{\n  "total": "')
    assert record_of(written.content) == {"total": record["total"], "shop": record["shop"], "note": record.get("note")}
    assert decision.tokens is not None
    assert min(decision.tokens) > 0


@pytest.mark.parametrize("more", [json_schema(SCHEMA), {"tools": [TOOL]}, {"tools": [TOOL], "stream": True}])
def test_the_form_follows_the_demand(holder: RouterHolder, more: dict[str, Any]) -> None:
    decision = decided(holder, **more)
    assert decision.route is Route.KEPT
    assert decision.written is not None
    is_call = "tools" in more
    text = decision.written.arguments if is_call else decision.written.content
    assert text is not None
    assert text.startswith('{"total":"')
    assert json.loads(text) == json.loads(decision.label or "")
    assert decision.written.tool_name == ("file_receipt" if is_call else None)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (json_schema(WIDER), Reason.FORM),
        ({"response_format": {"type": "json_object"}}, Reason.FORM),
        ({"max_tokens": 5}, Reason.PARAMETERS),
        ({"n": 2}, Reason.PARAMETERS),
        ({"logprobs": True}, Reason.PARAMETERS),
        ({"stop": ["shop"]}, Reason.PARAMETERS),
    ],
)
def test_what_a_record_cannot_give_is_left_to_the_frontier(
    holder: RouterHolder, more: dict[str, Any], reason: Reason
) -> None:
    decision = decided(holder, **more)
    assert (decision.route, decision.reason, decision.written) == (Route.ESCALATED, reason, None)


def test_an_answer_that_failed_says_how(holder: RouterHolder) -> None:
    decision = decided(holder, "THE NORTH SHOP\n" * 60)
    assert (decision.route, decision.reason, decision.failure) == (Route.ESCALATED, Reason.ANSWER_FAILED, "too long")
    assert decision.label is None
    assert decision.score == 0.0
    # A failure is never kept, whatever the threshold.
    router = saying(holder, Says(RECORD, "cut off", 1.0))
    assert decided(router).reason is Reason.ANSWER_FAILED


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("9.00", "no record"),
        ('{"shop": "north"}', "a record that breaks its schema (lacks 'total')"),
        ('{"shop": "north", "total": "9"}', "a record that breaks its schema (total: breaks 'pattern')"),
    ],
)
def test_a_record_that_breaks_the_schema_is_a_fault_of_the_specialist(
    holder: RouterHolder, answer: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    decision = decided(saying(holder, Says(answer), failures=type(holder.table.routes[TASK].champion.failures)()))  # type: ignore[union-attr]
    assert (decision.route, decision.reason) == (Route.ESCALATED, Reason.SPECIALIST_FAILED)
    assert f"gave {said}" in caplog.text


def test_the_input_is_read_as_curation_leaves_it(holder: RouterHolder) -> None:
    says = Says(RECORD)
    assert decided(saying(holder, says), "  caf\u00e9\r\n\t" + RECEIPT).route is Route.KEPT
    assert says.read == ["caf\u00e9\r\n\t" + RECEIPT.strip()]


def test_a_mark_is_not_given_in_place_of_what_was_taken_out(holder: RouterHolder) -> None:
    key = "sk-ant-api03-" + "Ab3dEf6hIj9kLm2nOp5q" * 2
    free = answer_check(OutputKind.TEXT, frozenset(), None)
    marked = saying(holder, Says('{"shop": "[REDACTED:anthropic]", "total": "1.00"}'), check=free)
    decision = decided(marked, f"shop {key}")
    assert (decision.route, decision.reason) == (Route.ESCALATED, Reason.REDACTED)
    # Where the client wrote the mark itself, it is a word like others.
    assert decided(marked, "shop [REDACTED:anthropic]").route is Route.KEPT


def test_a_record_is_the_same_by_what_it_says() -> None:
    def same(reference: str, written: Written | None = None) -> bool:
        return same_answer(RECORD, written, reference, OutputKind.FIELDS)

    assert same('```json\n{\n  "total": "9.00",\n "shop": "NORTH"}\n```')
    assert same('{"total": "9.00", "shop": "North", "note": null}')
    assert same('<think>hm</think>{"total": "9.00", "shop": "north"}')
    assert not same('{"total": "9.10", "shop": "north"}')
    assert not same('{"total": "9.00", "shop": "north", "note": "x"}')
    assert not same('The record is {"total": "9.00", "shop": "north"}.')
    call = json.dumps({"name": "file_receipt", "arguments": json.loads(RECORD)})
    assert same(call)
    assert same(call, Written(None, "file_receipt", RECORD))
    assert not same(call, Written(None, "give_up", "{}"))


def test_a_text_is_the_same_where_it_is_acceptable() -> None:
    text = "the patient reports pain in the left knee"
    assert same_answer(text, None, " The patient reports some pain in the knee. ", OutputKind.TEXT)
    assert not same_answer(text, None, "I cannot help with that.", OutputKind.TEXT)


def test_a_text_is_kept_as_it_was_written(holder: RouterHolder) -> None:
    plain = a_form()
    changes: dict[str, Any] = {
        "kind": OutputKind.TEXT,
        "rules": None,
        "check": answer_check(OutputKind.TEXT, frozenset(), None),
        "forms": {(plain.template_id, plain.asked): plain},
    }
    router = saying(holder, Says('Paid "9.00"\nat the north shop'), **changes)
    decision = decided(router)
    assert decision.written == Written('Paid "9.00"\nat the north shop')
    assert router.same_answer(decision, "paid 9.00 at the north shop yesterday")
    assert not router.same_answer(decision, "nothing of that kind")
    assert decided(router, verbosity="low").reason is Reason.PARAMETERS
    assert refused_parameter({"verbosity": "low"}) is None
    assert decided(saying(holder, Says(" "), **changes)).reason is Reason.SPECIALIST_FAILED


def test_many_calls_at_once_get_the_answers_that_one_gets(holder: RouterHolder) -> None:
    inputs = [f"THE NORTH SHOP no {n}\ntotal {n}.00" for n in range(6)]
    alone = [decided(holder, text).label for text in inputs]
    assert None not in alone
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda text: decided(holder, text).label, inputs * 3)) == alone * 3


def test_a_shadowed_answer_is_written_at_the_desk_too(receipts: Shop) -> None:
    holder = receipts.holder("shadow")
    asked: Mapping[str, Any] = request(RECEIPT)
    decision = holder.decide(asked, "mtr-1")
    assert (decision.route, decision.pending) == (Route.SHADOW, None)
    seen = holder.answer_unseen(decision, asked)
    assert seen.pending is not None
    assert seen.pending.otherwise.reason is Reason.BUSY
    found = finished(seen)
    assert (found.reason, found.route) == (Reason.SHADOW, Route.SHADOW)
    assert holder.same_answer(found, found.label or "")
    holder.close()


def test_champions_of_one_specialist_share_its_model_until_the_last_is_freed(receipts: Shop) -> None:
    now = [0.0]
    before = LOADED.n_loaded()
    holder = RouterHolder(receipts.store, lambda _: RouteSettings(mode="route"), clock=lambda: now[0])
    holder.refresh()
    old = holder.decide(request(RECEIPT), "mtr-1")
    receipts.aliases.promote(TASK, receipts.policy(threshold=0.4, student="lm"), clock())
    holder.refresh()
    assert LOADED.n_loaded() == max(before, 1)
    # A call that was decided before the exchange still gets its answer.
    assert finished(old).policy_id == receipts.policy_id
    now[0] += SETTLED_S
    holder.look_at_aliases()
    assert decided(holder).route is Route.KEPT
    receipts.aliases.promote(TASK, receipts.policy_id, clock())
    holder.close()
    assert LOADED.n_loaded() == before


def test_a_start_does_not_wait_for_what_takes_long_to_load(receipts: Shop) -> None:
    holder = RouterHolder(receipts.store, lambda _: RouteSettings(mode="route"))
    holder.reload(defers=True)
    assert holder.table.loading == {TASK}
    assert "is being loaded" in holder.faults()[TASK]
    assert holder.decide(request(RECEIPT), "mtr-1").reason is Reason.NO_CHAMPION
    holder.look_at_aliases()
    assert not holder.faults()
    assert decided(holder).route is Route.KEPT
    holder.close()


def test_after_the_end_calls_are_left_to_the_frontier(receipts: Shop) -> None:
    holder = receipts.holder()
    pending = holder.decide(request(RECEIPT), "mtr-1").pending
    assert pending is not None
    holder.close()
    assert pending.desk.submit(pending.work, 10) is None
    assert pending.work().reason is Reason.SPECIALIST_FAILED
