"""Answers that the specialist gives: kept, kept and audited, or given unseen."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from metier.gateway.calls import Decision, Mode, Reason, Route, Written

ASKED = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "where is my parcel"}], "temperature": 0}
KEPT = Decision(
    Route.KEPT,
    task="intents",
    mode=Mode.ROUTE,
    input="where is my parcel",
    label="track_order",
    score=0.91,
    threshold=0.8,
    policy_id="pol",
    specialist_id="spec\r\nx-evil: 1",
    written=Written("track_order"),
)
TOOL = replace(KEPT, written=Written(None, "classify", '{"label":"track_order"}'))
AUDITED = replace(KEPT, reason=Reason.AUDIT, is_audited=True, allowed=0.05)
SHADOW = Decision(Route.SHADOW, Reason.SHADOW, "intents", Mode.SHADOW, input="where is my parcel")


def post(gateway: Any, **changes: Any) -> httpx.Response:
    return httpx.post(gateway.url + "/chat/completions", json={**ASKED, **changes}, timeout=20)


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    lines = answer.text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def test_a_kept_answer_is_a_chat_completion(gateway: Any) -> None:
    gateway.router.decision = KEPT
    answer = post(gateway)
    record = gateway.book.wait()[0]
    content = answer.json()
    assert content["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "track_order", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert (content["object"], content["model"]) == ("chat.completion", "gpt-4.1")
    assert content["id"] == f"chatcmpl-{record.trace_id[4:]}" == record.response_id
    # 18 characters in and 11 out, at 4 a token: 4.5 and 2.75.
    assert content["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    assert gateway.upstream.calls == []
    assert (record.response, record.status, record.is_estimated) == ("track_order", 200, True)
    assert (record.cost_usd, record.saved_usd) == (0.0, pytest.approx(4e-6 * 1 + 3e-6 * 2))


def test_the_evidence_of_a_kept_answer_is_in_its_headers(gateway: Any) -> None:
    gateway.router.decision = KEPT
    headers = post(gateway).headers
    record = gateway.book.wait()[0]
    found = {name: value for name, value in headers.items() if name.startswith("x-")}
    assert found == {
        "x-request-id": record.trace_id,
        "x-metier-trace": record.trace_id,
        "x-metier-route": "kept",
        "x-metier-task": "intents",
        "x-metier-score": "0.91",
        "x-metier-threshold": "0.8",
        "x-metier-certificate": "pol",
        # What would have been a second header is none.
        "x-metier-specialist": "spec??x-evil: 1",
    }


def test_a_kept_answer_as_a_stream(gateway: Any) -> None:
    gateway.router.decision = KEPT
    answer = post(gateway, stream=True)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    found = events(answer)
    assert {event["object"] for event in found} == {"chat.completion.chunk"}
    assert len({event["id"] for event in found}) == 1
    deltas = [event["choices"][0]["delta"] for event in found]
    assert deltas == [{"role": "assistant", "content": ""}, {"content": "track_order"}, {}]
    assert [event["choices"][0]["finish_reason"] for event in found] == [None, None, "stop"]
    assert all("usage" not in event for event in found)
    assert gateway.book.wait()[0].ttft_s is not None


def test_a_stream_with_usage_has_it_in_an_event_of_its_own(gateway: Any) -> None:
    gateway.router.decision = KEPT
    found = events(post(gateway, stream=True, stream_options={"include_usage": True}))
    assert [event["usage"] for event in found[:-1]] == [None, None, None]
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["total_tokens"] == 7


def test_a_kept_tool_call(gateway: Any) -> None:
    gateway.router.decision = TOOL
    plain = post(gateway).json()["choices"][0]
    call = plain["message"]["tool_calls"][0]
    assert plain["message"]["content"] is None
    assert plain["finish_reason"] == "tool_calls"
    assert call["function"] == {"name": "classify", "arguments": '{"label":"track_order"}'}
    assert call["id"].startswith("call_")
    streamed = events(post(gateway, stream=True))
    assert streamed[1]["choices"][0]["delta"]["tool_calls"][0]["index"] == 0
    assert streamed[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert json.loads(gateway.book.wait()[0].response) == {"name": "classify", "arguments": {"label": "track_order"}}


def test_the_estimate_learns_how_many_characters_a_token_has(gateway: Any) -> None:
    for _ in range(100):
        post(gateway, x_fake={"input_tokens": 9, "output_tokens": 9})
    gateway.router.decision = KEPT
    usage = post(gateway).json()["usage"]
    # 18 characters were 9 tokens, both ways: 2 a token, not 4. A hundred calls leave little of the rule of thumb.
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (8, 5)


def test_an_audit_asks_the_frontier_for_the_same_without_a_stream(gateway: Any) -> None:
    gateway.router.decision = AUDITED
    answer = post(gateway, stream=True, stream_options={"include_usage": True}, x_other=[1.5])
    assert answer.headers["x-metier-route"] == "kept"
    (audit,) = gateway.book.wait_for_audits()
    (record,) = gateway.book.records
    assert orjson.loads(gateway.upstream.calls[0].body) == {**ASKED, "stream": False, "x_other": [1.5]}
    assert (audit.reference, audit.is_wrong, audit.error) == ("where is my parcel", True, None)
    assert (audit.trace_id, audit.time, audit.decision) == (record.trace_id, record.time, AUDITED)
    # The call stays what it was; what the audit cost is booked when it is known.
    assert (record.response, record.upstream, record.cost_usd) == ("track_order", None, 0.0)
    assert record.response_id == f"chatcmpl-{record.trace_id[4:]}"
    assert audit.cost_usd == pytest.approx(4e-6 * 1 + 4e-6 * 2)
    assert gateway.door.charged == [(record.caller, audit.cost_usd)]
    assert gateway.tally.audited_with == [audit]


def test_an_audit_of_a_plain_call_sends_the_very_bytes(gateway: Any) -> None:
    gateway.router.decision = replace(AUDITED, label="where is my parcel")
    body = b'{"model":"m", "messages":[{"role":"user","content":"where is my parcel"}]}'
    httpx.post(gateway.url + "/chat/completions", content=body, timeout=20)
    assert gateway.book.wait_for_audits()[0].is_wrong is False
    assert gateway.upstream.calls[0].body == body


def test_an_audit_that_fails_leaves_the_answer_unjudged(gateway: Any) -> None:
    gateway.router.decision = AUDITED
    assert post(gateway, x_fake={"fault": "error"}).status_code == 200
    (audit,) = gateway.book.wait_for_audits()
    assert (audit.reference, audit.is_wrong, audit.cost_usd) == (None, None, None)
    assert audit.error is not None
    assert (gateway.book.records[0].status, gateway.book.records[0].error) == (200, None)


def test_the_client_does_not_wait_for_the_audit(gateway: Any) -> None:
    gateway.router.decision = AUDITED
    answer = post(gateway, x_fake={"latency_s": 1.0})
    assert answer.status_code == 200
    # The call is on record before the audit is over: whatever becomes of the process then, it is not lost.
    assert gateway.book.wait()[0].latency_s < 1.0
    assert gateway.book.audits == []
    assert gateway.book.wait_for_audits()[0].is_wrong is True
    assert gateway.book.audits[0].latency_s > 0.9


def test_too_many_audits_at_once_are_skipped_and_counted(start: Callable[..., Any]) -> None:
    with start(background=(1, 0)) as gateway:
        gateway.router.decision = AUDITED
        post(gateway, x_fake={"latency_s": 0.5})
        post(gateway)
        assert gateway.background.skipped == 1
        first, second = gateway.book.wait_for_audits(2)
        assert (first.error, first.is_wrong, first.latency_s) == ("audit_skipped", None, None)
        assert second.is_wrong is True
        assert len(gateway.book.records) == 2


def test_in_shadow_mode_the_frontier_answers_and_the_specialist_is_heard(gateway: Any) -> None:
    gateway.router.decision = SHADOW
    answer = post(gateway)
    record = gateway.book.wait()[0]
    assert answer.json()["choices"][0]["message"]["content"] == "where is my parcel"
    assert answer.headers["x-metier-route"] == "shadow"
    assert answer.headers["x-metier-task"] == "intents"
    assert (record.decision.label, record.decision.score) == ("unseen", 0.5)
    assert record.is_wrong is True
    gateway.router.unseen = lambda decision: replace(decision, label="where is my parcel")
    post(gateway)
    assert gateway.book.wait(2)[1].is_wrong is False
    # An answer that did not come is no other answer.
    post(gateway, x_fake={"fault": "error"})
    assert gateway.book.wait(3)[2].is_wrong is None


def test_a_slow_specialist_does_not_delay_the_shadowed_call(gateway: Any) -> None:
    gateway.router.decision = SHADOW
    may_answer = threading.Event()

    def unseen(decision: Decision) -> Decision:
        assert may_answer.wait(20)
        return replace(decision, label="late")

    gateway.router.unseen = unseen
    assert post(gateway).status_code == 200
    assert gateway.book.records == []
    may_answer.set()
    assert gateway.book.wait()[0].decision.label == "late"


def test_a_slow_decision_is_made_beside_the_event_loop(gateway: Any) -> None:
    gateway.router.slow = True
    threads = []

    def decide(request: Any) -> Decision:
        threads.append(threading.current_thread().name)
        return KEPT

    gateway.router.decision = decide
    assert post(gateway).headers["x-metier-route"] == "kept"
    assert threads[0] != "gateway"
    assert gateway.book.wait()[0].decide_s > 0


def test_an_escalated_call_says_why(gateway: Any) -> None:
    gateway.router.decision = Decision(
        Route.ESCALATED, Reason.LOW_SCORE, "intents", Mode.ROUTE, score=0.3, threshold=0.8
    )
    headers = post(gateway).headers
    assert (headers["x-metier-route"], headers["x-metier-reason"]) == ("escalated", "low_score")
    assert headers["x-metier-score"] == "0.3"


def test_audits_under_way_are_finished_when_the_gateway_stops(start: Callable[..., Any]) -> None:
    with start() as gateway:
        gateway.router.decision = AUDITED
        post(gateway, x_fake={"latency_s": 0.5})
        until = time.monotonic() + 20
        while not gateway.upstream.calls:
            assert time.monotonic() < until
            time.sleep(0.005)
    assert gateway.book.audits[0].is_wrong is True


def test_the_callers_word_for_its_task_goes_to_the_router_alone(gateway: Any) -> None:
    post(gateway)
    httpx.post(gateway.url + "/chat/completions", json=ASKED, headers={"X-Metier-Task": "intents"}, timeout=20)
    assert gateway.router.hints == [None, "intents"]
    assert b"x-metier-task" not in {name.lower() for name, _ in gateway.upstream.calls[1].headers}
