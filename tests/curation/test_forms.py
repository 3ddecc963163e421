"""How the frontier model writes its label: what a request asks for, the form learnt, and the answer written again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from metier.artefacts.datasets import AnswerForm
from metier.curation.forms import Answered, asked_form, learn_forms, write_label
from metier.curation.labels import merge_spellings, read_answer, tool_call
from metier.sources.messages import answer_text, parameters

SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
TOOL = {"type": "function", "function": {"name": "assign", "parameters": SCHEMA}}
FORCED = {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "assign"}}}
LABELS = ("billing", "card_payment", "login")

REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {"temperature": 0, "max_tokens": 5},
    "text": {"response_format": {"type": "text"}},
    "object": {"response_format": {"type": "json_object"}},
    "schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
    "tools": {"tools": [TOOL]},
    "forced": FORCED,
    "functions": {"functions": [TOOL["function"]]},
    "odd": {"response_format": "yes", "tools": "no"},
    "grammar": {"guided_json": SCHEMA},
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_trace_and_the_live_request_ask_for_the_same(name: str) -> None:
    live = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True, "user": "u", **REQUESTS[name]}
    assert asked_form(live) == asked_form(parameters(live))
    # Another order of keys and other white space are the same demand.
    turned = dict(reversed(live.items()))
    assert asked_form(orjson.loads(json.dumps(turned, indent=2))) == asked_form(live)


def test_different_demands_have_different_keys() -> None:
    keys = {name: asked_form(request) for name, request in REQUESTS.items()}
    assert keys.pop("text") == keys["plain"] == asked_form(None) == asked_form({}) == "plain"
    assert len(set(keys.values())) == len(keys)
    assert keys["object"] == "json_object"
    other = {"response_format": {"type": "json_schema", "json_schema": {"schema": {**SCHEMA, "required": []}}}}
    assert asked_form(other) != keys["schema"]
    assert asked_form({**FORCED, "tool_choice": "none"}) not in keys.values()
    # What is null or empty is not asked for; the name of a schema changes nothing; nor does the order of tools.
    assert asked_form({"response_format": None, "tools": [], "functions": None}) == "plain"
    renamed = {"response_format": {"type": "json_schema", "json_schema": {"name": "b", "schema": SCHEMA}}}
    assert asked_form(renamed) == keys["schema"]
    second = {"type": "function", "function": {"name": "zap"}}
    assert asked_form({"tools": [TOOL, second]}) == asked_form({"tools": [second, TOOL]})
    # The responses API states the same demand elsewhere.
    assert asked_form({"text": {"format": {"type": "json_schema", "name": "c", "schema": SCHEMA}}}) == keys["schema"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(("response_format", "tools", "tool_choice", "functions", "function_call", "text", "grammar")),
        JSON,
    )
)
def test_any_demand_has_a_key_that_trace_and_request_share(request: dict[str, Any]) -> None:
    assert asked_form(request) == asked_form(parameters(request))


def calls(responses: Sequence[str], asked: str = "plain", template_id: str = "p") -> list[Answered]:
    read = [read_answer(response, 100).label for response in responses]
    counts = {label: read.count(label) for label in read if label is not None}
    spelled = merge_spellings(counts)
    # The dataset's spelling is that of the labels above, as other calls of the task would have it.
    known = {label.replace("_", " ").casefold(): label for label in LABELS}
    return [
        Answered(
            template_id,
            asked,
            response,
            said,
            None if said is None else known.get(said.replace("_", " ").casefold().rstrip("."), spelled[said]),
        )
        for response, said in zip(responses, read, strict=True)
    ]


def only(found: tuple[AnswerForm, ...]) -> AnswerForm:
    assert len(found) == 1
    return found[0]


CONTENT_FORMS = {
    "bare": "{}",
    "quoted": '"{}"',
    "led": "Label: {}",
    "led and quoted": "The category is: '{}'",
    "full stop": "{}.",
    "white space": "\n {}\n",
    "object": '{{"label": "{}"}}',
    "compact": '{{"label":"{}"}}',
    "pretty": '{{\n  "intent": "{}"\n}}',
    "further keys": '{{"version": 2, "label": "{}", "source": "rules"}}',
    "twin values": '{{"team": "billing", "label": "{}"}}',
    "fenced": '```json\n{{"label": "{}"}}\n```',
    "fenced bare": "```\n{}\n```",
    "list": '["{}"]',
}


@pytest.mark.parametrize("name", CONTENT_FORMS)
def test_content_forms_are_learnt_byte_for_byte(name: str) -> None:
    pattern = CONTENT_FORMS[name]
    form = only(learn_forms(calls([pattern.format(label) for label in LABELS * 4]), LABELS))
    assert (form.template_id, form.asked, form.tool_name, form.n, form.share) == ("p", "plain", None, 12, 1.0)
    assert form.spelling == ()
    # A label that was never answered in this wording is written in the same form.
    assert write_label(form, "new one") == pattern.format("new one")


def tool_answer(label: str, **more: object) -> str:
    arguments = json.dumps({"label": label, **more}, indent=1)
    message = {"role": "assistant", "tool_calls": [{"function": {"name": "assign", "arguments": arguments}}]}
    text = answer_text(message)
    assert text is not None
    return text


def test_tool_calls_are_learnt_and_written_as_arguments() -> None:
    responses = [tool_answer(label) for label in LABELS * 3]
    form = only(learn_forms(calls(responses, asked_form(FORCED)), LABELS))
    assert (form.tool_name, form.n, form.share) == ("assign", 9, 1.0)
    assert orjson.loads(write_label(form, 'a "quoted" label')) == {"label": 'a "quoted" label'}
    assert tool_call(responses[0]) == ("assign", orjson.loads(write_label(form, LABELS[0])))
    # The same text as content, where no tool was asked for, is content.
    plain = only(learn_forms(calls(responses), LABELS))
    assert plain.tool_name is None
    assert write_label(plain, LABELS[0]) == responses[0]


def test_the_older_way_of_calling_functions_is_not_imitated() -> None:
    asked = asked_form({"functions": [TOOL["function"]]})
    assert learn_forms(calls([tool_answer(label) for label in LABELS], asked), LABELS) == ()


def test_the_most_frequent_form_wins_and_its_share_counts_every_call() -> None:
    responses = (
        ["billing"] * 6 + ["Label: billing"] * 2 + ["I'm sorry, I cannot say. Please ask again.", '{"a":1,"b":2}']
    )
    form = only(learn_forms(calls(responses), LABELS))
    assert (form.prefix, form.suffix, form.n, form.share) == ("", "", 10, 0.6)


@pytest.mark.parametrize("pattern", [r"\boxed{{{}}}", r"\boxed{{{{{}}}}}", r"\boxed{{\text{{{}}}}}"])
def test_a_boxed_answer_is_the_box_without_the_reasoning(pattern: str) -> None:
    reasons = ("It is not login.", "The invoice says so, not card_payment.", "Hence billing.", "")
    responses = [f"{reason}\n\n{pattern.format(label)}" for reason in reasons for label in LABELS]
    form = only(learn_forms(calls([*responses, "I cannot tell."]), LABELS))
    assert (form.prefix, form.suffix) == tuple(pattern.format("@").split("@"))
    assert form.share == pytest.approx(len(responses) / (len(responses) + 1))
    assert write_label(form, "new one") == pattern.format("new one")


def test_wordings_and_demands_have_forms_of_their_own() -> None:
    both = [
        *calls(["billing", "login"]),
        *calls(['{"label": "billing"}'], "json_object"),
        *calls(["BILLING", "LOGIN"], template_id="q"),
    ]
    found = {(form.template_id, form.asked): form for form in learn_forms(both, LABELS)}
    assert list(found) == [("p", "json_object"), ("p", "plain"), ("q", "plain")]
    assert write_label(found["p", "json_object"], "login") == '{"label": "login"}'
    assert found["p", "plain"].spelling == ()
    # Written in capitals throughout: so is the label that this wording has not answered yet.
    assert dict(found["q", "plain"].spelling) == {label: label.upper() for label in LABELS}
    assert found["q", "plain"].share == 1.0


def test_a_label_of_its_own_spelling_keeps_it() -> None:
    form = only(learn_forms(calls(["billing", "Card payment", "login"] * 3), LABELS))
    assert form.spelling == (("card_payment", "Card payment"),)
    assert form.share == 1.0


def test_json_values_that_are_no_strings_have_room_for_their_like_only() -> None:
    flags = [
        Answered("p", "json_object", f'{{"label": {word}}}', word, word) for word in ("true", "false", "true", "true")
    ]
    form = only(learn_forms(flags, ("true", "false")))
    assert not form.is_json
    assert write_label(form, "false") == '{"label": false}'
    assert learn_forms(flags, ("true", "false", "not sure")) == ()


def test_what_shows_no_label_teaches_no_form() -> None:
    assert learn_forms([], LABELS) == ()
    assert learn_forms(calls(['{"a": 1, "b": 2}', ""]), LABELS) == ()


LABEL = st.text(min_size=1, max_size=12)


@pytest.mark.parametrize("name", ["object", "pretty", "further keys", "fenced", "tool"])
@given(label=LABEL)
def test_json_stays_json_for_any_label(name: str, label: str) -> None:
    asked = asked_form(FORCED) if name == "tool" else "plain"
    answers = [tool_answer(one) if name == "tool" else CONTENT_FORMS[name].format(one) for one in LABELS]
    form = only(learn_forms(calls(answers, asked), LABELS))
    written = write_label(form, label).removeprefix("```json\n").removesuffix("\n```")
    assert label in orjson.loads(written).values()


WRITTEN = st.sampled_from(
    (*CONTENT_FORMS.values(), "{} (sure)", "It is {}", "**{}**", '{{"label": "{}", "score": 0.7}}')
)


@given(
    st.lists(
        st.tuples(WRITTEN, st.sampled_from((*LABELS, "CARD PAYMENT", "naïve", "50% off"))), min_size=1, max_size=25
    )
)
def test_the_form_reproduces_exactly_its_share_of_the_answers(said: list[tuple[str, str]]) -> None:
    made = calls([pattern.format(label) for pattern, label in said])
    classes = sorted({call.label for call in made if call.label is not None and "(" not in call.label})
    found = learn_forms(made, classes)
    assume(found)
    form = only(found)
    same = sum(call.label in classes and write_label(form, str(call.label)) == call.response for call in made)
    assert form.n == len(made)
    assert form.share == same / len(made)
    assert same > 0
