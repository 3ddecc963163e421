"""The gates that make redaction cheap never hide a secret: every search that they spare would have found nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from metier.gateway.redaction import assignments, kinds, redact_secrets
from metier.gateway.redaction.assignments import lower
from metier.gateway.redaction.places import SIGNS, Assigned, ends
from metier.gateway.redaction.secrets import mark

RULES = assignments._RULES
ASSIGNED = [rule for rule in RULES if rule.may_hold is None]
WORDS = sorted({word for rule in ASSIGNED for word in rule.words})
ANYWHERE = ["{}", "say {} now", "“{}”", '{{"a": "{}"}}', "x\\n{}", "a-b_c/9AGJz {}", "k={}&b", "{} İı"]


def any_case(word: str) -> st.SearchStrategy[str]:
    """The word in any case, and with the letters that look like its own to `re` or to str.lower."""
    alike = {"i": "iIİı", "k": "kK\u212a", "s": "sSſ"}
    return st.tuples(*(st.sampled_from(alike.get(char, char + char.upper())) for char in word)).map("".join)


separators = st.text(alphabet=" \t\n\\\"'`\u00a0x", max_size=7)
values = st.sampled_from(
    ["hunter2!", "'abcd'", '"9f8e7d6c5b4a39281706"', "Bearer abcdef1", "basic YWxhZGRpbjpvcGVu", "é", ""]
)
verbs = st.sampled_from(["is", "was", "ist", "é", "es", "of"]).flatmap(any_case)
pieces = st.one_of(
    st.sampled_from([*WORDS, "bearer", "api_", "Access-", " ", "\n"]).flatmap(any_case),
    verbs,
    separators,
    values,
    st.sampled_from([":", "=", ":=", "=>", "==", "aB3dE5gH7jK9mN1pQ2", "@h", "://u:pw1", "İ"]),
)
sentences = st.lists(pieces, max_size=9).map("".join)
told = st.tuples(
    st.sampled_from(["password", "passwort", "senha", "contraseña"]).flatmap(any_case),
    st.sampled_from([" ", "  ", "\t\n", "\u00a0"]), verbs, st.sampled_from([" ", ": ", " : ", "    "]), values,
).map("".join)  # fmt: skip


@pytest.mark.parametrize("kind", kinds.TOKENS, ids=lambda kind: f"{kind.name} {kind.triggers[0]}")
def test_whatever_a_pattern_matches_opens_its_gate(kind: kinds.Kind) -> None:
    """Strings made from the pattern itself: the shortest that it allows, too."""
    gates = {sign: gate for sign, gate, _ in kinds.GATED}
    # A look-behind says nothing of the string itself.
    pattern = kind.pattern.pattern.replace(kinds._START, "").replace(r"(?:(?<![A-Z0-9])|(?<=\\u[0-9A-F]{4}))", "")

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(
        st.from_regex(re.compile(re.sub(r"\d{3,}\}", "90}", pattern), re.ASCII), fullmatch=True),
        st.sampled_from(ANYWHERE),
    )
    def check(token: str, frame: str) -> None:
        text = frame.format(token)
        assert kind.sign in text
        assert gates[kind.sign].search(text)
        assert any(trigger in text for trigger in kind.triggers)

    check()


def test_every_kind_stands_behind_a_gate() -> None:
    assert {kind for _, _, behind in kinds.GATED for kind in behind} == set(kinds.TOKENS)


@settings(max_examples=400, deadline=None)
@given(sentences | told | st.tuples(sentences, told, sentences).map("".join))
@example("password ıſ hunter2!")
@example('"pwd\\\\\\\\"    : 123456')
def test_without_gates_no_more_is_found(text: str) -> None:
    """The same rules on all places of all their words."""
    without = text
    if ":" in text:
        without = assignments._without(assignments._URL_PASSWORD, text, ends((":",), text), mark)
    for kind in kinds.TOKENS:
        without = kind.pattern.sub(
            lambda match, kind=kind: mark(kind.name) if kind.is_secret(match[0]) else match[0], without
        )
    for rule in RULES:
        lowered = lower(without)
        places = [end for end in ends(rule.words, lowered) if assignments._stands_for_itself(lowered, end)]
        without = assignments._without(rule, without, places, mark)
    assert redact_secrets(text) == without


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(WORDS) | separators | st.sampled_from(SIGNS), max_size=9).map("".join))
def test_words_before_a_sign_are_found_from_the_sign(text: str) -> None:
    before = re.compile(r"(?:\\*[\"'`])?\s{0,4}[:=]")
    assert Assigned(WORDS).ends(text) == sorted({end for end in ends(WORDS, text) if before.match(text, end)})
