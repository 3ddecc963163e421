"""One call through the router: every reason for which it may be sent on, and what a kept answer looks like."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from tests.gateway.routing.conftest import JSON_FORMAT, SCHEMA, SYSTEM, TASK, TOOL, Shop, request

from metier.gateway.calls import Mode, Reason, Route


def test_a_good_answer_is_kept_with_its_evidence(shop: Shop) -> None:
    router = shop.holder()
    decision = router.decide(request(), "mtr-1")
    assert decision.route is Route.KEPT
    assert decision.reason is None
    assert decision.written is not None
    assert decision.written.content == decision.label == "money_transfer"
    assert decision.task == TASK
    assert decision.mode is Mode.ROUTE
    assert decision.input == "what is my bank account balance"
    assert decision.policy_id == shop.policy_id
    assert decision.specialist_id == shop.specialist_id
    assert decision.score is not None
    assert decision.score >= (decision.threshold or 1) == 0.3
    assert not decision.is_audited


def test_without_champions_or_audits_everything_passes(tmp_path: Any) -> None:
    from metier.gateway.routing.holder import RouterHolder
    from metier.gateway.settings import RouteSettings
    from metier.store.folders import ArtefactStore

    router = RouterHolder(ArtefactStore(tmp_path), lambda _: RouteSettings(mode="route"))
    router.refresh()
    assert router.decide(request(), "mtr-1").route is Route.PASSED
    assert not router.is_slow(request())


def test_what_is_no_task_passes(shop: Shop) -> None:
    router = shop.holder()
    for messages in ([{"role": "user", "content": "hello"}], [], None, "hello", [1], [{"role": "user"}], {"a": 1}):
        decision = router.decide({"model": "m", "messages": messages}, "mtr-1")
        assert (decision.route, decision.reason) == (Route.PASSED, Reason.NOT_RECOGNISED)


def test_capture_mode_only_watches(shop: Shop) -> None:
    decision = shop.holder("capture").decide(request(), "mtr-1")
    assert (decision.route, decision.reason) == (Route.CAPTURE, Reason.CAPTURE)
    assert decision.task == TASK
    assert decision.label is None


def test_shadow_mode_asks_apart_from_the_decision(shop: Shop) -> None:
    router = shop.holder("shadow")
    decision = router.decide(request(), "mtr-1")
    assert (decision.route, decision.reason, decision.label) == (Route.SHADOW, Reason.SHADOW, None)
    seen = router.answer_unseen(decision, request())
    assert (seen.route, seen.reason, seen.label) == (Route.SHADOW, Reason.SHADOW, "money_transfer")
    assert seen.score is not None
    assert seen.threshold == 0.3
    assert seen.written is None
    foreign = router.answer_unseen(router.decide(request("zzzz qqqq xxxx"), "mtr-1"), request("zzzz qqqq xxxx"))
    assert (foreign.route, foreign.reason) == (Route.SHADOW, Reason.LOW_SCORE)
    # What would have hindered route mode is said in shadow mode, too, and the specialist is asked all the same.
    two = router.answer_unseen(router.decide(request(n=2), "mtr-1"), request(n=2))
    assert (two.route, two.reason, two.label) == (Route.SHADOW, Reason.PARAMETERS, "money_transfer")


def test_shadow_mode_says_what_route_mode_would_do(shop: Shop) -> None:
    anew = request()
    anew["messages"][0]["content"] = SYSTEM.replace(
        "Read the message below with care", "Carefully read the message below"
    )
    asked = [
        request(), anew, request("zzzz qqqq xxxx"), request(""), request(n=2), request(max_tokens=1), request(stop="_"),
        request(response_format=JSON_FORMAT), request(tools=[TOOL]), request(tools=[TOOL], tool_choice="none"),
        request(response_format={"type": "json_object"}), request(response_format={"type": "json_schema"}),
        {**anew, "max_tokens": 1}, {**anew, "n": 2},
    ]  # fmt: skip
    for settings in {}, {"new_wordings": "keep"}:
        routed, shadowed = shop.holder(**settings), shop.holder("shadow", **settings)
        reasons = set()
        for one in asked:
            decision = routed.decide(one, "mtr-1")
            seen = shadowed.answer_unseen(shadowed.decide(one, "mtr-1"), one)
            assert seen.reason == (Reason.SHADOW if decision.route is Route.KEPT else decision.reason)
            reasons.add(seen.reason)
        assert len(reasons) >= 5


def test_an_unseen_answer_is_given_to_shadow_decisions_only(shop: Shop) -> None:
    router = shop.holder("capture")
    decision = router.decide(request(), "mtr-1")
    assert router.answer_unseen(decision, request()) is decision


def test_images_and_other_parts_escalate(shop: Shop) -> None:
    given = request()
    given["messages"][1]["content"] = [
        {"type": "text", "text": "Message: what is my bank account balance"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    decision = shop.holder().decide(given, "mtr-1")
    assert (decision.route, decision.reason) == (Route.ESCALATED, Reason.IMAGE)
    given["messages"][1]["content"] = [{"type": "text", "text": "Message: what is my bank account balance"}]
    assert shop.holder().decide(given, "mtr-1").route is Route.KEPT


@pytest.mark.parametrize(
    "more",
    [
        {"n": 2},
        {"logprobs": True},
        {"top_logprobs": 2, "logprobs": True},
        {"logit_bias": {"50256": -100}},
        {"modalities": ["text", "audio"], "audio": {"voice": "x", "format": "wav"}},
        {"prediction": {"type": "content", "content": "food"}},
        {"functions": [{"name": "f", "parameters": {}}]},
        {"a_field_of_next_year": True},
        {"guided_choice": ["food"]},
        {"store": True},
        {"web_search_options": {}},
        {"stop": "transfer"},
        {"stop": ["\n", "money"]},
        {"stop": 3},
        {"max_tokens": 1},
        {"max_completion_tokens": 2},
        {"max_tokens": "many"},
        {"max_tokens": True},
    ],
)
def test_demands_that_a_specialist_cannot_honour_escalate(shop: Shop, more: dict[str, Any]) -> None:
    decision = shop.holder().decide(request(**more), "mtr-1")
    assert (decision.route, decision.reason) == (Route.ESCALATED, Reason.PARAMETERS)


@pytest.mark.parametrize(
    "more",
    [
        {
            "temperature": 0,
            "top_p": 1,
            "seed": 3,
            "user": "u",
            "stream": True,
            "stream_options": {"include_usage": True},
        },
        {"n": 1, "logprobs": False, "logit_bias": {}, "store": False, "modalities": ["text"], "tools": []},
        {"n": None, "stop": None, "max_tokens": None, "response_format": None, "tools": None},
        {"stop": ["\n\n", "END"], "max_tokens": 16, "response_format": {"type": "text"}},
        {"reasoning_effort": "low", "metadata": {"a": "b"}, "service_tier": "auto"},
    ],
)
def test_demands_that_change_nothing_are_kept(shop: Shop, more: dict[str, Any]) -> None:
    assert shop.holder().decide(request(**more), "mtr-1").route is Route.KEPT


def test_a_task_without_a_champion_escalates(shop: Shop) -> None:
    shop.aliases.retire(TASK, "now")
    decision = shop.holder().decide(request(), "mtr-1")
    assert (decision.route, decision.reason, decision.task) == (Route.ESCALATED, Reason.NO_CHAMPION, TASK)


def test_a_policy_without_a_certificate_keeps_nothing(shop: Shop) -> None:
    shop.aliases.promote(TASK, shop.policy(threshold=None), "now")
    decision = shop.holder().decide(request(), "mtr-1")
    assert (decision.route, decision.reason) == (Route.ESCALATED, Reason.NO_CERTIFICATE)


def test_low_scores_and_foreign_inputs_escalate_with_their_evidence(shop: Shop) -> None:
    shop.aliases.promote(TASK, shop.policy(threshold=1.0), "now")
    low = shop.holder().decide(request(), "mtr-1")
    assert (low.route, low.reason, low.label) == (Route.ESCALATED, Reason.LOW_SCORE, "money_transfer")
    assert low.written is None
    assert low.score is not None
    shop.aliases.promote(TASK, shop.policy(ood_threshold=-1e9), "now")
    foreign = shop.holder().decide(request(), "mtr-1")
    assert (foreign.route, foreign.reason) == (Route.ESCALATED, Reason.OUT_OF_DISTRIBUTION)
    assert foreign.ood_score is not None
    assert foreign.ood_threshold == -1e9


def test_the_decision_is_that_of_the_policy_on_the_whole_array(shop: Shop) -> None:
    """What is kept one by one is what Policy.keeps keeps of all at once, thresholds hit exactly included."""
    champion = shop.holder().table.routes[TASK].champion
    assert champion is not None
    words = ["bank", "rain", "pizza", "zebra", "loan", "qqq", "snow", "soup", "xylophone", "now"]
    rng = np.random.default_rng(0)
    inputs = [" ".join(rng.choice(words, 4)) for _ in range(60)]
    single = [champion.predictor.predict([text]) for text in inputs]
    scores = np.array([one.scores[0] for one in single])
    ood = np.array([one.ood_scores[0] for one in single])
    for threshold, ood_threshold in ((float(scores[7]), float(ood[3])), (0.5, float(np.median(ood))), (0.9, math.inf)):
        shop.aliases.promote(TASK, shop.policy(threshold=threshold, ood_threshold=ood_threshold), "now")
        router = shop.holder()
        policy = router.table.routes[TASK].champion.policy  # type: ignore[union-attr]
        kept = [router.decide(request(text), "mtr-1").route is Route.KEPT for text in inputs]
        assert kept == policy.keeps(scores, ood).tolist()
        assert 0 < sum(kept) < len(kept)


def test_answers_take_the_form_that_was_asked_for(shop: Shop) -> None:
    router = shop.holder()
    as_json = router.decide(request(response_format=JSON_FORMAT), "mtr-1")
    assert as_json.written is not None
    assert as_json.written.content == '{"label": "money_transfer"}'
    called = router.decide(request(tools=[TOOL]), "mtr-1")
    assert called.written is not None
    assert (called.written.content, called.written.tool_name) == (None, "file_under")
    assert json.loads(called.written.arguments or "") == {"label": "money_transfer"}


@pytest.mark.parametrize(
    "more",
    [
        {"response_format": {"type": "json_object"}},  # learnt, but from 60% of the calls only
        {"response_format": {"type": "grammar", "grammar": "x"}},
        {"response_format": {**JSON_FORMAT, "json_schema": {"name": "other", "schema": {"type": "object"}}}},
        {"tools": [{"type": "function", "function": {"name": "another", "parameters": SCHEMA}}]},
        {"tools": [TOOL], "tool_choice": "none"},
        {"tools": [TOOL], "response_format": JSON_FORMAT},
    ],
)
def test_a_form_that_was_not_learnt_escalates(shop: Shop, more: dict[str, Any]) -> None:
    decision = shop.holder().decide(request(**more), "mtr-1")
    assert (decision.route, decision.reason) == (Route.ESCALATED, Reason.FORM)


def test_a_wording_that_is_new_escalates_unless_told_otherwise(shop: Shop) -> None:
    given = request()
    given["messages"][0]["content"] = SYSTEM.replace(
        "Read the message below with care", "Carefully read the message below"
    )
    router = shop.holder()
    assert router.is_slow(given)
    decision = router.decide(given, "mtr-1")
    assert (decision.route, decision.reason, decision.task) == (Route.ESCALATED, Reason.WORDING, TASK)
    assert decision.score is not None
    assert shop.holder(new_wordings="keep").decide(given, "mtr-1").route is Route.KEPT


def test_the_rollout_keeps_its_share_always_the_same_inputs(shop: Shop) -> None:
    inputs = [f"what is my bank account balance {i}" for i in range(400)]
    routers = [shop.holder(rollout=share) for share in (0, 30, 60, 100)]
    kept = [{text for text in inputs if router.decide(request(text), "mtr-1").written} for router in routers]
    assert kept[0] == set()
    assert kept[1] < kept[2] < kept[3] == set(inputs)
    assert 0.2 < len(kept[1]) / 400 < 0.4
    left = routers[0].decide(request(), "mtr-1")
    assert (left.route, left.reason) == (Route.ESCALATED, Reason.ROLLOUT)


def test_the_audit_share_is_drawn_call_by_call(shop: Shop) -> None:
    router = shop.holder(audit_share=0.3, audit_allowance=0.02)
    decisions = [router.decide(request(), f"mtr-{i:032x}") for i in range(500)]
    audited = [one for one in decisions if one.is_audited]
    assert 0.22 < len(audited) / 500 < 0.38
    assert {one.route for one in decisions} == {Route.KEPT}
    assert {one.reason for one in audited} == {Reason.AUDIT}
    assert audited[0].allowed == pytest.approx(0.07)
    never, always = shop.holder(audit_share=0.0), shop.holder(audit_share=1.0)
    assert not any(never.decide(request(), f"mtr-{i}").is_audited for i in range(50))
    assert all(always.decide(request(), f"mtr-{i}").is_audited for i in range(50))


def test_the_name_of_a_task_as_model_says_which_task_it_is(shop: Shop) -> None:
    router = shop.holder()
    decision = router.decide({**request(), "model": TASK}, "mtr-1")
    assert decision.route is Route.KEPT


@pytest.mark.parametrize(
    ("reference", "same"),
    [
        ("money_transfer", True),
        (" Money Transfer.", True),
        ('"money-transfer"', True),
        ("Label: money_transfer", True),
        ('```json\n{"label": "money_transfer"}\n```', True),
        ('{"name":"file_under","arguments":{"label":"money_transfer"}}', True),
        ("<think>food? no.</think>money_transfer", True),
        ("food", False),
        ("I'm sorry, I cannot help with that.", False),
        ("", False),
        ('{"label": "food"}', False),
        ('{"name":"another","arguments":{"x":"money_transfer"}}', True),
        ("money_transfer or food", False),
    ],
)
def test_the_frontier_models_answer_is_read_as_a_label(shop: Shop, reference: str, same: bool) -> None:
    router = shop.holder()
    assert router.same_answer(router.decide(request(), "mtr-1"), reference) is same


def test_a_label_may_stand_under_any_key_that_the_kept_answer_has_it_under(shop: Shop) -> None:
    router = shop.holder()
    kept = router.decide(request(tools=[TOOL]), "mtr-1")
    assert router.same_answer(kept, '{"name":"file_under","arguments":{"label":"Money transfer","sure":0.7}}')
    assert not router.same_answer(kept, '{"name":"file_under","arguments":{"label":"food","sure":0.7}}')
    assert not router.same_answer(kept, '{"name":"reject","arguments":{"label":"money_transfer"}}')


def test_the_first_look_finds_what_recognition_finds(shop: Shop) -> None:
    """Wherever it is sure: exact prompts, rewordings, prompts with more or less in them, with one audit and with two."""
    prompts = [
        request(),
        request("  two\n\nlines "),
        request(""),
        {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    ]
    prompts += [
        {"model": TASK, "messages": request()["messages"]},
        {"model": "m", "messages": request()["messages"][1:]},
    ]
    for old, new in (
        ("Read", "Do read"),
        (SYSTEM, SYSTEM + " Thanks."),
        ("Message: ", "message: "),
        (SYSTEM, "You help."),
    ):
        given = request()
        given["messages"] = [{**one, "content": one["content"].replace(old, new)} for one in given["messages"]]
        prompts.append(given)
    holder = shop.holder()
    n_sure = 0
    for newer in ((), ("topics", "invoices")):
        if newer:
            shop.audit("2026-02-01T00:00:00+00:00", *newer)
        table = holder.reload()
        for given in prompts:
            glance = table.glance(given["messages"], given["model"])
            n_sure += glance.is_sure
            if glance.is_sure:
                assert glance.found == table.recognise(given["messages"], given["model"])
    assert n_sure >= 10


def test_a_short_exact_call_of_a_fast_specialist_needs_no_thread(shop: Shop) -> None:
    router = shop.holder()
    champion = router.table.routes[TASK].champion
    assert champion is not None
    assert router.is_slow(request("rain " * 30_000))
    assert router.is_slow(request()) is (len("what is my bank account balance") >= champion.slow_chars)
    assert not shop.holder("capture").is_slow(request())
