"""An upstream's headers: what cannot be written, or would be evidence, does not go on."""

from __future__ import annotations

from metier.gateway.evidence import safe
from metier.gateway.exchange import checked

GOOD = [(b"content-type", b"application/json"), (b"x-title", b"caf\xe9\ttab")]


def test_headers_in_order_pass_unchanged() -> None:
    assert checked(GOOD) == GOOD
    assert checked([]) == []


def test_what_would_break_the_answer_is_left_out() -> None:
    bad = [
        (b"x-a", b"1\r\nx-b: 2"),
        (b"x c", b"1"),
        (b"x-d", b"\x00"),
        (b"", b"x\x7f"),
        (b"x-e:", b"1"),
        (b"x(f)", b"1"),
    ]
    assert checked([*bad, *GOOD]) == GOOD


def test_evidence_of_another_gateway_is_left_out() -> None:
    assert checked([(b"X-Metier-Route", b"kept"), *GOOD]) == GOOD
    assert checked([(b"x-metier-route", b"kept"), (b"x-a", b"\x01"), *GOOD]) == GOOD


def test_a_value_of_our_own_is_made_safe() -> None:
    assert safe("intents") == b"intents"
    assert safe("a\r\nb: c") == b"a??b: c"
    assert safe("naïve \u2028 \U0001f600 ") == b"na\xefve ? ?"
    assert safe("") == b""
