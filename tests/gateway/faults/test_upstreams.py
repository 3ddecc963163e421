"""What an upstream may do to a running gateway: the client learns of it in OpenAI's shape, and every call is recorded."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.gateway.conftest import ANSWER
from tests.gateway.faults.serving import PROMPT_KEY, UPSTREAM_KEY, Gateway, Outcome
from tests.gateway.routing.conftest import request as kept_request

from metier.labs.upstream import RunningUpstream


def asked(fault: str = "", stream: bool = False, **more: Any) -> dict[str, Any]:
    """A call that is passed on, with a secret in its prompt, and with what the upstream shall do."""
    messages = [{"role": "user", "content": f"my key is {PROMPT_KEY}, is it any good?"}]
    return {"model": "m", "messages": messages, "stream": stream, "x_fake": {"fault": fault, **more}}


def refused(outcome: Outcome, status: int, code: str) -> None:
    assert (outcome.status, outcome.error["code"]) == (status, code)


def broke_off(outcome: Outcome) -> None:
    """A stream whose last event is an error."""
    assert outcome.status == 200
    assert b"[DONE]" not in outcome.body
    assert outcome.error["type"] in ("api_error", "timeout_error")


CASES: dict[str, tuple[dict[str, Any], Callable[[Outcome], None]]] = {
    "hangs": (asked("hang"), lambda got: refused(got, 504, "upstream_timeout")),
    "hangs within the body": (asked("hang_body"), lambda got: refused(got, 504, "upstream_timeout")),
    "hangs within a stream": (asked("hang_body", stream=True), broke_off),
    "resets": (asked("reset"), lambda got: refused(got, 502, "upstream_broken")),
    "resets within the body": (asked("reset_body"), lambda got: refused(got, 502, "upstream_broken")),
    "resets within a stream": (asked("reset_body", stream=True, tokens_per_s=100), broke_off),
    "cuts a stream short": (asked("truncated", stream=True, tokens_per_s=100), broke_off),
    "garbage": (asked("garbage"), lambda got: refused(got, 502, "upstream_broken")),
    "garbage for a stream": (asked("garbage", stream=True), lambda got: got.check() or None),
    "a web page": (asked("wrong_type"), lambda got: refused(got, 502, "upstream_broken")),
    "no HTTP": (asked("not_http"), lambda got: refused(got, 502, "upstream_broken")),
    "never ends": (asked("endless"), lambda got: refused(got, 504, "upstream_timeout")),
    "a stream that never ends": (asked("endless", stream=True), broke_off),
    "always 500": (asked("error"), lambda got: refused(got, 500, None)),  # type: ignore[arg-type]
    "refuses our key": (asked("unauthorized"), lambda got: got.check() or None),
}


def test_each_fault_is_an_error_in_openais_shape_and_a_trace(served: Gateway) -> None:
    """All at once: none of them may hold up another, nor the calls that are sound."""
    sound = [asked(), asked(stream=True), kept_request()]
    requests = [case[0] for case in CASES.values()] + sound
    with ThreadPoolExecutor(len(requests)) as threads:
        outcomes = list(threads.map(served.call, requests))
    for (name, (_, is_right)), outcome in zip(CASES.items(), outcomes, strict=False):
        assert outcome.broken is None, (name, outcome)
        try:
            is_right(outcome)
        except (AssertionError, KeyError, ValueError) as problem:
            pytest.fail(f"{name}: {problem}; {outcome.status} {outcome.body[-300:]!r}")
        assert outcome.status != 200 or outcome.trace_id
    for outcome, text in zip(outcomes[len(CASES) :], [ANSWER, ANSWER, "money_transfer"], strict=True):
        assert outcome.text == text
    traces = served.wait_for(outcome.trace_id for outcome in outcomes)
    for name, outcome in zip(CASES, outcomes, strict=False):
        evidence = traces[outcome.trace_id or ""]["evidence"]
        assert evidence["error"], name
        assert evidence["status"] == outcome.status, name
        assert traces[outcome.trace_id or ""]["response"] is None, name


def test_a_rate_limit_reaches_the_client_with_its_retry_after(served: Gateway) -> None:
    outcome = served.call(asked("rate_limit", retry_after="61"))
    refused(outcome, 429, "rate_limit_exceeded")
    assert outcome.headers["retry-after"] == "61"
    served.wait_for([outcome.trace_id])


def test_an_upstream_that_fails_half_of_the_time_is_mostly_survived(served: Gateway) -> None:
    """Three attempts, so one call in eight fails; all 40 failing or succeeding has a chance below 1 in 200."""
    requests = [asked("error", fault_share=0.5) for _ in range(40)]
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(served.call, requests))
    for outcome in outcomes:
        outcome.check(ANSWER)
    n_answered = sum(outcome.status == 200 for outcome in outcomes)
    assert n_answered > 20
    assert {outcome.status for outcome in outcomes} <= {200, 500}
    served.wait_for(outcome.trace_id for outcome in outcomes)


def test_an_upstream_that_refuses_connections_and_comes_back(served: Gateway, frontier: RunningUpstream) -> None:
    frontier.refuse()
    try:
        away = served.call(asked())
        refused(away, 502, "upstream_unreachable")
        # What the specialist may answer alone needs no upstream.
        assert served.call(kept_request()).text == "money_transfer"
    finally:
        frontier.listen()
    back = served.call(asked())
    assert back.text == ANSWER
    served.wait_for([away.trace_id, back.trace_id])


@pytest.mark.parametrize("status", [400, 401, 500])
def test_an_upstream_that_repeats_the_key_it_was_sent(served: Gateway, status: int) -> None:
    """Some servers say which key they refuse. It is the gateway's, and no business of the client's."""
    outcome = served.call({**asked(), "model": f"repeat-{status}"})
    assert outcome.status == status
    assert "refused: Bearer" in outcome.error["message"]
    assert UPSTREAM_KEY.encode() not in outcome.body
    assert UPSTREAM_KEY not in str(outcome.headers)
    assert served.key not in str(outcome)
    served.wait_for([outcome.trace_id])
