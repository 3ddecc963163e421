"""From a call's record to its trace."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from metier.artefacts.traffic import Trace
from metier.gateway.calls import AuditOutcome, Caller, CallRecord, Decision, Reason, Route, Written
from metier.gateway.recording.lines import AuditLine, CallLine, JudgementLine, decode, encode
from metier.gateway.recording.traces import LineMaker, asked, group
from metier.store.audits import AuditRow
from metier.store.references import Reference

MakeCall = Callable[..., CallRecord]


def line_of(record: CallRecord) -> CallLine:
    found = decode(encode(LineMaker(lambda text: text.replace("hunter2", "[REDACTED]")).line(record)))
    assert isinstance(found, CallLine)
    return found


def audit_line_of(outcome: AuditOutcome) -> AuditLine:
    found = decode(encode(LineMaker(lambda text: text.replace("hunter2", "[REDACTED]")).audit_line(outcome)))
    assert isinstance(found, AuditLine)
    return found


def trace_of(record: CallRecord) -> Trace:
    found = line_of(record).trace
    assert found is not None
    return found


def test_an_escalated_call_is_the_teachers_answer_with_the_evidence(call: MakeCall) -> None:
    trace = trace_of(call(7, ttft_s=0.2, is_stream=True))
    assert json.loads(trace.messages)[1] == {"role": "user", "content": "how do I pay bill 7?"}
    assert (trace.id, trace.response_id, trace.response) == (f"mtr-{7:032x}", "chatcmpl-7", "pay_bill")
    assert (trace.model, trace.provenance, trace.task, trace.route) == ("gpt-4.1", "teacher", "intents", "escalated")
    assert (trace.input_tokens, trace.output_tokens, trace.cost_usd) == (30, 2, 0.001)
    assert (trace.latency_s, trace.ttft_s, trace.time) == (0.5, 0.2, 1_750_000_007.0)
    assert trace.parameters == '{"temperature":0}'
    assert json.loads(trace.evidence or "") == {
        "endpoint": "/v1/chat/completions",
        "status": 200,
        "is_stream": True,
        "finish_reason": "stop",
        "upstream": "openai",
        "attempts": 1,
        "key": "key-1",
        "mode": "route",
        "reason": "low_score",
        "label": "pay_bill",
        "score": 0.41,
        "threshold": 0.8,
        "ood_score": 0.2,
        "ood_threshold": 0.9,
        "policy": "policy-1",
        "specialist": "specialist-1",
    }


def test_a_kept_and_audited_call_is_the_specialists_answer_with_a_reference(call: MakeCall) -> None:
    decision = Decision(
        Route.KEPT,
        task="intents",
        policy_id="p",
        label="pay_bill",
        written=Written("pay_bill"),
        is_audited=True,
        allowed=0.06,
    )
    made = call(1, decision=decision, saved_usd=0.002, cost_usd=0.0)
    line = line_of(made)
    assert line.trace is not None
    assert (line.trace.provenance, line.trace.model, line.trace.reference) == ("specialist", "support", None)
    assert json.loads(line.trace.evidence or "")["is_audited"] is True
    assert line.spend == ("key-1", "2025-06", 0.0)
    outcome = AuditOutcome(
        made.trace_id, made.time, made.caller, decision, reference="the hunter2", is_wrong=True, cost_usd=0.003
    )
    audit = audit_line_of(outcome)
    assert audit.reference == Reference(made.trace_id, "the [REDACTED]", True, 0.003)
    assert audit.audit == AuditRow("p", "intents", f"mtr-{1:032x}", 1_750_000_001.0, True, 0.06)
    assert audit.spend == ("key-1", "2025-06", 0.003)
    unanswered = audit_line_of(replace(outcome, reference=None, is_wrong=None, error="upstream_timeout"))
    assert (unanswered.audit, unanswered.reference.is_wrong) == (None, None)


def test_what_a_specialist_said_unseen_is_compared_in_the_evidence(call: MakeCall) -> None:
    decision = Decision(Route.SHADOW, Reason.SHADOW, task="intents", label="transfer")
    evidence = json.loads(trace_of(call(1, decision=decision, is_wrong=True)).evidence or "")
    assert (evidence["label"], evidence["reason"], evidence["is_wrong"]) == ("transfer", "shadow_mode", True)


def test_a_call_that_broke_off_keeps_its_text_as_evidence_and_has_no_answer(call: MakeCall) -> None:
    for changes in {"is_cancelled": True}, {"error": "upstream_died"}:
        trace = trace_of(call(1, response="pay_", **changes))
        assert trace.response is None
        assert json.loads(trace.evidence or "")["partial"] == "pay_"


def test_secrets_are_taken_out_of_every_text(call: MakeCall) -> None:
    made = call(1, response="hunter2", model="hunter2", upstream_model=None)
    made.request["messages"][1]["content"] = "my password is hunter2"
    made.request["tools"] = [{"type": "function", "function": {"name": "f", "description": "hunter2"}}]
    made.decision = replace(made.decision or Decision(Route.PASSED), label="hunter2")
    broken = replace(made, is_cancelled=True)
    maker = LineMaker(lambda text: text.replace("hunter2", "[REDACTED]"))
    for record in made, broken, made:
        assert b"hunter2" not in encode(maker.line(record))


def test_nul_characters_are_replaced(call: MakeCall) -> None:
    made = call(1, response="a\x00b", upstream_model="m\x00", response_id="r\x00")
    made.request["messages"][1]["content"] = "x\x00y and \\u0000 written out"
    trace = trace_of(made)
    assert (trace.response, trace.model, trace.response_id) == ("a\ufffdb", "m\ufffd", "r\ufffd")
    assert json.loads(trace.messages)[1]["content"] == "x\ufffdy and \\u0000 written out"


def test_an_embeddings_call_is_paid_and_counted_but_no_trace(call: MakeCall) -> None:
    line = line_of(call(1, endpoint="/v1/embeddings", request={"model": "e", "input": "text"}))
    assert (line.trace, line.skipped) == (None, "embeddings call")
    assert line.spend == ("key-1", "2025-06", 0.001)


@pytest.mark.parametrize("messages", [None, [], "", 3, [7]])
def test_a_request_without_messages_is_no_trace(call: MakeCall, messages: object) -> None:
    line = line_of(call(1, request={"messages": messages}))
    assert line.trace is None
    assert line.skipped


def test_without_a_key_nothing_is_booked(call: MakeCall) -> None:
    assert line_of(call(1, caller=Caller())).spend is None


def test_a_call_without_decision_was_passed_on(call: MakeCall) -> None:
    trace = trace_of(call(1, decision=None))
    assert (trace.route, trace.task) == ("passed", None)
    assert trace_of(call(1, decision=Decision(Route.PASSED, Reason.NOT_RECOGNISED))).route == "passed"


def test_the_responses_api_gives_chat_messages(call: MakeCall) -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "name": "look", "arguments": '{"city":"Porto"}', "call_id": "c"},
        {"type": "function_call_output", "call_id": "c", "output": "rain"},
    ]
    made = call(1, endpoint="/v1/responses", request={"model": "m", "instructions": "Be brief.", "input": items})
    assert json.loads(trace_of(made).messages) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "look", "arguments": {"city": "Porto"}}]},
        {"role": "tool", "content": "rain"},
    ]
    assert asked({"input": "hi", "instructions": "x"}) == [
        {"role": "system", "content": "x"},
        {"role": "user", "content": "hi"},
    ]


def test_calls_of_one_user_are_one_group_whose_name_is_not_theirs() -> None:
    one, other = group({"user": "ana@example.org"}), group({"safety_identifier": "rui"})
    assert one == group({"user": "ana@example.org"})
    assert one != other
    assert "ana" not in (one or "")
    assert group({}) is None
    assert group({"user": 3}) is None


def test_judgements_come_back_as_written() -> None:
    line = JudgementLine("mtr-1", "wrong", "transfer")
    assert decode(encode(line)) == line
    with pytest.raises(ValueError, match="Invalid enum"):
        decode(b'{"kind":"judgement","trace_id":"x","feedback":"perhaps"}\n')
