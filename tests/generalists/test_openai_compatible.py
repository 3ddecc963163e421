"""The openai backend against a real HTTP server that fails in every way we know."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from metier.errors import BadArtefact, GeneralistFailed
from metier.generalists import Question
from metier.generalists.openai_compatible import OpenAICompatible, read_key
from metier.generalists.prices import ListPrice

KEY = "sk-very-secret-4711"
# 100 input tokens at 1 USD and 10 output tokens at 10 USD a million: 0.0002 USD an answer, as the test server reports.
PRICE = ListPrice("test", "", 1.0, 10.0, "test")
COST = 0.0002


def ask(server, cache=None, **changes) -> OpenAICompatible:
    settings = {"timeout_s": 5.0, "max_retries": 3, "backoff_first_s": 0.01, "cache_path": cache, "prompt": "{input}"}
    return OpenAICompatible(model="test", price=PRICE, key=KEY, base_url=server.url, **(settings | changes))


def questions(*inputs: str) -> list[Question]:
    return [Question(f"id {text}", text, ("a", "b")) for text in inputs]


def test_answers_come_in_order_with_tokens_cost_and_latency(chat_server):
    answers = ask(chat_server).answer(questions("x", "y", "z"))
    assert [(answer.id, answer.text) for answer in answers] == [(f"id {t}", f"label of {t}") for t in "xyz"]
    assert all(answer.failure is None and not answer.cached for answer in answers)
    assert {(answer.input_tokens, answer.output_tokens) for answer in answers} == {(100, 10)}
    assert answers[0].cost_usd == pytest.approx(COST)
    assert all(0 < answer.latency_s < 5 for answer in answers)
    assert chat_server.authorisations == {f"Bearer {KEY}"}


def test_the_request_limits_the_answer_and_holds_the_prompt(chat_server):
    ask(chat_server, prompt="Pick: {labels}\nText: {input}", max_output_tokens=7).answer(questions("x"))
    (request,) = chat_server.requests
    assert request == {
        "model": "test",
        "messages": [{"role": "user", "content": "Pick: a\nb\nText: x"}],
        "max_tokens": 7,
    }


def test_concurrency_is_bounded(chat_server):
    inputs = [f"q{i}" for i in range(12)]
    for text in inputs:
        chat_server.plan[text] = [("slow", 0.05)]
    answers = ask(chat_server, max_concurrency=3).answer(questions(*inputs))
    assert len(answers) == 12
    assert chat_server.most_under_way == 3


def test_a_rate_limit_waits_as_long_as_the_server_says(chat_server):
    chat_server.plan["x"] = [("retry", (429, "0.6"))]
    (answer,) = ask(chat_server).answer(questions("x"))
    assert (answer.text, answer.n_attempts) == ("label of x", 2)
    assert chat_server.times[1] - chat_server.times[0] >= 0.6


def test_a_rate_limit_that_does_not_pass_is_a_failure(chat_server):
    chat_server.plan["x"] = [("retry", (429, "0"))] * 9
    (answer,) = ask(chat_server).answer(questions("x"))
    assert (answer.text, answer.failure, answer.n_attempts) == (None, "rate limited", 4)
    assert chat_server.seen["x"] == 4


def test_a_wait_of_hours_stops_the_run(chat_server):
    chat_server.plan["x"] = [("retry", (429, "7200"))]
    with pytest.raises(GeneralistFailed, match="wait 7,200 s"):
        ask(chat_server).answer(questions("x"))


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        (("status", (500, {"error": {"message": "oops"}})), "server error"),
        (("status", (503, {"error": "text"})), "server error"),
        (("garbage", None), "unreadable reply"),
        (("html", None), "unreadable reply"),
        (("not_chat", {"choices": []}), "unreadable reply"),
        (("not_chat", {"choices": [{"message": None}]}), "unreadable reply"),
        (("not_chat", [1, 2]), "unreadable reply"),
        (("reset", None), "connection"),
    ],
)
def test_passing_failures_are_retried_then_counted(chat_server, behaviour, failure):
    chat_server.plan["heals"] = [behaviour] * 3
    chat_server.plan["stays"] = [behaviour] * 4
    heals, stays = ask(chat_server).answer(questions("heals", "stays"))
    assert (heals.text, heals.failure, heals.n_attempts) == ("label of heals", None, 4)
    assert (stays.text, stays.failure, stays.n_attempts) == (None, failure, 4)


def test_a_server_that_hangs_times_out_and_is_counted(chat_server):
    chat_server.plan["x"] = [("hang", 30), ("hang", 30)]
    started = time.monotonic()
    (answer,) = ask(chat_server, timeout_s=0.3, max_retries=1).answer(questions("x"))
    assert (answer.text, answer.failure, answer.n_attempts) == (None, "timeout", 2)
    assert answer.latency_s is None
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        (("refusal", "I cannot."), "refusal"),
        (("filtered", "half"), "refusal"),
        (("empty", None), "empty"),
        (("cut", None), "cut off"),
        (("status", (400, {"error": {"message": "no", "code": "content_filter"}})), "refusal"),
        (("status", (413, {"error": {"message": "too long"}})), "rejected"),
    ],
)
def test_the_models_own_failures_are_not_asked_again(chat_server, behaviour, failure):
    chat_server.plan["x"] = [behaviour]
    (answer,) = ask(chat_server).answer(questions("x"))
    assert (answer.text, answer.failure, answer.n_attempts) == (None, failure, 1)


def test_a_bad_day_drops_nothing(chat_server):
    """Half of all calls fail in turn with all kinds of faults; every item is answered or has its failure."""
    inputs = [f"q{i}" for i in range(60)]
    faults = [
        ("retry", (429, "0.01")),
        ("status", (500, {})),
        ("garbage", None),
        ("reset", None),
        ("hang", 9),
        ("html", None),
    ]
    for place, text in enumerate(inputs):
        chat_server.plan[text] = [faults[place % 6]] * (place % 4)
    answers = ask(chat_server, timeout_s=3.0, max_retries=2, max_concurrency=16).answer(questions(*inputs))
    assert [answer.id for answer in answers] == [f"id {text}" for text in inputs]
    kinds = ["rate limited", "server error", "unreadable reply", "connection", "timeout", "unreadable reply"]
    for place, (text, answer) in enumerate(zip(inputs, answers, strict=True)):
        expected = (None, kinds[place % 6]) if place % 4 == 3 else (f"label of {text}", None)
        assert (answer.text, answer.failure) == expected
        assert answer.n_attempts == min(place % 4, 2) + 1 == chat_server.seen[text]


def test_parts_and_missing_usage_are_understood(chat_server):
    chat_server.plan["x"] = [("parts", "a")]
    chat_server.plan["y"] = [("no_usage", "b")]
    parts, no_usage = ask(chat_server).answer(questions("x", "y"))
    assert parts.text == "a"
    assert (no_usage.text, no_usage.input_tokens, no_usage.cost_usd) == ("b", None, None)


def test_a_second_run_asks_and_costs_nothing(chat_server, tmp_path):
    cache = tmp_path / "deep" / "answers.db"
    first = ask(chat_server, cache).answer(questions("x", "y"))
    second = ask(chat_server, cache).answer(questions("x", "y"))
    assert sum(chat_server.seen.values()) == 2
    assert [replace(answer, cached=True) for answer in first] == second


def test_refusals_are_kept_and_passing_failures_are_not(chat_server, tmp_path):
    chat_server.plan["x"] = [("refusal", "no")]
    chat_server.plan["y"] = [("status", (500, {}))]
    generalist = ask(chat_server, tmp_path / "a.db", max_retries=0)
    assert [answer.failure for answer in generalist.answer(questions("x", "y"))] == ["refusal", "server error"]
    assert [answer.failure for answer in generalist.answer(questions("x", "y"))] == ["refusal", None]
    assert chat_server.seen == {"x": 1, "y": 2}


def test_another_prompt_model_or_limit_is_asked_anew(chat_server, tmp_path):
    base = ask(chat_server, tmp_path / "a.db")
    for generalist in (base, replace(base, model="other"), replace(base, max_output_tokens=5), base):
        generalist.answer(questions("x"))
    assert chat_server.seen["x"] == 3


def test_items_with_the_same_input_are_bought_once(chat_server):
    same = [Question("1", "x", ("a",)), Question("2", "x", ("a",))]
    assert [(answer.id, answer.text) for answer in ask(chat_server).answer(same)] == [
        ("1", "label of x"),
        ("2", "label of x"),
    ]
    assert chat_server.seen["x"] == 1


def test_a_killed_run_resumes(chat_server, tmp_path):
    """kill -9 in the middle; the next run asks only what was not answered."""
    cache = tmp_path / "a.db"
    for i in range(20):
        chat_server.plan[f"q{i}"] = [("hang", 60)] if i >= 10 else []
    code = f"""
        from pathlib import Path
        from metier.generalists import Question
        from metier.generalists.openai_compatible import OpenAICompatible
        from metier.generalists.prices import ListPrice
        OpenAICompatible(
            model="test", price=ListPrice("test", "", 1.0, 10.0, "test"), key={KEY!r}, base_url={chat_server.url!r},
            prompt="{{input}}", cache_path=Path({str(cache)!r}), max_concurrency=2,
        ).answer([Question(f"id q{{i}}", f"q{{i}}", ("a", "b")) for i in range(20)])
    """
    source = str(Path(__file__).parents[2] / "src")
    environ = {**os.environ, "PYTHONPATH": source}
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=environ)
    deadline = time.monotonic() + 60
    # Two calls at once: when both hang, all before them have been kept.
    while not (chat_server.seen["q10"] and chat_server.seen["q11"]) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    chat_server.released.set()
    chat_server.plan.clear()
    answers = ask(chat_server, cache, max_concurrency=2).answer(questions(*(f"q{i}" for i in range(20))))
    assert all(answer.text for answer in answers)
    assert [answer.cached for answer in answers] == [True] * 10 + [False] * 10
    assert all(chat_server.seen[f"q{i}"] == 1 for i in range(10))


def test_the_budget_is_never_exceeded_and_raising_it_resumes(chat_server, tmp_path):
    inputs = [f"q{i}" for i in range(30)]
    worst = (len(b"q10") + 16) * 1e-6 + 20 * 10e-6
    budget = 9 * COST + worst
    generalist = ask(chat_server, tmp_path / "a.db", budget_usd=budget, max_output_tokens=20)
    answers = generalist.answer(questions(*inputs))
    asked = [answer for answer in answers if answer.asked]
    assert len(asked) in (9, 10)
    assert all(answer.failure == "not asked" and answer.n_attempts == 0 for answer in answers if not answer.asked)
    assert sum(answer.cost_usd for answer in asked) <= budget
    assert sum(chat_server.seen.values()) == len(asked)

    again = generalist.answer(questions(*inputs))
    assert sum(answer.asked for answer in again) == len(asked) == sum(chat_server.seen.values())

    full = replace(generalist, budget_usd=1.0).answer(questions(*inputs))
    assert all(answer.text for answer in full)
    assert sum(chat_server.seen.values()) == 30


def test_calls_of_unknown_outcome_count_at_their_worst_case(chat_server, tmp_path):
    """A hung call may have been billed: it uses up budget although it brought nothing."""
    chat_server.plan["x"] = [("hang", 9)] * 9
    worst = (len(b"x") + 16) * 1e-6 + 512 * 10e-6
    generalist = ask(chat_server, tmp_path / "a.db", timeout_s=0.1, max_retries=5, budget_usd=2.5 * worst)
    (answer,) = generalist.answer(questions("x"))
    assert (answer.failure, chat_server.seen["x"]) == ("timeout", 2)
    (answer,) = generalist.answer(questions("x"))
    assert (answer.failure, chat_server.seen["x"]) == ("not asked", 2)


def test_no_budget_asks_nothing(chat_server):
    answers = ask(chat_server, budget_usd=0.0).answer(questions("x", "y"))
    assert [answer.failure for answer in answers] == ["not asked", "not asked"]
    assert not chat_server.seen


@pytest.mark.parametrize("status", [401, 402, 404])
def test_a_refused_key_or_unknown_model_stops_the_run(chat_server, status):
    chat_server.plan["*"] = [("status", (status, {"error": {"message": "denied"}}))] * 99
    with pytest.raises(GeneralistFailed, match=f"HTTP {status}: .*denied"):
        ask(chat_server).answer(questions(*(f"q{i}" for i in range(50))))
    assert sum(chat_server.seen.values()) <= 16


def test_an_account_without_quota_stops_the_run(chat_server):
    chat_server.plan["*"] = [("status", (429, {"error": {"message": "pay", "code": "insufficient_quota"}}))] * 99
    with pytest.raises(GeneralistFailed, match="no quota"):
        ask(chat_server).answer(questions("x"))


def test_an_unreachable_server_stops_the_run_instead_of_failing_every_item(chat_server):
    url = chat_server.url
    chat_server.server_close()
    generalist = OpenAICompatible(
        model="test", price=PRICE, key=KEY, base_url=url, max_retries=3, backoff_first_s=0.001, timeout_s=2
    )
    with pytest.raises(GeneralistFailed, match=r"none succeeded.*check base_url"):
        generalist.answer(questions(*(f"q{i}" for i in range(200))))


def test_the_key_appears_nowhere(chat_server, tmp_path, caplog, capfd):
    """The server echoes the key in errors and in an answer; it is in no message, log, repr, answer or file of ours."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("openai").setLevel(logging.DEBUG)
    cache = tmp_path / "a.db"
    chat_server.plan["x"] = [("status", (500, {"error": {"message": f"bad {KEY}"}}))]
    chat_server.plan["y"] = [("answer", f"your key is {KEY}")]
    generalist = ask(chat_server, cache)
    answers = generalist.answer(questions("x", "y"))
    chat_server.plan["z"] = [("status", (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}))]
    with pytest.raises(GeneralistFailed) as failed:
        generalist.answer(questions("z"))
    assert "Incorrect API key provided: [key]" in str(failed.value)
    captured = capfd.readouterr()
    chain = [failed.value, failed.value.__cause__, failed.value.__context__]
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    said = [repr(generalist), str(answers), caplog.text, captured.out, captured.err, *map(repr, chain)]
    assert not [text for text in said if KEY in text]
    assert KEY.encode() not in stored


def test_credentials_in_the_address_are_not_shown():
    generalist = OpenAICompatible("m", PRICE, KEY, base_url="https://user:hidden@example.org:8000/v1/")
    assert generalist.server == "https://example.org:8000/v1"
    assert generalist.name == "m at example.org"


def test_the_repr_of_a_generalist_hides_user_and_password():
    generalist = OpenAICompatible("m", PRICE, KEY, base_url="https://user:hidden@example.org/v1")
    assert "hidden" not in repr(generalist)
    assert KEY not in repr(generalist)


def test_keys_come_from_the_environment_only():
    assert read_key({"MY_KEY": " k "}, "MY_KEY", "") == "k"
    assert read_key({}, "MY_KEY", "http://localhost:8000/v1")
    with pytest.raises(GeneralistFailed, match="MY_KEY is not set"):
        read_key({}, "MY_KEY", "")


def test_a_file_that_is_no_cache_is_named(chat_server, tmp_path):
    cache = tmp_path / "a.db"
    cache.write_bytes(b"not a database, but long enough to be taken for one" * 40)
    with pytest.raises(BadArtefact, match=r"a\.db: cannot be used"):
        ask(chat_server, cache).answer(questions("x"))


def test_an_answer_that_cannot_be_kept_stops_the_spending(chat_server, tmp_path):
    cache = tmp_path / "a.db"
    generalist = ask(chat_server, cache)
    generalist.answer(questions("x"))
    with sqlite3.connect(cache) as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
    connection.close()
    with pytest.raises(GeneralistFailed, match=r"could not keep an answer.*disk is full"):
        generalist.answer(questions(*(f"q{i}" for i in range(40))))
    assert sum(chat_server.seen.values()) <= 1 + 8


def test_it_works_inside_a_running_event_loop(chat_server):
    import asyncio

    async def notebook():
        return ask(chat_server).answer(questions("x"))

    assert asyncio.run(notebook())[0].text == "label of x"
