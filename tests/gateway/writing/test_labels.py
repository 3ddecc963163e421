"""A label task that a language model answers, through the router: from the list, at a desk, in the form asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.gateway.routing.conftest import JSON_FORMAT, TASK, TOOL, Shop, request
from tests.gateway.writing.conftest import LABELS

from metier.artefacts.tasks import OutputKind
from metier.gateway.calls import Decision, Reason, Route
from metier.gateway.routing.holder import RouterHolder


@pytest.fixture(scope="module")
def holder(labels: Shop) -> Iterator[RouterHolder]:
    holder = labels.holder()
    yield holder
    holder.close()


def decided(holder: RouterHolder, text: str = "what is my bank account balance", **more: Any) -> Decision:
    decision = holder.decide(request(text, **more), "mtr-1")
    # What writes does so at a desk, also where a label is all that it writes.
    assert decision.pending is not None
    future = decision.pending.desk.submit(decision.pending.work, decision.pending.max_waiting)
    assert future is not None
    return future.result(30)


def test_a_label_of_the_list_is_kept_with_its_probability_and_tokens(holder: RouterHolder) -> None:
    decision = decided(holder)
    assert (decision.route, decision.reason, decision.kind) == (Route.KEPT, None, OutputKind.LABEL)
    assert decision.label in LABELS
    assert decision.written is not None
    assert decision.written.content == decision.label
    assert decision.score is not None
    assert 1 / len(LABELS) - 1e-6 <= decision.score <= 1
    assert decision.tokens is not None
    assert decision.tokens[0] > len(["what", "is", "my", "bank", "account", "balance"])


def test_it_is_laid_out_as_the_request_demands(holder: RouterHolder) -> None:
    plain = decided(holder).label
    fields = decided(holder, response_format=JSON_FORMAT)
    assert fields.written is not None
    assert json.loads(fields.written.content or "") == {"label": plain}
    called = decided(holder, tools=[TOOL])
    assert called.written is not None
    assert called.written.tool_name == "file_under"
    assert json.loads(called.written.arguments or "") == {"label": plain}


def test_what_the_policy_does_not_keep_and_what_was_not_read_goes_to_the_frontier_model(labels: Shop) -> None:
    sure = labels.policy(student="lm", threshold=1.0, seed=1)
    labels.aliases.promote(TASK, sure, "2026-01-02T00:00:00+00:00")
    holder = labels.holder()
    try:
        doubted = decided(holder)
        assert (doubted.route, doubted.reason) == (Route.ESCALATED, Reason.LOW_SCORE)
        assert doubted.label in LABELS
        unread = decided(holder, "balance " * 5_000)
        assert (unread.route, unread.reason) == (Route.ESCALATED, Reason.ANSWER_FAILED)
    finally:
        holder.close()
        labels.aliases.promote(TASK, labels.policy_id, "2026-01-03T00:00:00+00:00")
