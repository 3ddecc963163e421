"""Records and texts from OpenAI-compatible servers: against the shipped fake, which refuses what it is told to refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput
from metier.generalists import Question
from metier.generalists.openai_compatible import OpenAICompatible
from metier.generalists.prices import ListPrice
from metier.generalists.protocol import sampled
from metier.labs.upstream import Behaviour, RunningUpstream, running_upstream

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"],
}
RECORD = '{"name": "A"}'


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningUpstream]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running_upstream(Behaviour(answer=RECORD)) as running:
        yield running


def ask(upstream: RunningUpstream, **more: Any) -> OpenAICompatible:
    price = ListPrice("m", "", 1.0, 10.0, "test")
    settings = {"timeout_s": 5.0, "backoff_first_s": 0.01, "max_concurrency": 1}
    return OpenAICompatible("m", price, "no-key", base_url=upstream.url, **(settings | more))


def questions(*inputs: str, kind: OutputKind = OutputKind.FIELDS, schema: object = SCHEMA) -> list[Question]:
    return [Question(text, text, kind=kind, output_schema=schema) for text in inputs]  # type: ignore[arg-type]


def formats(upstream: RunningUpstream) -> list[str]:
    """What each request demanded of its answer."""
    return [_mode(call.request) for call in upstream.calls]


def _mode(request: Mapping[str, Any]) -> str:
    form = request.get("response_format") or {"type": "plain"}
    if form["type"] != "json_schema":
        return str(form["type"])
    return "strict" if form["json_schema"]["strict"] else "schema"


def refusing(*modes: str) -> Callable[[Mapping[str, Any]], str]:
    """A server that answers 400 to these modes: the fake says so to any request that it cannot answer."""

    def answer(request: Mapping[str, Any]) -> str:
        if _mode(request) in modes:
            raise ValueError("response_format is not supported")
        return RECORD

    return answer


def test_a_record_is_asked_for_strictly_and_comes_back_canonical(upstream):
    upstream.behaviour = Behaviour(answer='{"age": null, "name": "A"}')
    (answer,) = ask(upstream).answer(questions("x"))
    assert (answer.text, answer.failure) == (RECORD, None)
    (call,) = upstream.calls
    stated = call.request["response_format"]["json_schema"]
    assert stated["strict"] is True
    assert stated["schema"]["required"] == ["name", "age"]


@pytest.mark.parametrize(
    ("refused", "tried"),
    [
        (("strict",), ["strict", "schema"]),
        (("strict", "schema"), ["strict", "schema", "json_object"]),
        (("strict", "schema", "json_object"), ["strict", "schema", "json_object", "plain"]),
    ],
)
def test_a_server_that_refuses_a_form_is_asked_in_the_next_and_remembered(upstream, refused, tried):
    upstream.behaviour = Behaviour(answer=refusing(*refused))
    answers = ask(upstream).answer(questions("x", "y", "z"))
    assert [answer.text for answer in answers] == [RECORD] * 3
    assert formats(upstream) == [*tried, tried[-1], tried[-1]]
    told = json.dumps(upstream.calls[-1].request["messages"])
    assert "JSON Schema" in told


def test_a_request_that_is_refused_in_every_form_is_rejected_and_changes_nothing(upstream):
    def answer(request: Mapping[str, Any]) -> str:
        if "bad" in request["messages"][-1]["content"]:
            raise ValueError("no")
        return RECORD

    upstream.behaviour = Behaviour(answer=answer)
    bad, good = ask(upstream).answer(questions("bad", "good"))
    assert (bad.text, bad.failure) == (None, "rejected")
    assert good.text == RECORD
    assert formats(upstream) == ["strict", "schema", "json_object", "plain", "strict"]
    # A form that was taken once is not doubted again.
    good, bad = ask(upstream).answer(questions("good", "bad"))
    assert bad.failure == "rejected"
    assert formats(upstream)[5:] == ["strict", "strict"]


def test_a_prompt_that_does_not_fit_says_so(chat_server):
    error = {
        "error": {"message": "This model's maximum context length is 8192 tokens.", "code": "context_length_exceeded"}
    }
    chat_server.plan["x"] = [("status", (400, error))]
    (answer,) = OpenAICompatible(
        "m", ListPrice("m", "", 0, 0, ""), "no-key", base_url=chat_server.url, prompt="{input}"
    ).answer(questions("x"))
    assert (answer.failure, answer.n_attempts) == ("too long", 1)
    assert chat_server.seen["x"] == 1


def test_the_token_limit_within_a_record_is_a_failure_of_its_own(chat_server):
    def reply(text: str) -> tuple[str, object]:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}
        return ("not_chat", {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 9}})

    chat_server.plan["cut"] = [reply('{"name": "A')]
    chat_server.plan["loop"] = [reply('{"name": "' + "again and again " * 9)]
    chat_server.plan["whole"] = [reply(RECORD)]
    generalist = OpenAICompatible(
        "m", ListPrice("m", "", 0, 0, ""), "no-key", base_url=chat_server.url, prompt="{input}"
    )
    answers = generalist.answer(questions("cut", "loop", "whole"))
    assert [(answer.text, answer.failure) for answer in answers] == [
        (None, "cut off"), (None, "degenerate"), (RECORD, None),
    ]  # fmt: skip
    assert [answer.output_tokens for answer in answers] == [9, 9, 9]


def test_kind_schema_shots_and_sample_are_bought_apart(upstream, tmp_path: Path):
    generalist = ask(upstream, cache_path=tmp_path / "a.db", prompt="{input}")
    (one,) = questions("x")
    variants = [
        one,
        replace(one, output_schema={"type": "object", "properties": {"name": {"type": "string"}}}),
        replace(one, kind=OutputKind.TEXT),
        replace(one, kind=OutputKind.LABEL, labels=("A",)),
        replace(one, shots=(("a", "{}"),)),
        replace(one, sample=1),
        replace(one, temperature=0.5),
    ]
    for question in [*variants, *variants]:
        generalist.answer([question])
    assert len(upstream.calls) == len(variants)
    assert upstream.calls[-1].request["temperature"] == 0.5
    assert "temperature" not in upstream.calls[0].request


def test_labels_bought_before_stay_bought(upstream, tmp_path: Path):
    """The key of a label question is what it was when labels were all there was."""
    from metier.generalists.cache import request_key

    generalist = ask(upstream, cache_path=tmp_path / "a.db", prompt="{input}", max_output_tokens=7)
    generalist.answer([Question("x", "x", ("A",))])
    import sqlite3

    with sqlite3.connect(tmp_path / "a.db") as connection:
        ((key,),) = connection.execute("SELECT key FROM answers").fetchall()
    connection.close()
    assert key == request_key(generalist.server, "m", [{"role": "user", "content": "x"}], {"max_tokens": 7})


def test_samples_have_ids_of_their_own(upstream):
    (one,) = questions("x")
    answers = ask(upstream).answer([sampled(one, number) for number in range(3)])
    assert [answer.id for answer in answers] == ["x", "x#1", "x#2"]
    assert len(upstream.calls) == 3


def test_shots_of_the_generalist_are_shown_before_every_item(upstream):
    ask(upstream, shots=(("a", RECORD),), prompt="Read: {input}").answer(questions("x", "y"))
    assert [[message["content"] for message in call.request["messages"]] for call in upstream.calls] == [
        ["Read: a", RECORD, "Read: x"],
        ["Read: a", RECORD, "Read: y"],
    ]


def test_one_budget_holds_over_all_calls_of_a_generalist(upstream, tmp_path: Path):
    """With answers kept on disk and without. An answer costs 15e-6 USD and at most (18 + 2 x 91 + 16) + 10 millionths."""
    upstream.behaviour = Behaviour(answer=RECORD, input_tokens=5, output_tokens=1)
    for cache in (None, tmp_path / "a.db"):
        generalist = ask(upstream, cache_path=cache, prompt="{input}", budget_usd=300e-6, max_output_tokens=1)
        asked = [answer for n in range(10) for answer in generalist.answer(questions(f"q{n}")) if answer.asked]
        assert 0 < sum(answer.cost_usd for answer in asked) <= 300e-6
        assert len(asked) < 10


def test_a_schema_that_is_none_stops_before_anything_is_bought(upstream):
    with pytest.raises(BadInput, match="no JSON Schema"):
        ask(upstream).answer(questions("x", schema={"type": 3}))
    assert not upstream.calls
