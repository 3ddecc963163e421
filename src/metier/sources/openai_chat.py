"""`openai-chat`: OpenAI's fine-tuning JSONL, {"messages": [...]}, the last assistant message being the answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from metier.artefacts.traffic import Trace
from metier.sources.messages import answer_text, normal_messages, parameters
from metier.sources.outcomes import Flawed, Outcome, Rejected
from metier.sources.traces import Context, content_id, provenance
from metier.sources.values import Warnings, first, mapping, text, time_s

_ROLES = ("assistant", "ai", "gpt", "model")
_SHAREGPT_ROLES = {"human": "user", "gpt": "assistant", "system": "system"}


def recognises(record: object) -> bool:
    """Whether a record is a conversation with an answer in it."""
    return isinstance(record, dict) and isinstance(first(record, "messages", "conversations"), list)


def parse(record: object, context: Context) -> Iterable[Outcome]:
    """One training example: everything before the last assistant message is the request."""
    if not isinstance(record, dict):
        return (Rejected("not an object", f"expected a JSON object, received {type(record).__name__}"),)
    messages = first(record, "messages", "conversations")
    if not isinstance(messages, list) or not messages:
        return (Rejected("no messages", f"expected a list under 'messages'; keys: {', '.join(list(record)[:12])}"),)
    return (_example([_spelled(message) for message in messages], record, context),)


def _spelled(message: object) -> object:
    """ShareGPT writes {"from", "value"} for {"role", "content"}."""
    if isinstance(message, dict) and "from" in message and "value" in message:
        role = message["from"]
        return {"role": _SHAREGPT_ROLES.get(role, role) if isinstance(role, str) else role, "content": message["value"]}
    return message


def _example(messages: list[object], record: dict[str, Any], context: Context) -> Outcome:
    last = messages[-1]
    if not isinstance(last, dict) or last.get("role") not in _ROLES:
        return Rejected("no answer", "the last message is not the assistant's")
    answer = answer_text(last)
    if answer is None:
        return Rejected("no answer", "the last assistant message is empty")
    asked = normal_messages(messages[:-1])
    if isinstance(asked, Rejected):
        return Rejected("no messages", "nothing was asked before the answer")
    warnings: Warnings = []
    shaped = parameters(
        {name: record[name] for name in ("tools", "functions", "parallel_tool_calls") if name in record}
    )
    meta = mapping(record.get("metadata"))
    split = text(first(record, "split") or meta.get("split"))
    group = text(first(record, "group", "customer", "user") or first(meta, "group", "customer", "user"))
    time = time_s(first(record, "time", "timestamp", "created_at") or first(meta, "time", "timestamp"), warnings)
    given, name = text(first(record, "id")), context.dataset
    trace = Trace(
        id=f"{name}:{given}" if given else content_id(asked, shaped, answer, split, time, group, name),
        messages=asked,
        parameters=shaped,
        response=answer,
        time=time,
        provenance=provenance(record.get("provenance"), "human"),
        group=group,
        split=split,
        dataset=context.dataset,
    )
    return Flawed(trace, tuple(warnings)) if warnings else trace
