"""`openai-log`: one call a line, request and response side by side.

Read are {"request": {...}, "response": {...}}, the same flattened into one object, the Batch API's lines once merged
({"custom_id", "body" | "request", "response": {"status_code", "body"}}), stored completions, logs of LiteLLM's proxy, and
both forms of OpenAI's API (chat completions, responses). Beside them are read: id, time, latency, cost, tokens, user or
customer, feedback.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from metier.artefacts.traffic import Trace
from metier.sources.messages import answer_text, normal_messages, parameters
from metier.sources.outcomes import Flawed, Outcome, Rejected
from metier.sources.traces import Context, content_id
from metier.sources.values import (
    Names,
    Warnings,
    any_of,
    elapsed_s,
    feedback,
    first,
    mapping,
    number,
    text,
    time_s,
    tokens,
)

_GROUPS = Names(
    "group",
    "customer",
    "customer_id",
    "conversation_id",
    "session_id",
    "thread_id",
    "tenant",
    "user",
    "user_id",
    "end_user",
    "safety_identifier",
)
_TIMES = Names("time", "timestamp", "created_at", "start_time", "startTime", "created", "ts", "date")
_COSTS = Names("cost_usd", "cost", "total_cost", "response_cost", "totalCost", "total_cost_usd")
_ENDS = Names("end_time", "endTime", "completed_at")
_RATINGS = Names("feedback", "rating", "thumbs", "score")
_CORRECTIONS = Names("correction", "corrected", "correct_answer", "expected", "ideal")
_INPUT_TOKENS = Names("prompt_tokens", "input_tokens")
_OUTPUT_TOKENS = Names("completion_tokens", "output_tokens")
_SECONDS = Names("latency_s", "latency", "duration_s", "duration", "response_time", "elapsed_s")
_MILLISECONDS = Names("latency_ms", "duration_ms", "response_time_ms", "elapsed_ms", "response_ms")
_ANSWERS = ("response", "completion", "output", "answer")
_FAILURE_STATUS = 400


def recognises(record: object) -> bool:
    """Whether a record looks like a logged call."""
    if not isinstance(record, dict):
        return False
    if isinstance(record.get("request"), dict) or "custom_id" in record or isinstance(record.get("choices"), list):
        return True
    asked = isinstance(record.get("messages"), list)
    if isinstance(record.get("response"), dict):
        return True
    return asked and any(name in record for name in (*_ANSWERS, "usage", "response_cost"))


def parse(record: object, context: Context) -> Iterable[Outcome]:
    """One logged call."""
    if not isinstance(record, dict):
        return (Rejected("not an object", f"expected a JSON object, received {type(record).__name__}"),)
    return (_call(record, context),)


def _call(record: Mapping[str, Any], context: Context) -> Outcome:
    request = _request(record)
    answered, failure = _response(record)
    if failure is not None:
        return failure
    response = mapping(answered)
    messages = normal_messages(_asked(request, record))
    if isinstance(messages, Rejected):
        return _no_messages(record, messages)
    answer = _answer(answered)
    if answer is None:
        return Rejected("no answer", f"the call holds no text and no tool call; keys: {', '.join(list(record)[:12])}")
    warnings: Warnings = []
    start = time_s(any_of(record, _TIMES) or first(response, "created", "created_at"), warnings)
    usage = mapping(response.get("usage") or record.get("usage"))
    model = text(response.get("model") or request.get("model") or record.get("model"))
    shaped = parameters(mapping(record.get("model_parameters")) or request)
    given = text(record.get("id") or response.get("id") or record.get("request_id"))
    split = text(record.get("split"))
    group = _group(record, request)
    # Without id and time only the place in the file tells two equal calls apart, and losing one would lose volume.
    place = None if start is not None else str(context.line)
    trace = Trace(
        given or content_id(messages, shaped, answer, model, split, start, group, text(record.get("custom_id")), place),
        messages,
        shaped,
        answer,
        model,
        start,
        tokens(_either(usage, record, _INPUT_TOKENS), "input_tokens", warnings),
        tokens(_either(usage, record, _OUTPUT_TOKENS), "output_tokens", warnings),
        _latency(record, start, warnings),
        number(_either(record, usage, _COSTS), "cost_usd", warnings),
        feedback(_either(record, mapping(record.get("metadata")), _RATINGS), warnings),
        text(_either(record, mapping(record.get("feedback")), _CORRECTIONS)),
        "teacher",
        group,
        split,
        context.dataset,
    )
    return Flawed(trace, tuple(warnings)) if warnings else trace


def _either(one: Mapping[str, Any], other: Mapping[str, Any], names: Names) -> Any:
    found = any_of(one, names)
    return any_of(other, names) if found is None else found


def _request(record: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in "request", "body":
        inner = record.get(name)
        if isinstance(inner, dict):
            return mapping(inner["body"]) if isinstance(inner.get("body"), dict) else inner
    return record


def _asked(request: Mapping[str, Any], record: Mapping[str, Any]) -> object:
    messages = first(request, "messages", "input", "prompt") or record.get("messages")
    instructions = first(request, "instructions", "system")
    if instructions is None or not messages:
        return messages
    rest = messages if isinstance(messages, list) else [{"role": "user", "content": messages}]
    return [{"role": "system", "content": instructions}, *rest]


def _response(record: Mapping[str, Any]) -> tuple[object, Rejected | None]:
    """What the model answered: the response object, or the text itself; and the failure where the call failed."""
    response = first(record, *_ANSWERS)
    status = mapping(response).get("status_code", record.get("status_code"))
    if type(status) is int and status >= _FAILURE_STATUS:
        return None, Rejected("the call failed", f"status {status}")
    error = record.get("error") or mapping(response).get("error")
    if error and not mapping(response).get("choices"):
        return None, Rejected("the call failed", str(error)[:200])
    if isinstance(response, dict) and isinstance(response.get("body"), dict):
        response = response["body"]
    if response is None or (isinstance(record.get("choices"), list) and not isinstance(response, dict)):
        response = record
    return response, None


def _answer(response: object) -> str | None:
    if isinstance(response, str):
        return response
    if isinstance(response, list):
        return _output_items(response)
    if not isinstance(response, dict):
        return None
    choices = response.get("choices")
    if isinstance(choices, list) and choices:
        choice = mapping(choices[0])
        return answer_text(first(choice, "message", "text", "delta"))
    output = response.get("output")
    if isinstance(output, list):
        return _output_items(output)
    if isinstance(output, str):
        return output or None
    if isinstance(response.get("output_text"), str):
        return str(response["output_text"])
    if "content" in response or "tool_calls" in response:
        return answer_text(response)
    return answer_text(response.get("message"))


def _output_items(items: list[Any]) -> str | None:
    """The answer in the output list of OpenAI's responses API (reasoning items are no part of it)."""
    kept = [item for item in items if isinstance(item, dict) and item.get("type") != "reasoning"]
    found = [answer for item in kept if (answer := answer_text(item if "content" in item else {"content": [item]}))]
    return "\n".join(found) if found else None


def _group(record: Mapping[str, Any], request: Mapping[str, Any]) -> str | None:
    for holder in record, mapping(record.get("metadata")), request, mapping(request.get("metadata")):
        found = text(any_of(holder, _GROUPS))
        if found is not None:
            return found
    return None


def _latency(record: Mapping[str, Any], start: float | None, warnings: Warnings) -> float | None:
    seconds = any_of(record, _SECONDS)
    if seconds is not None:
        return number(seconds, "latency_s", warnings)
    milliseconds = any_of(record, _MILLISECONDS)
    if milliseconds is not None:
        found = number(milliseconds, "latency_ms", warnings)
        return None if found is None else found / 1000.0
    return elapsed_s(start, time_s(any_of(record, _ENDS), []))


def _no_messages(record: Mapping[str, Any], found: Rejected) -> Rejected:
    if "custom_id" in record:
        return Rejected(
            "batch output without its request",
            "the Batch API's output holds no messages; merge its lines with the input file's by custom_id (as 'request')",
        )
    return found
