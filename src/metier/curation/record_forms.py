"""How the frontier model writes records and texts: learnt from its answers."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from metier.artefacts.datasets import AnswerForm, JsonStyle
from metier.curation.asking import LEGACY_FUNCTIONS
from metier.curation.forms import Answered, tools_asked
from metier.curation.json_styles import layout_of
from metier.curation.labels import tool_call
from metier.metrics.records import is_absent, parse_record
from metier.metrics.schemas import writing_order

_FENCED = re.compile(r"\A(\s*```[\w-]*[^\S\n]*\n?)(.*?)(\n?\s*```\s*)\Z", re.DOTALL)


def learn_record_forms(calls: Iterable[Answered], schema: Mapping[str, Any]) -> tuple[AnswerForm, ...]:
    """The most frequent form of each wording and demand, sorted by both; none for those whose answers show no record.

    A form is what stands around the JSON (a code fence, nothing), the tool if one is called, and the JSON's layout. Keys
    are written in the order that most answers have. `share` counts the answers around which just that stands and that hold
    a usable record. A call of the API's older `functions` has no form.
    """
    by_way: dict[tuple[str | None, str], list[Answered]] = defaultdict(list)
    for call in calls:
        by_way[call.template_id, call.asked].append(call)
    forms = [_learn(template_id, asked, made, schema) for (template_id, asked), made in by_way.items()]
    return tuple(sorted((form for form in forms if form is not None), key=lambda f: (f.template_id or "", f.asked)))


def learn_text_forms(calls: Iterable[Answered]) -> tuple[AnswerForm, ...]:
    """The plain form for each wording and demand: the text and nothing else; none where a tool is called."""
    counts: Counter[tuple[str | None, str]] = Counter()
    plain: Counter[tuple[str | None, str]] = Counter()
    for call in calls:
        way = call.template_id, call.asked
        counts[way] += 1
        plain[way] += call.label is not None and not (tools_asked(call.asked) and tool_call(call.response))
    return tuple(
        AnswerForm(template_id, asked, "", "", False, None, (), n, plain[template_id, asked] / n)
        for (template_id, asked), n in sorted(counts.items(), key=lambda item: (item[0][0] or "", item[0][1]))
        if plain[template_id, asked]
    )


def _learn(
    template_id: str | None, asked: str, calls: Sequence[Answered], schema: Mapping[str, Any]
) -> AnswerForm | None:
    if LEGACY_FUNCTIONS in asked:
        return None
    frames: Counter[tuple[str, str, str | None]] = Counter()
    cores: dict[tuple[str, str, str | None], list[str]] = defaultdict(list)
    for call in calls:
        if call.label is not None:
            frame, core = _around(call.response, asked)
            frames[frame] += 1
            cores[frame].append(core)
    if not frames:
        return None
    frame = min(frames, key=lambda one: (-frames[one], one[0], one[1], one[2] or ""))
    prefix, suffix, tool_name = frame
    records = [record for core in cores[frame] if (record := parse_record(core)) is not None]
    keys = _key_order(records, schema)
    style = dataclasses.replace(_usual_layout(cores[frame]), keys=keys, absent=_absent(records, keys))
    return AnswerForm(
        template_id, asked, prefix, suffix, False, tool_name, (), len(calls), frames[frame] / len(calls), style
    )


def _around(response: str, asked: str) -> tuple[tuple[str, str, str | None], str]:
    """What stands before and after the JSON and the tool that is called, and the JSON's text."""
    called = tool_call(response) if tools_asked(asked) else None
    if called is not None:
        # A trace does not hold the arguments as they were written.
        return ("", "", called[0]), json.dumps(called[1], ensure_ascii=False, separators=(",", ":"))
    if fenced := _FENCED.match(response):
        return (fenced[1], fenced[3], None), fenced[2]
    core = response.strip()
    start = response.find(core)
    return (response[:start], response[start + len(core) :], None), core


def _usual_layout(cores: Sequence[str]) -> JsonStyle:
    """The most frequent layout. Whether letters are escaped shows only where there are some beyond ASCII."""
    layouts = [layout_of(core) for core in cores]
    usual = Counter(dataclasses.replace(layout, ascii_only=False) for layout in layouts).most_common(1)[0][0]
    n_escaped, n_plain = sum(layout.ascii_only for layout in layouts), sum(not core.isascii() for core in cores)
    return dataclasses.replace(usual, ascii_only=n_escaped > n_plain)


def _key_order(records: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys as the answers order them; those that stand in none as the schema does."""
    keys = dict.fromkeys([*schema.get("properties", {}), *(key for record in records for key in record)])
    return tuple(writing_order(records, list(keys)))


def _absent(records: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What is mostly written where a record lacks a value; keys that are mostly left out are not named."""
    found = []
    for key in keys:
        ways = Counter(
            json.dumps(record[key]) if key in record else None for record in records if is_absent(record.get(key))
        )
        if ways and (way := min(ways, key=lambda one: (-ways[one], one or ""))) is not None:
            found.append((key, way))
    return tuple(found)
