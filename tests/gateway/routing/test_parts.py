"""Schemas that clients send, draws, and the two limits that could cut an answer short."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from metier.gateway.calls import Written
from metier.gateway.routing.asking import Failures
from metier.gateway.routing.champions import slow_from
from metier.gateway.routing.parameters import refused_by_answer
from metier.gateway.routing.sampling import is_audited, within_rollout
from metier.gateway.routing.schemas import accepts

ENUM = {"type": "object", "properties": {"label": {"enum": ["a", "b"]}}, "required": ["label"]}
DEEP: Any = {"type": "object"}
for _ in range(100):
    DEEP = {"properties": {"x": DEEP}}


@pytest.mark.parametrize(
    ("schema", "text", "accepted"),
    [
        (ENUM, '{"label": "a"}', True),
        (ENUM, '{"label": "c"}', False),
        (ENUM, "{}", False),
        (ENUM, "a", False),
        ({}, '"anything"', True),
        ({"$defs": {"l": {"enum": ["a"]}}, "$ref": "#/$defs/l"}, '"a"', True),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "const": "a"}, '"a"', True),
        ({"$ref": "http://169.254.169.254/latest"}, '"a"', False),
        ({"$ref": "#/nowhere"}, '"a"', False),
        ({"$ref": "#"}, '"a"', False),
        ({"type": "no such type"}, '"a"', False),
        ({"type": "string", "pattern": "^(a+)+$"}, '"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"', False),
        ({"properties": {"pattern": {"type": "string"}}}, '{"pattern": "x"}', True),
        ({"patternProperties": {"^(a+)+$": {}}}, "{}", False),
        ({"enum": ["x" * 70_000]}, '"a"', False),
        (DEEP, "{}", False),
        (None, '"a"', False),
        ("object", '"a"', False),
        (True, '"a"', False),
        ({"const": object()}, '"a"', False),
    ],
)
def test_a_clients_schema_is_applied_or_nothing_is_accepted(schema: Any, text: str, accepted: bool) -> None:
    for _ in range(2):
        assert accepts(schema, text) is accepted


@pytest.mark.parametrize(
    ("text", "least"), [("food", 2), ("money_transfer", 6), ("ü", 1), ("订单取消", 4), ("a b c d", 7)]
)
def test_an_answer_is_never_thought_shorter_than_its_tokens(text: str, least: int) -> None:
    """At most three letters a token, every other sign one: more than any vocabulary in use needs for a label."""
    assert refused_by_answer(Written(text), {"max_tokens": least - 1}) == "max_tokens"
    assert refused_by_answer(Written(text), {"max_tokens": least}) is None


def test_stop_strings_count_in_the_arguments_of_a_tool_call() -> None:
    written = Written(None, "file_under", '{"label": "food"}')
    assert refused_by_answer(written, {"stop": "}"}) == "stop"
    assert refused_by_answer(written, {"stop": ["END", ""]}) is None


def test_the_two_draws_are_even_and_independent() -> None:
    names = [f"{i:032x}" for i in range(4000)]
    audited = [is_audited(name, 0.25) for name in names]
    within = [within_rollout("intents", name, 0.5) for name in names]
    assert statistics.mean(audited) == pytest.approx(0.25, abs=0.03)
    assert statistics.mean(within) == pytest.approx(0.5, abs=0.035)
    both = statistics.mean(a and w for a, w in zip(audited, within, strict=True))
    assert both == pytest.approx(0.125, abs=0.025)
    assert within != [within_rollout("others", name, 0.5) for name in names]
    assert within_rollout("t", "\ud800", 1.0)
    assert within_rollout("t", "\ud800", 0.999999999)


class _Timed:
    """A predictor that takes a fixed time and so much a character, on a clock of its own."""

    classes_ = ("a",)

    def __init__(self, fixed_s: float, per_char_s: float) -> None:
        self.now, self.fixed_s, self.per_char_s = 0.0, fixed_s, per_char_s

    def answer(self, text: str) -> None:
        self.now += self.fixed_s + self.per_char_s * len(text)

    def clock(self) -> float:
        return self.now


def test_from_which_length_an_answer_is_slow() -> None:
    fast = _Timed(0.0002, 1e-7)
    assert slow_from(fast.answer, fast.clock) == pytest.approx(8000, abs=2)
    slow = _Timed(0.002, 0)
    assert slow_from(slow.answer, slow.clock) == 0
    even = _Timed(0.0002, 0)
    assert slow_from(even.answer, even.clock) > 100_000


def test_failures_are_written_once_a_minute_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    failures = Failures(clock=lambda: now[0])
    for now[0] in (0.0, 1.0, 59.0, 61.0, 62.0):
        failures.add("it broke")
    assert failures.n == 5
    assert [record.getMessage().split("(")[1].split(" ")[0] for record in caplog.records] == ["1", "3"]
