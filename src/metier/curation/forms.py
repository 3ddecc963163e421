"""How the frontier model writes its label: learnt from its answers, and written again for another label."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from metier.artefacts.datasets import AnswerForm
from metier.curation.asking import LEGACY_FUNCTIONS, asked_form
from metier.curation.json_styles import write_record
from metier.curation.labels import FENCE, read_answer, tool_call
from metier.metrics.boxed import last_box
from metier.metrics.records import parse_record

__all__ = ["Answered", "asked_form", "learn_forms", "write_label"]

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCALAR = re.compile(r"true|false|-?\d+(?:\.\d+)?")
# Marks that close an answer and belong to no label, unless its class ends with one.
_STOPS = " .,;:!"
# A character that no answer holds: where it stands in the label's place, it is read as the label.
_SENTINEL = "\ue000"
# Spellings that hold for a whole set of labels, so that they can be given to labels not yet answered in this wording.
_STYLES: tuple[Callable[[str], str], ...] = (
    str.upper,
    str.lower,
    str.capitalize,
    str.title,
    lambda label: label.replace("_", " "),
    lambda label: label.replace("_", " ").capitalize(),
    lambda label: label.replace("_", " ").title(),
    lambda label: label.replace(" ", "_"),
    lambda label: label.replace(" ", "_").lower(),
    lambda label: label.replace("_", "-"),
)
_STYLE_SHARE = 0.95
_TOOLS_ASKED = re.compile(rf"(?:^|\|)(?:tools|{LEGACY_FUNCTIONS}):")
# Answers are read once more here only to find where the label stands; how long it may be has been checked.
_MOST_CHARS = 1_000_000


@dataclass(frozen=True, slots=True)
class Answered:
    """One call that the frontier model answered: the wording, what was asked (asked_form), the answer as the trace holds
    it, the label as it is written there, and its spelling in the dataset (both None where it holds none)."""

    template_id: str | None
    asked: str
    response: str
    said: str | None
    label: str | None


@dataclass(frozen=True)
class _Frame:
    """What stands around the label."""

    prefix: str
    suffix: str
    is_json: bool
    tool_name: str | None


def write_label(form: AnswerForm, label: str) -> str:
    """The answer in this form: the message's content or, where the form has a `tool_name`, the tool's arguments. `label` is
    the label, the record as JSON, or the text."""
    if form.json_style is not None:
        return f"{form.prefix}{write_record(form.json_style, parse_record(label) or {})}{form.suffix}"
    written = next((written for known, written in form.spelling if known == label), label)
    return _within(_Frame(form.prefix, form.suffix, form.is_json, form.tool_name), written)


def tools_asked(asked: str) -> bool:
    """Whether a demand (asked_form) offers tools."""
    return _TOOLS_ASKED.search(asked) is not None


def learn_forms(calls: Iterable[Answered], classes: Sequence[str]) -> tuple[AnswerForm, ...]:
    """The most frequent form of each wording and demand, sorted by both; none for those whose answers show no label.

    `classes` are the labels that may have to be written; an answer with another label counts as not in the form. A form
    that cannot hold one of them (a JSON number, say) is left out, as is one whose place no tool call of today's API has
    (`functions`).
    """
    by_way: dict[tuple[str | None, str], list[Answered]] = defaultdict(list)
    for call in calls:
        by_way[call.template_id, call.asked].append(call)
    forms = [_learn(template_id, asked, made, classes) for (template_id, asked), made in by_way.items()]
    return tuple(sorted((form for form in forms if form is not None), key=lambda f: (f.template_id or "", f.asked)))


def _learn(template_id: str | None, asked: str, calls: Sequence[Answered], classes: Sequence[str]) -> AnswerForm | None:
    known = frozenset(classes)
    # Answers repeat: each distinct one is read once.
    counts = Counter((call.response, call.said, call.label) for call in calls)
    frames: Counter[_Frame] = Counter()
    written: dict[_Frame, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for (response, said, label), n in counts.items():
        # A refusal is no label written barely.
        if said is None or label not in known or (found := _read(response, said, label, asked)) is None:
            continue
        frame, core = found
        frames[frame] += n
        written[frame][label][core] += n
    if not frames:
        return None
    frame = min(frames, key=lambda one: (-frames[one], one.prefix, one.suffix, one.is_json, one.tool_name or ""))
    spelling = _spelling(written[frame], classes)
    form = AnswerForm(
        template_id, asked, frame.prefix, frame.suffix, frame.is_json, frame.tool_name, spelling, len(calls), 0.0
    )
    is_legacy = frame.tool_name is not None and LEGACY_FUNCTIONS in asked
    if is_legacy or not all(_can_hold(frame, write_label(form, label)) for label in classes):
        return None
    n_same = sum(n for (response, _, label), n in counts.items() if label in known and _is_same(form, label, response))
    return dataclasses.replace(form, share=n_same / len(calls))


def _is_same(form: AnswerForm, label: str, response: str) -> bool:
    """Whether the form gives the recorded answer: byte for byte, as equal JSON where it is a tool call, and the box alone
    where the answer is boxed."""
    text = write_label(form, label)
    if form.tool_name is not None:
        return tool_call(response) == (form.tool_name, _parsed(text))
    box = last_box(response) if last_box(text) is not None else None
    return text == (response if box is None else box.written)


def _within(frame: _Frame, written: str) -> str:
    core = json.dumps(written, ensure_ascii=False)[1:-1] if frame.is_json else written
    return f"{frame.prefix}{core}{frame.suffix}"


def _read(response: str, said: str, label: str, asked: str) -> tuple[_Frame, str] | None:
    """What stands around the label in an answer, and the label as it stands there; None where it cannot be told."""
    called = tool_call(response) if tools_asked(asked) else None
    name, text = (None, response) if called is None else (called[0], orjson.dumps(called[1]).decode())
    if isinstance(_parsed(text), (dict, list, str)):
        return _in_json(text, said, label, name)
    if (box := last_box(text)) is not None and said in box.content:
        # The reasoning before the box is another one in every call: no form holds it.
        text = box.written
    for begin in _occurrences(said, text):
        end = begin + len(said)
        if _reads_as_label(text[:begin] + _SENTINEL + text[end:]):
            core = _bare(said, label)
            return _Frame(text[:begin], text[begin + len(core) :], False, name), core
    return None


def _in_json(text: str, said: str, label: str, name: str | None) -> tuple[_Frame, str] | None:
    for found in _STRING.finditer(text):
        value = _decoded(found[0])
        at = -1 if value is None else value.find(said)
        if value is None or at < 0:
            continue
        core = _bare(said, label)
        before, after = (_escaped(part) for part in (value[:at], value[at + len(core) :]))
        frame = _Frame(f'{text[: found.start()]}"{before}', f'{after}"{text[found.end() :]}', True, name)
        # Escapes written otherwise than we do cannot be given back byte for byte.
        if _reads_as_label(_within(frame, _SENTINEL)) and _within(frame, core) == text:
            return frame, core
    for found in _SCALAR.finditer(text):
        if found[0] == said and _reads_as_label(f'{text[: found.start()]}"{_SENTINEL}"{text[found.end() :]}'):
            return _Frame(text[: found.start()], text[found.end() :], False, name), said
    return None


def _reads_as_label(text: str) -> bool:
    found = read_answer(text, _MOST_CHARS).label
    # A mark that closes the answer is read with the label.
    return found is not None and found.rstrip(_STOPS) == _SENTINEL


def _bare(said: str, label: str) -> str:
    """The label as written, without closing marks that are the form's."""
    bare = said.rstrip(_STOPS)
    return bare if bare and label[-1:] not in _STOPS else said


def _occurrences(part: str, text: str) -> Iterator[int]:
    begin = text.find(part)
    while begin >= 0:
        yield begin
        begin = text.find(part, begin + 1)


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _decoded(token: str) -> str | None:
    try:
        value = orjson.loads(token)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, str) else None


def _parsed(text: str) -> Any:
    """The JSON value in an answer, with or without a code fence; None where there is none."""
    bare = text.strip()
    fenced = FENCE.match(bare)
    try:
        return orjson.loads(fenced[1] if fenced else bare)
    except orjson.JSONDecodeError:
        return None


def _can_hold(frame: _Frame, text: str) -> bool:
    """Whether what is written is JSON where the form is: a bare JSON value has room for true and 3, not for any label."""
    is_scalar = not frame.is_json and isinstance(_parsed(f"{frame.prefix}0{frame.suffix}"), dict)
    return not (is_scalar or frame.tool_name is not None) or _parsed(text) is not None


def _spelling(written: Mapping[str, Counter[str]], classes: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The written form of every label that is not written as the dataset spells it."""
    usual = {label: min(cores, key=lambda core: (-cores[core], core)) for label, cores in written.items()}
    style = next((style for style in _STYLES if _holds(style, usual)), None)
    if style is not None:
        usual |= {label: style(label) for label in classes if label not in usual}
    return tuple(sorted((label, core) for label, core in usual.items() if core != label))


def _holds(style: Callable[[str], str], usual: Mapping[str, str]) -> bool:
    """Whether labels are written in a style: nearly all that it changes, and there are some."""
    changed = [label for label in usual if style(label) != label]
    n_same = sum(style(label) == core for label, core in usual.items())
    return bool(changed) and n_same >= _STYLE_SHARE * len(usual) and any(usual[label] != label for label in changed)
