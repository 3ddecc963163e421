"""`langfuse`: traces and observations exported from Langfuse, as JSON, JSONL or CSV.

Field names come in two spellings: camelCase (the API, exports from the interface) and snake_case (blob storage exports).
Observations of type GENERATION are calls; a trace row is one only where it holds no observations and its input is a message
list. See https://langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from metier.artefacts.traffic import Trace
from metier.sources.messages import answer_text, content_text, normal_messages, parameters, to_json
from metier.sources.outcomes import Flawed, Outcome, Rejected, Skipped
from metier.sources.traces import Context, content_id
from metier.sources.values import Warnings, elapsed_s, feedback, first, mapping, number, text, time_s, tokens

_TYPES = frozenset(
    {"GENERATION", "SPAN", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL"}
)
_OWN_KEYS = ("traceId", "trace_id", "observations", "sessionId", "session_id", "projectId", "project_id", "bookmarked")


def recognises(record: object) -> bool:
    """Whether a record is a Langfuse observation or trace."""
    if not isinstance(record, dict):
        return False
    kind = record.get("type")
    if (
        isinstance(kind, str)
        and kind in _TYPES
        and ("startTime" in record or "start_time" in record or "traceId" in record)
    ):
        return True
    return "input" in record and "output" in record and sum(name in record for name in _OWN_KEYS) >= 1


def parse(record: object, context: Context) -> Iterable[Outcome]:
    """One observation, or one trace with the observations inside it."""
    if not isinstance(record, dict):
        return (Rejected("not an object", f"expected a JSON object, received {type(record).__name__}"),)
    observations = _loaded(record.get("observations"))
    if isinstance(observations, list) and any(isinstance(item, dict) for item in observations):
        return list(_inside(record, observations, context))
    return (_observation(record, {}, context),)


def _inside(trace: Mapping[str, Any], observations: list[Any], context: Context) -> Iterator[Outcome]:
    for observation in observations:
        if isinstance(observation, dict):
            yield _observation(observation, trace, context)
        else:
            yield Skipped("langfuse: an observation that is only named")


def _observation(record: Mapping[str, Any], trace: Mapping[str, Any], context: Context) -> Outcome:
    kind = record.get("type")
    if isinstance(kind, str) and kind and kind != "GENERATION":
        return Skipped(f"langfuse: {kind.lower()[:20]} is no model call")
    asked, request = _asked(_loaded(record.get("input")))
    if not kind and not isinstance(_loaded(record.get("input")), list | dict):
        return Skipped("langfuse: a trace without its generations")
    messages = normal_messages(asked)
    if isinstance(messages, Rejected):
        return messages
    answer = _answer(_loaded(record.get("output")))
    if answer is None:
        failed = record.get("level") == "ERROR"
        detail = str(first(record, "statusMessage", "status_message") or "")[:200]
        return Rejected("the call failed" if failed else "no answer", detail)
    warnings: Warnings = []
    start = time_s(first(record, "startTime", "start_time", "timestamp"), warnings)
    model = text(first(record, "providedModelName", "provided_model_name", "model", "internalModel"))
    settings = mapping(_loaded(first(record, "modelParameters", "model_parameters")))
    shaped = parameters({**settings, **request})
    group = _group(record) or _group(trace)
    found = Trace(
        id=text(record.get("id")) or content_id(messages, shaped, answer, model, start, group),
        messages=messages,
        parameters=shaped,
        response=answer,
        model=model,
        time=start,
        input_tokens=_tokens(record, "input", "prompt", warnings),
        output_tokens=_tokens(record, "output", "completion", warnings),
        latency_s=_latency(record, start, warnings),
        cost_usd=_cost(record, warnings),
        feedback=feedback(_score(record) or _score(trace), []),
        group=group,
        dataset=context.dataset,
    )
    return Flawed(found, tuple(warnings)) if warnings else found


def _loaded(value: object) -> object:
    """CSV and blob storage exports hold JSON as text."""
    if isinstance(value, str) and value[:1] in ("{", "[", '"'):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def _asked(asked: object) -> tuple[object, Mapping[str, Any]]:
    """The message list, and the request around it where the whole request was logged."""
    if isinstance(asked, dict):
        messages = first(asked, "messages", "input", "prompt")
        if messages is not None:
            return messages, asked
        return ([asked] if "role" in asked else to_json(asked, sort=True)), {}
    if isinstance(asked, list) and asked and not any(isinstance(item, dict) and "role" in item for item in asked):
        return content_text(asked), {}
    return asked, {}


def _answer(answer: object) -> str | None:
    if isinstance(answer, list):
        messages = [item for item in answer if isinstance(item, dict)]
        return answer_text(messages[-1]) if messages else answer_text({"content": answer})
    if isinstance(answer, dict):
        choices = answer.get("choices")
        if isinstance(choices, list) and choices:
            return answer_text(mapping(choices[0]).get("message"))
        if "content" in answer or "tool_calls" in answer or "parts" in answer:
            return answer_text(answer)
        completion = answer.get("completion")
        return completion or None if isinstance(completion, str) else to_json(answer, sort=True)
    if answer is None or isinstance(answer, str):
        return answer or None
    return to_json(answer)


def _group(record: Mapping[str, Any]) -> str | None:
    return text(first(record, "sessionId", "session_id", "userId", "user_id"))


def _tokens(record: Mapping[str, Any], new: str, old: str, warnings: Warnings) -> int | None:
    details = mapping(_loaded(first(record, "usageDetails", "usage_details")))
    usage = mapping(_loaded(record.get("usage")))
    found = first(details, new, f"{old}_tokens")
    if found is None:
        found = first(usage, new, f"{old}Tokens", f"{old}_tokens")
    if found is None:
        names = (f"{name}{ending}" for name in (new, old) for ending in ("Tokens", "_tokens", "Usage", "_usage"))
        found = first(record, *names)
    return tokens(found, f"{new}_tokens", warnings)


def _cost(record: Mapping[str, Any], warnings: Warnings) -> float | None:
    details = mapping(_loaded(first(record, "costDetails", "cost_details")))
    found = first(record, "totalCost", "total_cost", "calculatedTotalCost", "calculated_total_cost")
    return number(first(details, "total") if found is None else found, "cost_usd", warnings)


def _latency(record: Mapping[str, Any], start: float | None, warnings: Warnings) -> float | None:
    end = time_s(first(record, "endTime", "end_time"), warnings)
    spent = elapsed_s(start, end)
    return spent if spent is not None else number(record.get("latency"), "latency_s", warnings)


def _score(record: Mapping[str, Any]) -> object:
    """A person's judgement among the scores, where the export holds one."""
    scores = _loaded(record.get("scores"))
    if isinstance(scores, list):
        for score in scores:
            if isinstance(score, dict) and score.get("source") in (None, "ANNOTATION", "API"):
                name = str(score.get("name", "")).lower()
                if any(word in name for word in ("feedback", "thumb", "correct", "rating")):
                    return first(score, "stringValue", "string_value", "value")
    return None
