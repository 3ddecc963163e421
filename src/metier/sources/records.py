"""`records`: plain labelled records, JSONL or CSV: an input, an output, and optionally id, group, time, split.

Also read is the form of clinc150: one JSON document of lists {"train": [[text, label], …], …}; a list's name is the split.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from metier.artefacts.datasets import is_ood_split
from metier.artefacts.traffic import Trace
from metier.sources.messages import to_json
from metier.sources.outcomes import Flawed, Outcome, Rejected
from metier.sources.traces import Context, content_id, provenance
from metier.sources.values import Warnings, feedback, first, number, text, time_s, tokens

# The most telling names come first: a record with "label" and "answer" is labelled by "label".
INPUT_COLUMNS = (
    "input",
    "text",
    "utterance",
    "query",
    "question",
    "sentence",
    "prompt",
    "message",
    "document",
    "content",
    "body",
    "review",
    "ticket",
    "dialogue",
    "description",
    "instruction",
)
OUTPUT_COLUMNS = (
    "output",
    "label",
    "intent",
    "category",
    "class",
    "target",
    "expected_output",
    "expected",
    "ideal",
    "answer",
    "completion",
    "response",
    "sentiment",
    "topic",
    "section_header",
    "y",
)
_GROUPS = ("group", "group_id", "customer", "customer_id", "user", "user_id", "conversation_id", "document_id")
_SPLITS = ("split", "fold", "partition")
_TIMES = ("time", "timestamp", "created_at", "date", "datetime")
_PAIR = 2


def recognises(record: object) -> bool:
    """Whether a record has a column for the input and one for the output."""
    if isinstance(record, list):
        return len(record) == _PAIR and all(isinstance(value, str) for value in record)
    if not isinstance(record, dict):
        return False
    names = {name.strip().lower() for name in record if isinstance(name, str)}
    return any(name in names for name in INPUT_COLUMNS) and any(name in names for name in OUTPUT_COLUMNS)


def parse(record: object, context: Context) -> Iterable[Outcome]:
    """One labelled record."""
    if isinstance(record, list) and len(record) == _PAIR:
        record = {"input": record[0], "output": record[1], "split": context.key}
    if not isinstance(record, dict):
        return (Rejected("not an object", f"expected a JSON object, received {type(record).__name__}"),)
    return (_labelled(record, context),)


def _labelled(record: Mapping[str, Any], context: Context) -> Outcome:
    columns = {name.strip().lower(): value for name, value in record.items() if isinstance(name, str)}
    asked = _cell(columns, context.input_column, INPUT_COLUMNS)
    answer = _cell(columns, context.output_column, OUTPUT_COLUMNS)
    if not asked or not asked.strip():
        wanted = f"column {context.input_column!r}" if context.input_column else "an input column"
        return Rejected("no input", f"{wanted} is absent or empty; columns: {', '.join(list(columns)[:12])}")
    split = text(first(columns, *_SPLITS))
    answered = bool(answer and answer.strip())
    if not answered and not is_ood_split(split):
        wanted = f"column {context.output_column!r}" if context.output_column else "an output column"
        return Rejected("no output", f"{wanted} is absent or empty; columns: {', '.join(list(columns)[:12])}")
    warnings: Warnings = []
    messages = to_json([{"role": "user", "content": asked}])
    time = time_s(first(columns, *_TIMES), warnings)
    group = text(first(columns, *_GROUPS))
    given = text(first(columns, "id", "uid"))
    trace = Trace(
        # An id such as 1, 2, 3 is a number within its file, so the file's name belongs to it.
        id=f"{context.dataset}:{given}" if given else content_id(messages, answer, split, time, group, context.dataset),
        messages=messages,
        response=answer if answered else None,
        model=text(columns.get("model")),
        time=time,
        input_tokens=tokens(columns.get("input_tokens"), "input_tokens", warnings),
        output_tokens=tokens(columns.get("output_tokens"), "output_tokens", warnings),
        latency_s=number(columns.get("latency_s"), "latency_s", warnings),
        cost_usd=number(first(columns, "cost_usd", "cost"), "cost_usd", warnings),
        feedback=feedback(columns.get("feedback"), warnings),
        correction=text(columns.get("correction")),
        provenance=provenance(columns.get("provenance"), "human"),
        group=group,
        split=split,
        dataset=context.dataset,
    )
    return Flawed(trace, tuple(warnings)) if warnings else trace


def _cell(columns: Mapping[str, Any], chosen: str | None, names: tuple[str, ...]) -> str | None:
    value = columns.get(chosen.strip().lower()) if chosen else first(columns, *names)
    if value is None or isinstance(value, str):
        return value
    # Labels may be numbers or whole objects: JSON says them in one way only.
    try:
        return to_json(value, sort=True)
    except (TypeError, orjson.JSONEncodeError):
        return None
