"""Recognition of calls by the templates of an audit: the same input as the audit's, and nothing where it is not sure."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.artefacts.tasks import ASSIGNMENT_SCHEMA, Audit, Template, TemplateMessage
from metier.artefacts.traffic import TRACE_SCHEMA, FrameTraffic, Trace
from metier.audit import AuditSettings, audit
from metier.labs import clinc, support
from metier.labs.prompts import intent_wordings
from metier.mining.literals import make_template
from metier.mining.matching import build_matcher, fill_slots, literal_chars
from metier.mining.prompts import Prompt, prompt_of, read_prompt
from metier.mining.recognition import Recognised, Recogniser, build_recogniser
from metier.mining.templates import OPEN_TEMPLATE
from metier.mining.units import OPEN_ENDED_ID
from metier.sources.messages import normal_messages
from metier.sources.openai_log import parse
from metier.sources.traces import Context

DATA = Path(os.environ.get("METIER_DATA", "../shared/data"))
Messages = list[dict[str, Any]]
Record = dict[str, Any]


def frame_of(log: list[Record]) -> pl.DataFrame:
    traces = [trace for line, record in enumerate(log) for trace in parse(record, Context(line + 1, None))]
    return pl.DataFrame([asdict(trace) for trace in traces if isinstance(trace, Trace)], schema=TRACE_SCHEMA)


def audited(log: list[Record]) -> Audit:
    return audit(FrameTraffic(frame_of(log)), AuditSettings.model_validate({"affinity": False}), seed=0)


@pytest.fixture(scope="module")
def log() -> list[Record]:
    return list(support.simulate(3_000, seed=3, structured=0.3))


@pytest.fixture(scope="module")
def desk(log: list[Record]) -> Audit:
    return audited(log)


@pytest.fixture(scope="module")
def recogniser(desk: Audit) -> Recogniser:
    return build_recogniser(desk, seed=0)


def user(text: str, system: str | None = None) -> Messages:
    head = [{"role": "system", "content": system}] if system else []
    return [*head, {"role": "user", "content": text}]


def assert_as_audited(found: Audit, log: list[Record]) -> Counter[str]:
    """Every call of a task is recognised with just the audit's template and input; open questions are not."""
    recogniser = build_recogniser(found, seed=0)
    assigned = {row["trace_id"]: row for row in found.assignments.to_dicts()}
    seen: Counter[str] = Counter()
    for record in log:
        wanted = assigned[record["id"]]
        got = recogniser.recognise(record["request"]["messages"])
        if wanted["task_id"] in (OPEN_ENDED_ID, None):
            assert got is None
            seen["none"] += 1
            continue
        assert got is not None
        assert (got.exact, got.has_image) == (True, False)
        assert (got.task_id, got.template_id, got.input) == (wanted["task_id"], wanted["template_id"], wanted["input"])
        seen[got.task_name] += 1
    return seen


def test_calls_of_the_support_desk_are_recognised_as_they_were_audited(desk: Audit, log: list[Record]) -> None:
    seen = assert_as_audited(desk, log)
    assert seen["none"] > 300
    assert len(seen) >= 4


def test_calls_of_clinc150_are_recognised_as_they_were_audited() -> None:
    if not (DATA / "clinc150" / "data_full.json").is_file():
        pytest.skip("set METIER_DATA to the folder that holds clinc150")
    log = list(clinc.calls(DATA / "clinc150"))[::8]
    assert sum(assert_as_audited(audited(log), log).values()) == len(log)


def test_a_request_reads_as_its_trace_does() -> None:
    parts: Messages = [
        {"role": "system", "content": [{"type": "text", "text": "Sort"}, {"type": "text", "text": "this."}]},
        {"role": "user", "content": "one", "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "content": "42", "tool_call_id": "x"},
    ]
    stored = normal_messages(parts)
    assert isinstance(stored, str)
    assert prompt_of(parts) == read_prompt(stored)
    pictured = prompt_of([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}, "say"]}])
    assert pictured == Prompt(("user",), ("say",), True)


@pytest.mark.parametrize("junk", [None, "hi", 3, {}, [], [3], ["a"], [[]], [{"role": 3, "content": {"a": 1}}], [{}]])
def test_what_is_no_prompt_is_not_recognised(recogniser: Recogniser, junk: object) -> None:
    assert recogniser.recognise(junk) is None
    assert recogniser.recognise(junk, "label") is None


def test_the_whole_conversation_counts(recogniser: Recogniser, log: list[Record]) -> None:
    messages = next(r["request"]["messages"] for r in log if r["truth"]["job"] == "intent")
    assert recogniser.recognise(messages) is not None
    later = [*messages, {"role": "assistant", "content": "refund"}, {"role": "user", "content": "and now a poem"}]
    assert recogniser.recognise(later) is None
    assert recogniser.recognise([{"role": "system", "content": "Talk like a pirate."}, *messages]) is None


def test_an_image_beside_the_text_is_told(recogniser: Recogniser) -> None:
    wording = intent_wordings()[2].messages("the kettle leaks")
    content = [{"type": "text", "text": wording[1]["content"]}, {"type": "image_url", "image_url": {"url": "data:x"}}]
    found = recogniser.recognise([wording[0], {"role": "user", "content": content}])
    assert found is not None
    assert found.has_image


# How callers reword instructions without meaning anything else, as a change of each message's instructions.
REWORDINGS: dict[str, Callable[[str], str]] = {
    "quotes": lambda text: text.replace('"', "”").replace("'", "’"),
    "capitals": str.upper,
    "punctuation": lambda text: text.replace(".", ";").replace(",", ""),
    # Within the instructions: what is added right beside the input cannot be told from it.
    "a sentence more": lambda text: (
        text.replace("\n", "\nBe quick, be exact, and do not explain yourself.\n", 1) if len(text) > 50 else text
    ),
    "typos": lambda text: re.sub(r"\b(\w{3})(\w)(\w)(\w{2,})\b", r"\1\3\2\4", text, count=4),
    "words left out": lambda text: re.sub(r"\b(of|the|for|to|is)\b ", "", text),
}
TEXT = "my kettle leaks and I'd like to send it back, order 4711"


def reworded(change: Callable[[str], str], place: int) -> Messages:
    wording = intent_wordings()[place]
    return replace(
        wording, system=change(wording.system), before=change(wording.before), after=change(wording.after)
    ).messages(TEXT)


@pytest.mark.parametrize("name", REWORDINGS)
@pytest.mark.parametrize("place", range(3))
def test_reworded_instructions_are_recognised_with_the_input_but_not_as_exact(
    recogniser: Recogniser, name: str, place: int
) -> None:
    messages = reworded(REWORDINGS[name], place)
    if messages == intent_wordings()[place].messages(TEXT):
        pytest.skip("this wording has nothing to change so")
    known = recogniser.recognise(intent_wordings()[place].messages(TEXT))
    found = recogniser.recognise(messages)
    assert known is not None
    assert found is not None
    assert not found.exact
    assert found == replace(known, exact=False)
    assert found.input == TEXT


@pytest.mark.parametrize("place", range(3))
def test_white_space_alone_leaves_a_prompt_exact(recogniser: Recogniser, place: int) -> None:
    known = recogniser.recognise(intent_wordings()[place].messages(TEXT))
    spaced = reworded(lambda text: text.replace("\n", "\r\n").replace(" ", "  "), place)
    assert recogniser.recognise(spaced) == known


def test_the_role_developer_means_system_but_is_not_the_certified_prompt(recogniser: Recogniser) -> None:
    messages = intent_wordings()[0].messages(TEXT)
    messages[0]["role"] = "developer"
    found = recogniser.recognise(messages)
    assert found is not None
    assert (found.exact, found.input) == (False, TEXT)


UNRELATED = (
    user("Write a haiku about the sea."),
    user("Which topic is the best for a talk at a conference on topology?", "You are a helpful assistant."),
    user("Translate to French: the customer wrote a message to the help desk.", "You are a translator."),
    user("Message: what is the capital of Peru?"),
    user("Explain how to write a router for support tickets that outputs one label in lower case, in Python."),
    user("Summarise the rules of chess.", "You sort incoming messages of a chess club. Answer kindly."),
    user("{}" * 5_000),
    user("label " * 3_000),
)


@pytest.mark.parametrize("place", range(len(UNRELATED)))
def test_unrelated_prompts_are_never_recognised(recogniser: Recogniser, place: int) -> None:
    assert recogniser.recognise(UNRELATED[place]) is None


def test_open_questions_of_a_benchmark_are_never_recognised(recogniser: Recogniser) -> None:
    files = sorted((DATA / "arena-hard").rglob("question.jsonl"))
    if not files:
        pytest.skip("set METIER_DATA to the folder that holds arena-hard")
    rows = [orjson.loads(line) for path in files for line in path.read_bytes().splitlines()]
    asked = [row.get("prompt") or row["turns"][0]["content"] for row in rows]
    assert len(asked) > 500
    found = [text for text in asked if recogniser.recognise(user(text)) or recogniser.recognise(user(text, "Help."))]
    assert found == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("system", "user", "assistant")), st.text(max_size=200)), max_size=4))
def test_any_messages_are_read_without_an_error(recogniser: Recogniser, said: list[tuple[str, str]]) -> None:
    assert recogniser.recognise([{"role": role, "content": text} for role, text in said]) is None


# One prompt for several jobs: two label tasks that only their inputs and answers tell apart.
SYSTEM = "You are the assistant of the Halden company. Do what is asked, and answer as briefly as you can."
SICK = ("fever", "cough", "rash", "headache", "nausea", "dizziness", "swelling", "cramp")
PARTS = ("piston", "valve", "gasket", "bearing", "rotor", "flange", "clutch", "spindle")


def shared_rows(n: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    rows = []
    for place in range(n):
        ill = place % 2 == 0
        words = rng.choice(SICK if ill else PARTS, int(rng.integers(3, 7)))
        if ill:
            text = " and ".join(words)
            answer = str(rng.choice(("urgent care", "family doctor", "stay at home")))
        else:
            text = " / ".join(f"{word.upper()}-{rng.integers(10, 99)}" for word in words)
            answer = f"{rng.choice(('A', 'B', 'C'))}{rng.integers(10, 14)}"
        rows.append({"id": f"t{place}", "messages": orjson.dumps(user(text, SYSTEM)).decode(), "response": answer})
    return [{"model": "gpt-4o", "provenance": "teacher", **row} for row in rows]


def test_of_tasks_that_share_a_prompt_the_input_tells_which_it_is() -> None:
    frame = pl.DataFrame(shared_rows(1_200), schema=TRACE_SCHEMA, orient="row")
    found = audit(FrameTraffic(frame), AuditSettings.model_validate({"affinity": False}), seed=0)
    recogniser = build_recogniser(found, seed=0)
    tasks = {row.task.id: row.task for row in found.tasks}
    assert len(tasks) == 2
    assert len({t.id for task in tasks.values() for t in task.templates}) == 1
    got = [recogniser.recognise(orjson.loads(text)) for text in frame["messages"]]
    judged = [(one, wanted) for one, wanted in zip(got, found.assignments["task_id"], strict=True) if one is not None]
    assert len(judged) > 0.9 * frame.height
    assert sum(one.task_id != wanted for one, wanted in judged) <= 0.02 * len(judged)
    # What is neither is not judged, unless the caller says what it is.
    other = user("please", SYSTEM)
    assert recogniser.recognise(other) is None
    ill = found.assignments["task_id"][0]
    hinted = recogniser.recognise(other, ill)
    assert hinted is not None
    assert (hinted.task_id, hinted.input, hinted.exact) == (ill, "please", True)


def record_audit() -> Audit:
    rows = [
        {
            "id": f"r{place}",
            "messages": orjson.dumps(user(f"text {place} about {place % 7}")).decode(),
            "response": ("yes", "no", "maybe")[place % 3],
            "provenance": "human",
            "dataset": "letters",
        }
        for place in range(90)
    ]
    frame = pl.DataFrame(rows, schema=TRACE_SCHEMA, orient="row")
    return audit(FrameTraffic(frame), AuditSettings.model_validate({"affinity": False}), seed=0)


def test_a_task_of_records_is_recognised_only_by_name() -> None:
    found = record_audit()
    recogniser = build_recogniser(found, seed=0)
    messages = user("  a letter\n", "Whatever stands here.")
    assert recogniser.recognise(messages) is None
    task = found.tasks[0].task
    wanted = Recognised("letters", task.id, OPEN_TEMPLATE.id, "a letter", True)
    assert recogniser.recognise(messages, "letters") == recogniser.recognise(messages, task.id) == wanted
    # As the audit took the input of the records.
    first = found.assignments.row(0, named=True)
    again = recogniser.recognise(user("text 0 about 0"), "letters")
    assert again is not None
    assert (again.input, again.template_id) == (first["input"], first["template_id"])
    conversation = [*messages, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "really?"}]
    assert recogniser.recognise(conversation, "letters") is None
    assert recogniser.recognise(user("   "), "letters") is None
    assert recogniser.recognise(messages, "no such task") is None


def test_a_hint_restricts_to_its_task(recogniser: Recogniser, desk: Audit) -> None:
    messages = intent_wordings()[0].messages(TEXT)
    known = recogniser.recognise(messages)
    assert known is not None
    assert recogniser.recognise(messages, known.task_name) == known
    others = [row.task.name for row in desk.tasks if row.task.id != known.task_id]
    assert [recogniser.recognise(messages, name) for name in others] == [None] * len(others)


def test_an_audit_without_tasks_recognises_nothing() -> None:
    empty = Audit(0, 0, 0.0, 0.0, "", (), pl.DataFrame(schema=ASSIGNMENT_SCHEMA))
    assert build_recogniser(empty, seed=0).recognise(user("hello")) is None


def matched_one_by_one(templates: list[Template], prompt: Prompt) -> tuple[int, str] | None:
    """The definition: of the templates that fit, the one with most literal text, then the first."""
    for index in sorted(range(len(templates)), key=lambda index: (-literal_chars(templates[index]), index)):
        messages = templates[index].messages
        if tuple(message.role for message in messages) != prompt.roles:
            continue
        slots = [fill_slots(m.literals, text) for m, text in zip(messages, prompt.texts, strict=True)]
        if None not in slots:
            return index, "\n\n".join(text.strip() for one in slots if one for text in one if text.strip())
    return None


LITERAL = st.text("ab ", max_size=9)
MESSAGE = st.builds(
    TemplateMessage, st.sampled_from(("user", "system")), st.lists(LITERAL, min_size=1, max_size=3).map(tuple)
)
TEMPLATE = st.lists(MESSAGE, min_size=1, max_size=2).map(lambda messages: make_template(tuple(messages), 0))


@settings(max_examples=150, deadline=None)
@given(st.lists(TEMPLATE, max_size=12), st.data())
def test_the_index_finds_what_trying_one_by_one_finds(templates: list[Template], data: st.DataObject) -> None:
    match = build_matcher(templates)
    if templates:
        chosen = data.draw(st.sampled_from(templates))
        filled = [data.draw(LITERAL).join(message.literals) for message in chosen.messages]
        prompt = Prompt(tuple(message.role for message in chosen.messages), tuple(filled))
        assert match(prompt) == matched_one_by_one(templates, prompt) is not None
    texts = data.draw(st.lists(LITERAL, min_size=1, max_size=2))
    roles = data.draw(st.lists(st.sampled_from(("user", "system")), min_size=len(texts), max_size=len(texts)))
    other = Prompt(tuple(roles), tuple(texts))
    assert match(other) == matched_one_by_one(templates, other)
