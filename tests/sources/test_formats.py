"""Each kind of file, in the shapes that its tools write."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from metier.artefacts.traffic import Trace
from metier.sources.decoding import outcomes
from metier.sources.outcomes import Flawed, Outcome, Rejected, Skipped
from metier.sources.registry import SOURCES
from metier.sources.traces import Context

MESSAGES = [{"role": "system", "content": "Label it."}, {"role": "user", "content": "Where is my order?"}]
USAGE = {"prompt_tokens": 30, "completion_tokens": 2, "total_tokens": 32}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_750_000_000,
    "model": "gpt-4o-2024-11-20",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "delivery"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
START = datetime(2025, 6, 15, 15, 6, 40, tzinfo=UTC).timestamp()


def read(format: str, record: object, **context: Any) -> list[Outcome]:
    return list(
        outcomes(SOURCES[format], json.dumps(record).encode(), Context(**{"line": 1, "dataset": None, **context}))
    )


def one(format: str, record: object, **context: Any) -> Trace:
    (found,) = read(format, record, **context)
    assert isinstance(found, Trace), found
    return found


def refused(format: str, record: object) -> Rejected:
    (found,) = read(format, record)
    assert isinstance(found, Rejected), found
    return found


def said(trace: Trace) -> list[dict[str, Any]]:
    return list(json.loads(trace.messages))


# openai-log


def test_openai_log_nested() -> None:
    trace = one(
        "openai-log",
        {
            "id": "call-1",
            "request": {"model": "gpt-4o", "messages": MESSAGES, "temperature": 0, "max_tokens": 8, "stream": False},
            "response": COMPLETION,
            "latency_ms": 420,
            "cost": "0.0012",
            "metadata": {"customer": "acme"},
            "feedback": {"rating": "up"},
        },
    )
    assert trace == Trace(
        id="call-1",
        messages=json.dumps(MESSAGES, separators=(",", ":")),
        parameters='{"max_tokens":8,"temperature":0}',
        response="delivery",
        model="gpt-4o-2024-11-20",
        time=1_750_000_000.0,
        input_tokens=30,
        output_tokens=2,
        latency_s=0.42,
        cost_usd=0.0012,
        feedback="correct",
        group="acme",
    )


@pytest.mark.parametrize(
    "record",
    [
        {"messages": MESSAGES, "response": "delivery", "model": "gpt-4o"},
        {"messages": MESSAGES, "response": COMPLETION},
        {"messages": MESSAGES, **COMPLETION},
        {
            "custom_id": "7",
            "body": {"messages": MESSAGES},
            "response": {"status_code": 200, "body": COMPLETION},
            "error": None,
        },
        {"request": {"body": {"messages": MESSAGES}}, "response": {"body": COMPLETION}},
        {"request": {"input": MESSAGES}, "response": {"output_text": "delivery"}},
        {
            "request": {"instructions": "Label it.", "input": "Where is my order?"},
            "response": {
                "output": [
                    {"type": "reasoning", "summary": []},
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "delivery"}]},
                ]
            },
        },
        {
            "request": {"system": "Label it.", "messages": MESSAGES[1:]},
            "response": {"role": "assistant", "content": [{"type": "text", "text": "delivery"}]},
        },
    ],
)
def test_openai_log_in_its_many_shapes(record: dict[str, Any]) -> None:
    assert SOURCES["openai-log"].recognises(record)
    trace = one("openai-log", record)
    assert said(trace) == MESSAGES
    assert trace.response == "delivery"


def test_openai_log_keeps_tool_calls_as_the_answer_where_there_is_no_text() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "route", "arguments": '{"queue": "delivery"}'}}
    response = {"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": [call]}}]}
    trace = one("openai-log", {"request": {"messages": MESSAGES}, "response": response})
    assert trace.response == '{"name":"route","arguments":{"queue":"delivery"}}'
    earlier = [
        *MESSAGES,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
    ]
    trace = one("openai-log", {"request": {"messages": earlier}, "response": COMPLETION})
    assert said(trace)[2] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"name": "route", "arguments": {"queue": "delivery"}}],
    }


def test_openai_log_replaces_images_by_a_marker_that_tells_them_apart() -> None:
    def asked(url: str) -> str:
        parts = [{"type": "text", "text": "Read it."}, {"type": "image_url", "image_url": {"url": url}}]
        record = {"request": {"messages": [{"role": "user", "content": parts}]}, "response": COMPLETION}
        return str(said(one("openai-log", record))[0]["content"])

    first, second = asked("data:image/png;base64,AAAA"), asked("data:image/png;base64,BBBB")
    assert first.startswith("Read it.\n[image sha256:")
    assert first != second
    assert first == asked("data:image/png;base64,AAAA")
    assert "base64" not in first


def test_openai_log_times_and_latency_from_start_and_end() -> None:
    record = {
        "messages": MESSAGES,
        "response": "x",
        "startTime": "2025-06-15T15:06:40Z",
        "endTime": "2025-06-15T15:06:42.5Z",
    }
    trace = one("openai-log", record)
    assert (trace.time, trace.latency_s) == (START, 2.5)


def test_openai_log_failed_calls_and_half_calls_are_refused_with_the_reason() -> None:
    failed = {"custom_id": "7", "response": {"status_code": 429, "body": {"error": {}}}}
    assert refused("openai-log", failed).reason == "the call failed"
    assert refused("openai-log", {"request": {"messages": MESSAGES}, "error": "timeout"}).reason == "the call failed"
    assert refused("openai-log", {"request": {"messages": MESSAGES}}).reason == "no answer"
    assert refused("openai-log", {"response": COMPLETION}).reason == "no messages"
    batch = {"custom_id": "7", "response": {"status_code": 200, "body": COMPLETION}}
    assert refused("openai-log", batch).reason == "batch output without its request"
    assert refused("openai-log", [1]).reason == "not an object"


def test_openai_log_without_id_is_told_apart_by_content_and_time_or_place() -> None:
    call = {"messages": MESSAGES, "response": "x"}
    timed = {**call, "time": START}
    assert one("openai-log", timed, line=1).id == one("openai-log", timed, line=9).id
    assert one("openai-log", timed).id != one("openai-log", {**timed, "response": "y"}).id
    assert one("openai-log", call, line=1).id != one("openai-log", call, line=2).id


# openai-chat


def test_openai_chat() -> None:
    record = {"messages": [*MESSAGES, {"role": "assistant", "content": "delivery"}], "split": "train"}
    assert SOURCES["openai-chat"].recognises(record)
    trace = one("openai-chat", record, dataset="tickets")
    assert said(trace) == MESSAGES
    assert (trace.response, trace.provenance, trace.dataset, trace.split) == ("delivery", "human", "tickets", "train")


def test_openai_chat_reads_sharegpt_and_its_roles() -> None:
    turns = [{"from": "human", "value": "Where is my order?"}, {"from": "gpt", "value": "delivery"}]
    trace = one("openai-chat", {"conversations": turns})
    assert said(trace) == MESSAGES[1:]
    assert trace.response == "delivery"


def test_openai_chat_without_answer_or_question_is_refused() -> None:
    assert refused("openai-chat", {"messages": MESSAGES}).reason == "no answer"
    assert refused("openai-chat", {"messages": [{"role": "assistant", "content": "x"}]}).reason == "no messages"
    assert refused("openai-chat", {"messages": []}).reason == "no messages"


# records


@pytest.mark.parametrize(
    "record",
    [
        {"input": "Where is my order?", "output": "delivery"},
        {"text": "Where is my order?", "label": "delivery"},
        {"Utterance": "Where is my order?", " Intent ": "delivery"},
        {"text": "Where is my order?", "category": "delivery"},
        ["Where is my order?", "delivery"],
    ],
)
def test_records_under_common_column_names(record: object) -> None:
    assert SOURCES["records"].recognises(record)
    trace = one("records", record, dataset="train")
    assert said(trace) == MESSAGES[1:]
    assert (trace.response, trace.provenance, trace.dataset) == ("delivery", "human", "train")


def test_records_with_all_their_columns() -> None:
    record = {
        "id": 7,
        "input": "x",
        "output": "a",
        "group": 12,
        "time": "2025-06-15",
        "split": "test",
        "provenance": "teacher",
    }
    trace = one("records", record, dataset="train")
    midnight = datetime(2025, 6, 15, tzinfo=UTC).timestamp()
    assert (trace.id, trace.group, trace.time, trace.split, trace.provenance) == (
        "train:7",
        "12",
        midnight,
        "test",
        "teacher",
    )
    assert one("records", record, dataset="other").id != trace.id


def test_records_from_chosen_columns_and_with_labels_that_are_no_text() -> None:
    record = {"text": "ignored", "dialogue": "x", "label": "ignored", "section": {"b": 1, "a": 2}}
    trace = one("records", record, input_column="Dialogue", output_column="section")
    assert (said(trace)[0]["content"], trace.response) == ("x", '{"a":2,"b":1}')
    assert one("records", {"text": "x", "label": 3}).response == "3"
    assert one("records", {"text": "x", "label": False}).response == "false"


def test_records_of_a_document_take_the_split_from_the_list() -> None:
    assert one("records", ["x", "a"], key="oos_test").split == "oos_test"


def test_records_without_input_or_output_are_refused() -> None:
    assert refused("records", {"text": " ", "label": "a"}).reason == "no input"
    assert refused("records", {"text": "x", "label": ""}).reason == "no output"
    assert refused("records", {"text": "x", "label": None}).reason == "no output"


# langfuse

OBSERVATION = {
    "id": "obs-1",
    "traceId": "trace-1",
    "type": "GENERATION",
    "startTime": "2025-06-15T15:06:40.000Z",
    "endTime": "2025-06-15T15:06:41.250Z",
    "model": "gpt-4o",
    "modelParameters": {"temperature": 0},
    "input": MESSAGES,
    "output": {"role": "assistant", "content": "delivery"},
    "usageDetails": {"input": 30, "output": 2, "total": 32},
    "costDetails": {"total": 0.0012},
    "userId": "acme",
}
BLOB = {
    "id": "obs-1",
    "trace_id": "trace-1",
    "type": "GENERATION",
    "start_time": "2025-06-15 15:06:40.000000",
    "end_time": "2025-06-15 15:06:41.250000",
    "provided_model_name": "gpt-4o",
    "model_parameters": '{"temperature":0}',
    "input": json.dumps({"messages": MESSAGES}),
    "output": '{"role":"assistant","content":"delivery"}',
    "usage_details": '{"input":"30","output":"2"}',
    "total_cost": "0.0012",
    "user_id": "acme",
}


@pytest.mark.parametrize("record", [OBSERVATION, BLOB])
def test_langfuse_observation_in_both_spellings(record: dict[str, Any]) -> None:
    assert SOURCES["langfuse"].recognises(record)
    trace = one("langfuse", record)
    assert said(trace) == MESSAGES
    assert trace == Trace(
        id="obs-1",
        messages=trace.messages,
        parameters='{"temperature":0}',
        response="delivery",
        model="gpt-4o",
        time=START,
        input_tokens=30,
        output_tokens=2,
        latency_s=1.25,
        cost_usd=0.0012,
        group="acme",
    )


def test_langfuse_trace_with_its_observations_and_scores() -> None:
    span = {**OBSERVATION, "id": "obs-2", "type": "SPAN"}
    observation = {name: value for name, value in OBSERVATION.items() if name != "userId"}
    scores = [{"name": "user-feedback", "value": 0, "source": "ANNOTATION"}]
    record = {"id": "trace-1", "sessionId": "s1", "observations": [observation, span, "obs-3"], "scores": scores}
    found = read("langfuse", {**record, "input": None, "output": None})
    assert isinstance(found[0], Trace)
    assert (found[0].group, found[0].feedback) == ("s1", "wrong")
    assert [type(item) for item in found[1:]] == [Skipped, Skipped]


def test_langfuse_rows_that_are_no_calls_are_skipped_and_failed_ones_refused() -> None:
    assert isinstance(read("langfuse", {**OBSERVATION, "type": "TOOL"})[0], Skipped)
    failed = {**OBSERVATION, "output": None, "level": "ERROR", "statusMessage": "rate limit"}
    assert refused("langfuse", failed) == Rejected("the call failed", "rate limit")
    assert refused("langfuse", {**OBSERVATION, "input": None}).reason == "no messages"


# otel


def otlp(attributes: dict[str, Any], events: list[dict[str, Any]] | None = None, **span: Any) -> dict[str, Any]:
    made = {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "name": "chat gpt-4o",
        "startTimeUnixNano": "1750000000000000000",
        "endTimeUnixNano": "1750000001250000000",
        "attributes": [{"key": name, "value": any_value(value)} for name, value in attributes.items()],
        "events": events or [],
        **span,
    }
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [made]}]}]}


def any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(item) for item in value]}}
    return {"kvlistValue": {"values": [{"key": name, "value": any_value(item)} for name, item in value.items()]}}


def event(name: str, attributes: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "attributes": [{"key": key, "value": any_value(value)} for key, value in attributes.items()]}


BASE = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-11-20",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.usage.input_tokens": 30,
    "gen_ai.usage.output_tokens": 2,
    "gen_ai.conversation.id": "acme",
}
INPUT = [{"role": "user", "parts": [{"type": "text", "content": "Where is my order?"}]}]
OUTPUT = [{"role": "assistant", "parts": [{"type": "text", "content": "delivery"}], "finish_reason": "stop"}]
INSTRUCTIONS = [{"type": "text", "content": "Label it."}]
NEWEST = {
    "gen_ai.system_instructions": json.dumps(INSTRUCTIONS),
    "gen_ai.input.messages": json.dumps(INPUT),
    "gen_ai.output.messages": json.dumps(OUTPUT),
}
STRUCTURED = {
    "gen_ai.system_instructions": INSTRUCTIONS,
    "gen_ai.input.messages": INPUT,
    "gen_ai.output.messages": OUTPUT,
}
NUMBERED = {
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "Label it.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": "Where is my order?",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "delivery",
}
OPENINFERENCE = {
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Label it.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.content": "Where is my order?",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "delivery",
}
MESSAGE_EVENTS = [
    event("gen_ai.system.message", {"content": "Label it."}),
    event("gen_ai.user.message", {"content": "Where is my order?"}),
    event("gen_ai.choice", {"index": 0, "message": {"role": "assistant", "content": "delivery"}}),
]
CONTENT_EVENTS = [
    event("gen_ai.content.prompt", {"gen_ai.prompt": json.dumps(MESSAGES)}),
    event(
        "gen_ai.content.completion", {"gen_ai.completion": json.dumps([{"role": "assistant", "content": "delivery"}])}
    ),
]
DETAILS_EVENT = [event("gen_ai.client.inference.operation.details", STRUCTURED)]


@pytest.mark.parametrize(
    "record",
    [
        otlp({**BASE, **NEWEST}),
        otlp({**BASE, **STRUCTURED}),
        otlp(BASE, DETAILS_EVENT),
        otlp(BASE, MESSAGE_EVENTS),
        otlp(BASE, CONTENT_EVENTS),
        otlp({**BASE, **NUMBERED}),
        otlp({**BASE, **OPENINFERENCE}),
    ],
    ids=["newest", "structured", "details", "message-events", "content-events", "numbered", "openinference"],
)
def test_otel_in_every_age_of_the_conventions(record: dict[str, Any]) -> None:
    assert SOURCES["otel"].recognises(record)
    trace = one("otel", record)
    assert said(trace) == MESSAGES
    assert trace == Trace(
        id="5b8efff798038103d269b633813fc60c:eee19b7ec3c1b174",
        messages=trace.messages,
        parameters='{"temperature":0.5}',
        response="delivery",
        model="gpt-4o-2024-11-20",
        time=START,
        input_tokens=30,
        output_tokens=2,
        latency_s=1.25,
        group="acme",
    )


def test_otel_flat_span_as_the_python_exporter_writes_it() -> None:
    record = {
        "name": "chat gpt-4o",
        "context": {"trace_id": "0x1", "span_id": "0x2"},
        "start_time": "2025-06-15T15:06:40.000000Z",
        "end_time": "2025-06-15T15:06:41.250000Z",
        "attributes": {**BASE, **NEWEST},
    }
    assert SOURCES["otel"].recognises(record)
    trace = one("otel", record)
    assert (trace.id, trace.time, trace.latency_s, trace.response) == ("0x1:0x2", START, 1.25, "delivery")


def test_otel_tool_calls_are_the_answer() -> None:
    parts = [{"type": "tool_call", "id": "1", "name": "route", "arguments": {"queue": "delivery"}}]
    output = json.dumps([{"role": "assistant", "parts": parts, "finish_reason": "tool_call"}])
    trace = one("otel", otlp({**BASE, **NEWEST, "gen_ai.output.messages": output}))
    assert trace.response == '{"name":"route","arguments":{"queue":"delivery"}}'


def test_otel_other_spans_are_skipped_and_spans_without_text_refused() -> None:
    assert isinstance(read("otel", otlp({"http.method": "GET"}))[0], Skipped)
    assert isinstance(read("otel", otlp({**BASE, "gen_ai.operation.name": "embeddings"}))[0], Skipped)
    found = refused("otel", otlp(BASE))
    assert found.reason == "no messages"
    assert "capture" in found.detail
    failed = otlp({**BASE, **NEWEST, "gen_ai.output.messages": "[]"}, status={"code": 2})
    assert refused("otel", failed).reason == "the call failed"


# values


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1_750_000_000, START),
        (1_750_000_000.0, START),
        ("1750000000", START),
        (1_750_000_000_000, START),
        (1_750_000_000_000_000, START),
        (1_750_000_000_000_000_000, START),
        ("2025-06-15T15:06:40Z", START),
        ("2025-06-15 15:06:40", START),
        ("2025-06-15T17:06:40+02:00", START),
    ],
)
def test_times_in_every_unit(value: object, seconds: float) -> None:
    assert one("records", {"text": "x", "label": "a", "time": value}).time == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["soon", -5, float("nan"), float("inf"), True, [1], "0001-01-01", 10**30, 10**400])
def test_times_that_are_none_leave_the_call_and_a_warning(value: object) -> None:
    (found,) = read("records", {"text": "x", "label": "a", "time": value})
    assert isinstance(found, Flawed)
    assert found.trace.time is None
    assert "time" in found.warnings[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, "free", [1], {"usd": 1}, True, "1_0", 10**400])
def test_costs_that_are_none_leave_the_call_and_a_warning(value: object) -> None:
    (found,) = read("openai-log", {"messages": MESSAGES, "response": "x", "cost": value})
    assert isinstance(found, Flawed)
    assert found.trace.cost_usd is None
    assert found.warnings == ("cost_usd is not a number ≥ 0",)


@pytest.mark.parametrize("value", [0.25, "0.25", "$0.25", " 0.25 "])
def test_costs_as_numbers_and_texts(value: object) -> None:
    assert one("openai-log", {"messages": MESSAGES, "response": "x", "cost": value}).cost_usd == 0.25


@pytest.mark.parametrize("value", [-1, 1.5, "many", 10**18, [3]])
def test_token_counts_that_are_none(value: object) -> None:
    (found,) = read("openai-log", {"messages": MESSAGES, "response": "x", "usage": {"prompt_tokens": value}})
    assert isinstance(found, Flawed)
    assert found.trace.input_tokens is None


@pytest.mark.parametrize(
    ("value", "judged"),
    [
        ("thumbs_up", "correct"),
        (1, "correct"),
        (True, "correct"),
        ("Wrong", "wrong"),
        (0, "wrong"),
        (-1, "wrong"),
        ("👎", "wrong"),
    ],
)
def test_feedback_words(value: object, judged: str) -> None:
    assert one("openai-log", {"messages": MESSAGES, "response": "x", "rating": value}).feedback == judged


def test_feedback_that_is_no_verdict_is_a_warning_and_a_correction_is_kept() -> None:
    (found,) = read("openai-log", {"messages": MESSAGES, "response": "x", "rating": 4, "correction": "billing"})
    assert isinstance(found, Flawed)
    assert (found.trace.feedback, found.trace.correction) == (None, "billing")
