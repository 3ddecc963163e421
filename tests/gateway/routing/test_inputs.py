"""What a specialist is asked is what curation would have made of the same call."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metier.artefacts.tasks import Template, TemplateMessage
from metier.curation.texts import clean
from metier.errors import MissingExtra
from metier.gateway.calls import CallRecord, Reason, Route
from metier.gateway.recording.traces import LineMaker
from metier.gateway.redaction import redactor
from metier.gateway.routing.inputs import input_reader, prompt_redactor, was_scrubbed
from metier.gateway.routing.table import AuditRecogniser, RoutingTable
from metier.mining.matching import build_matcher
from metier.mining.prompts import prompt_of, read_prompt
from metier.mining.recognition import build_recogniser

SYSTEM = "Sort each message of our customers into exactly one topic of the list below, in lower case, without quotes."
PLAIN = Template("t", (TemplateMessage("system", (SYSTEM,)), TemplateMessage("user", ("Message: ", ""))), 900)
KEY = "sk-ant-api03-" + "Ab3dEf6hIj9kLm2nOp5q" * 2
KEYED = f"{SYSTEM} Your service key is {KEY}."


def asked(text: str, system: str = SYSTEM) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": f"Message: {text}"}]
    return {"model": "m", "messages": messages}


def example_of(request: dict[str, Any], template: Template) -> str:
    """The input that curation makes of the call, by way of its trace."""
    trace = LineMaker(redactor()).line(CallRecord("mtr-1", "/v1/chat/completions", 0.0, request=request)).trace
    assert trace is not None
    matched = build_matcher((template,))(read_prompt(trace.messages))
    assert matched is not None
    return clean(matched[1])


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60))
@example("  cafe\u0301 bill\n")
@example(f"my key {KEY} is refused")
@example('{"password": "kT9x!pQ2"} "quoted" \\ and more')
@example("a nul \x00 within")
@example("THE NORTH SHOP\r\n\tNo 12, Jalan Sri\n\n  total   RM 9.00 \r\n")
def test_a_live_input_is_read_as_an_example(text: str) -> None:
    prompt = prompt_of(asked(text)["messages"])
    assert prompt is not None
    matched = build_matcher((PLAIN,))(prompt)
    assert matched is not None
    read = input_reader(redacts_pii=False, is_scrubbed=False)
    assert read(matched[1]) == example_of(asked(text), PLAIN)


@pytest.mark.parametrize(("redacts", "scrubbed"), [(True, False), (False, True), (True, True)])
def test_personal_data_goes_where_it_was_taken_out_of_the_examples(redacts: bool, scrubbed: bool) -> None:
    pytest.importorskip("presidio_analyzer")
    read = input_reader(redacts_pii=redacts, is_scrubbed=scrubbed)
    assert read(f" mail ana@example.com, key {KEY}") == "mail <EMAIL>, key [REDACTED:anthropic]"
    assert input_reader(redacts_pii=False, is_scrubbed=False)("mail ana@example.com") == "mail ana@example.com"


def test_a_manifest_says_whether_a_dataset_was_scrubbed() -> None:
    assert was_scrubbed({"scrub_pii": True})
    assert not was_scrubbed({"scrub_pii": False})
    assert not was_scrubbed({})


def test_a_prompt_with_a_secret_matches_the_template_mined_from_its_traces(shop: Any) -> None:
    keyed = dataclasses.replace(PLAIN, messages=(TemplateMessage("system", (redactor()(KEYED),)), *PLAIN.messages[1:]))
    assert "[REDACTED:" in keyed.messages[0].literals[0]
    table = _table(shop, keyed)
    found = table.recognise(asked("rain tomorrow", KEYED)["messages"], "m")
    assert found is not None
    assert (found.input, found.exact) == ("rain tomorrow", True)
    # The redacted prompt itself is recognised as well, and what is like nothing is not.
    assert table.recognise(asked("rain tomorrow", redactor()(KEYED))["messages"], "m") is not None
    assert table.recognise([{"role": "user", "content": "hello"}], "m") is None
    # Redacting takes longer than the event loop should wait.
    assert not table.glance(asked("rain tomorrow", KEYED)["messages"], "m").is_sure


def _table(shop: Any, template: Template) -> RoutingTable:
    table: RoutingTable = shop.holder().table
    audit = shop.store.load(shop.store.manifest("audit", shop.audit_id))
    row = audit.tasks[0]
    changed = dataclasses.replace(row, task=dataclasses.replace(row.task, templates=(template,)))
    recogniser = build_recogniser(dataclasses.replace(audit, tasks=(changed,)), seed=0)
    one = AuditRecogniser(shop.audit_id, recogniser, frozenset({row.task.name}), frozenset({row.task.name}))
    redact = prompt_redactor([template], redacts_pii=False)
    return dataclasses.replace(table, recognisers=(one,), redact=redact)


def test_prompts_are_redacted_only_where_templates_were() -> None:
    marked = dataclasses.replace(PLAIN, messages=(TemplateMessage("user", ("Dear <NAME>, sort this: ", "")),))
    assert prompt_redactor([PLAIN], redacts_pii=True) is None
    assert prompt_redactor([marked], redacts_pii=False) is None
    try:
        found = prompt_redactor([PLAIN, marked], redacts_pii=True)
    except MissingExtra:
        pytest.skip("the extra 'pii' is not installed")
    assert found is not None
    assert found("Dear Ana Lima, sort this: x") == "Dear <NAME>, sort this: x"


def test_an_empty_input_is_none_that_a_certificate_speaks_of(shop: Any) -> None:
    messages = shop_request(shop, "")
    decision = shop.holder().decide({"model": "m", "messages": messages}, "mtr-1")
    assert (decision.route, decision.reason) == (Route.ESCALATED, Reason.OUT_OF_DISTRIBUTION)


def shop_request(shop: Any, text: str) -> list[dict[str, str]]:
    """The prompt of the shop's own template."""
    audit = shop.store.load(shop.store.manifest("audit", shop.audit_id))
    template = audit.tasks[0].task.templates[0]
    return [{"role": one.role, "content": text.join(one.literals)} for one in template.messages]


def test_a_caller_may_say_which_task_it_is(shop: Any) -> None:
    shop.audit("2026-02-01T00:00:00+00:00", "topics", "invoices")
    router = shop.holder()
    messages = shop_request(shop, "what is my bank account balance")
    assert router.decide({"model": "m", "messages": messages}, "mtr-1", "intents").task == "intents"
    assert router.decide({"model": "m", "messages": messages}, "mtr-1", "topics").task == "topics"
    # A name that no task has is as good as none.
    assert router.decide({"model": "m", "messages": messages}, "mtr-1", "no such task").task == "intents"
    assert router.decide({"model": "m", "messages": messages}, "mtr-1").task == "intents"
