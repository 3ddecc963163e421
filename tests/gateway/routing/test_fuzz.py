"""Whatever JSON a client sends, a decision comes back, and never a kept answer that the request does not take."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway.routing.conftest import JSON_FORMAT, TASK, TOOL, Shop, clock, request

from metier.gateway.calls import Route
from metier.gateway.routing.holder import RouterHolder
from metier.gateway.routing.schemas import accepts

VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 40) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["n", "stop", "max_tokens", "response_format", "tools", "tool_choice", "messages", "model", "functions", "logprobs",
     "modalities", "metadata", "temperature", "stream", "new_field", "guided_json"]
)  # fmt: skip
GOOD: Any = st.sampled_from(
    [{}, {"response_format": JSON_FORMAT}, {"tools": [TOOL]}, {"tools": [TOOL], "tool_choice": "required"}]
)


@pytest.fixture(scope="module")
def router(made: Shop) -> RouterHolder:
    """One router for all examples."""
    made.aliases.promote(TASK, made.policy_id, clock())
    return made.holder()


@settings(max_examples=300, deadline=None)
@given(good=GOOD, odd=st.dictionaries(FIELDS, VALUES, max_size=3))
def test_any_request_gets_a_decision(router: RouterHolder, good: dict[str, Any], odd: dict[str, Any]) -> None:
    asked = {**request(**good), **odd}
    assert isinstance(router.is_slow(asked), bool)
    decision = router.decide(asked, "mtr-1")
    assert (decision.written is not None) is (decision.route is Route.KEPT)
    if decision.written is None:
        return
    assert asked.get("n") in (None, 1)
    stops = asked.get("stop") or []
    assert not any(stop and stop in decision.written.text for stop in ([stops] if isinstance(stops, str) else stops))
    wanted = asked.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema" and decision.written.content is not None:
        assert accepts(wanted["json_schema"]["schema"], decision.written.content)
    if decision.written.tool_name is not None:
        assert decision.written.tool_name in [tool["function"]["name"] for tool in asked["tools"]]
        assert orjson.loads(decision.written.arguments or "") == {"label": decision.label}
