"""Secrets of every kind are found wherever they stand; JSON stays JSON; ordinary texts stay as they are."""

from __future__ import annotations

import base64
import json
import random
import string
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metier.artefacts.keys import new_secret_key
from metier.gateway.redaction.assignments import lower
from metier.gateway.redaction.secrets import KINDS, redact_secrets

ALNUM = string.ascii_letters + string.digits
URLSAFE = ALNUM + "-_"


def chars(rng: random.Random, alphabet: str, n: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(n))


def segment(rng: random.Random, n_bytes: int) -> str:
    return base64.urlsafe_b64encode(rng.randbytes(n_bytes)).rstrip(b"=").decode()


def pem(rng: random.Random, kind: str = "RSA ") -> str:
    body = base64.encodebytes(rng.randbytes(300)).decode()
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}-----END {kind}PRIVATE KEY-----"


# kind -> how such a secret is made (lengths as the vendors issue them).
MAKERS: dict[str, list[Callable[[random.Random], str]]] = {
    "metier": [lambda rng: new_secret_key()],
    "anthropic": [lambda rng: "sk-ant-api03-" + chars(rng, URLSAFE, 93) + "AA"],
    "openrouter": [lambda rng: "sk-or-v1-" + chars(rng, "0123456789abcdef", 64)],
    "openai": [
        lambda rng: "sk-" + chars(rng, ALNUM, 20) + "T3BlbkFJ" + chars(rng, ALNUM, 20),
        lambda rng: "sk-proj-" + chars(rng, URLSAFE, 74) + "T3BlbkFJ" + chars(rng, URLSAFE, 73) + "A",
        lambda rng: "sk-svcacct-" + chars(rng, URLSAFE, 74) + "T3BlbkFJ" + chars(rng, URLSAFE, 73) + "A",
        lambda rng: "sk-" + chars(rng, "0123456789abcdef", 32),
    ],
    "google": [
        lambda rng: "AIza" + chars(rng, URLSAFE, 35),
        lambda rng: "ya29." + chars(rng, URLSAFE, 120),
        lambda rng: "GOCSPX-" + chars(rng, URLSAFE, 28),
    ],
    "aws": [lambda rng: rng.choice(("AKIA", "ASIA")) + chars(rng, string.ascii_uppercase + "234567", 16)],
    "github": [
        lambda rng: f"gh{rng.choice('pousr')}_" + chars(rng, ALNUM, 36),
        lambda rng: "github_pat_" + chars(rng, ALNUM, 22) + "_" + chars(rng, ALNUM, 59),
    ],
    "gitlab": [lambda rng: rng.choice(("glpat-", "gldt-", "glrt-", "glptt-")) + chars(rng, URLSAFE, 20)],
    "slack": [
        lambda rng: f"xoxb-{rng.randrange(10**11, 10**12)}-{rng.randrange(10**12, 10**13)}-" + chars(rng, ALNUM, 24),
        lambda rng: (
            "https://hooks.slack.com/services/T"
            + chars(rng, ALNUM, 8)
            + "/B0"
            + chars(rng, ALNUM, 8)
            + "/"
            + chars(rng, ALNUM, 24)
        ),
    ],
    "stripe": [
        lambda rng: f"{rng.choice('sr')}k_{rng.choice(('live', 'test'))}_" + chars(rng, ALNUM, rng.choice((24, 99))),
        lambda rng: "whsec_" + chars(rng, ALNUM, 32),
    ],
    "huggingface": [lambda rng: "hf_" + chars(rng, ALNUM, 34)],
    "groq": [lambda rng: "gsk_" + chars(rng, ALNUM, 52)],
    "replicate": [lambda rng: "r8_" + chars(rng, ALNUM, 37)],
    "npm": [lambda rng: "npm_" + chars(rng, ALNUM, 36)],
    "xai": [lambda rng: "xai-" + chars(rng, ALNUM, 80)],
    "perplexity": [lambda rng: "pplx-" + chars(rng, ALNUM, 48)],
    "nvidia": [lambda rng: "nvapi-" + chars(rng, URLSAFE, 64)],
    "pypi": [lambda rng: "pypi-AgEIcHlwaS5vcmc" + chars(rng, URLSAFE, 150)],
    "sendgrid": [lambda rng: "SG." + chars(rng, URLSAFE, 22) + "." + chars(rng, URLSAFE, 43)],
    "jwt": [
        lambda rng: "eyJ" + segment(rng, 24) + ".eyJ" + segment(rng, 60) + "." + segment(rng, 32),
        lambda rng: "eyJ" + segment(rng, 24) + ".eyJ" + segment(rng, 60) + ".",
    ],
    "private_key": [
        pem,
        lambda rng: pem(rng, ""),
        lambda rng: pem(rng, "OPENSSH "),
        lambda rng: pem(rng, "ENCRYPTED "),
    ],
}
# Secrets known by what stands before them: the text, with the secret as the group to look for.
CONTEXTS: dict[str, list[str]] = {
    "url_password": ["postgresql://metier:{}@db.example.org/traffic", "redis://:{}@cache:6379", "https:\\/\\/u:{}@h\\/"],
    "authorization": ["Authorization: Bearer {}", "curl -H 'authorization: Basic {}'", "use bearer {} here"],
    "password": ["password={}", '{{"password": "{}"}}', "DB_PASSWORD='{}'", "Passwd: {}", "my password is {}",
        "?pwd={}&a=b"],
    "token": ["api_key={}", "x-api-key: {}", '{{"client_secret":"{}"}}', "OPENAI_API_KEY=\"{}\"", "access_token: '{}'"],
}  # fmt: skip
FRAMES = [
    "{}", "my key is {}, does it work?", "({})", "first\n{}\nlast", "a\t{}", "“{}”", "x={}", "'{}'", "https://a.example/?k={}",
]  # fmt: skip

seeds = st.integers(0, 2**32)


def test_every_kind_is_tried_here() -> None:
    assert {*MAKERS, *CONTEXTS} == set(KINDS)


@pytest.mark.parametrize("kind", MAKERS)
@settings(max_examples=25, deadline=None)
@given(seed=seeds, frame=st.sampled_from(FRAMES))
def test_tokens_are_found_in_any_frame_and_in_json_of_it(kind: str, seed: int, frame: str) -> None:
    rng = random.Random(seed)
    for make in MAKERS[kind]:
        secret = make(rng)
        text = frame.format(secret)
        inner = secret[len(secret) // 3 :]
        done = redact_secrets(text)
        assert inner not in done, (secret, done)
        assert "[REDACTED:" in done
        for outer in (
            json.dumps({"content": text}),
            json.dumps({"content": text}, ensure_ascii=False),
            json.dumps({"arguments": json.dumps({"content": text})}),
        ):
            clean = redact_secrets(outer)
            assert json.dumps(inner)[1:-1] not in clean, (outer, clean)
            assert json.dumps(json.dumps(inner)[1:-1])[1:-1] not in clean
            json.loads(clean)


@pytest.mark.parametrize("kind", CONTEXTS)
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_values_are_found_by_what_stands_before_them(kind: str, seed: int) -> None:
    rng = random.Random(seed)
    for context in CONTEXTS[kind]:
        secret = chars(rng, ALNUM, 14) + chars(rng, string.digits, 2) + chars(rng, string.ascii_letters, 4)
        text = context.format(secret)
        done = redact_secrets(text)
        assert secret not in done, (text, done)
        outer = json.dumps({"content": text, "arguments": json.dumps({"content": text})})
        assert secret not in redact_secrets(outer), outer
        json.loads(redact_secrets(outer))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("api_key=sk-ant-api03-" + "aB3dE5gH7jK9" * 7, "api_key=[REDACTED:anthropic]"),
        ('{"password": 123456, "max_tokens": 100}', '{"password": "[REDACTED:password]", "max_tokens": 100}'),
        ('{"password": null, "a": 1}', '{"password": null, "a": 1}'),
        ("https://me:p@ss@host/x", "https://me:[REDACTED:url_password]@host/x"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEAx5\nabc", "[REDACTED:private_key]"),
        ("password: hunter2!", "password: [REDACTED:password]"),
        ("Meu senha é Abc12345.", "Meu senha é [REDACTED:password]"),
    ],
)  # fmt: skip
def test_what_is_left_reads_like_this(text: str, expected: str) -> None:
    assert redact_secrets(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "My password does not work, and the password is wrong.",
        "The password must be changed. Password: required",
        '{"type":"object","properties":{"password":{"type":"string"},"token":{"type":"string"}}}',
        '{"max_tokens":100,"completion_tokens": 12,"token_count": 5}',
        "api_key = os.environ['OPENAI_API_KEY']",
        "password = getpass.getpass()",
        "token = tokenizer.encode(text)[0]",
        "export OPENAI_API_KEY=$KEY; url=postgresql://user:${PASSWORD}@host/db",
        "https://user@host:8080/path?key=value",
        "http://localhost:8080/@scope/package",
        "risk-based-authentication-framework-2026 and task-2-of-the-project-plan",
        '<div class="sk-folding-cube-and-other-spinners">',
        "-----BEGIN PRIVATE KEY----- is what such a file begins with.",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "The bearer of good news has arrived with authentication-and-authorisation.",
        "eyJust kidding. AIzawa is a name. hf_hub_download is a function.",
        '["the password:"}],[{"abcdefgh":1}',
        '[{"c":"password:"}]},{"a":1}',
        "secret: the secret of a good soup is time",
        "Order key: 12345, invoice 2026-11-22, total 1,234.56 USD",
        "Commit 3f786850e387550fdab836ed7e6dc881de23001b fixes it.",
        "id 123e4567-e89b-12d3-a456-426614174000",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact_secrets(text) == text


_pieces = st.sampled_from(
    [
        "password", "token", "api_key", "secret", ":", "=", " ", '"', "'", "\\", "\n", "{", "}", "[", "]", ",", "123456",
        "hunter2!", "Bearer ", "Authorization: ", "://u:", "@h", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----",
        "MIIEpAIBAAKCAQEAx5Abcd", "sk-proj-aB3dE5gH7jK9aB3dE5gH7jK9", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.abcdef",
        "\\\\", "/", "null", "é", "İ", "is ", "-1.5e3", "[REDACTED:token]",
    ]
)  # fmt: skip
_texts = st.lists(_pieces, max_size=14).map("".join)
_names = st.sampled_from(["password", "token", "api_key", "a", "authorization", "content"])
_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    """What a value is made of; a number counts as a string, for it becomes one where it is a password."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return value if value is None or isinstance(value, bool) else "text"


@settings(max_examples=400, deadline=None)
@given(value=_values, spaced=st.booleans(), ascii_only=st.booleans())
def test_json_stays_json_of_the_same_shape(value: Any, spaced: bool, ascii_only: bool) -> None:
    text = json.dumps(value, separators=None if spaced else (",", ":"), ensure_ascii=ascii_only)
    assert shape(json.loads(redact_secrets(text))) == shape(value)
    nested = json.loads(redact_secrets(json.dumps({"arguments": text})))
    assert shape(json.loads(nested["arguments"])) == shape(value)


@settings(max_examples=300, deadline=None)
@given(text=_texts)
@example(text="://sk-proj-aB3dE5gH7jK9aB3dE5gH7jK9@h")
@example(text="://sk-proj-aB3dE5gH7jK9aB3dE5gH7jK9:hunter2@h")
def test_twice_is_as_once(text: str) -> None:
    once = redact_secrets(text)
    assert redact_secrets(once) == once


def test_a_password_after_a_key_as_name_is_found() -> None:
    assert redact_secrets("a://sk-proj-aB3dE5gH7jK9aB3dE5gH7jK9:hunter2@h") == (
        "a://[REDACTED:openai]:[REDACTED:url_password]@h"
    )


@pytest.mark.parametrize(
    "piece",
    [
        "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEAx5", "://a:", "://a:b", "sk-",
        "eyJ", "eyJaaaaaaaaaaaa.", "eyJaaaaaaaaaaaa.bbbbbbbbb", "password:", 'password="', "password is ",
        "api_key=\\", "Bearer ", "sk-a1",
        "hooks.slack.com/services/a", "-----", "_", "AKIA", "token='a1", "SG.aaaaaaaaaaaaaaaaaaaa.", "\\", "a",
        "authorization: basic ",
    ],
)  # fmt: skip
def test_hostile_texts_take_no_more_work_than_their_length(piece: str) -> None:
    """Counts the steps of Python, not seconds; the patterns' own steps are bounded by construction."""
    text = piece * (400_000 // len(piece))
    redact_secrets(text)


def test_lower_case_keeps_every_character_in_its_place() -> None:
    every = "".join(chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)
    assert len(lower(every)) == len(every)
    assert lower("İPASSWORD: x").index("password") == 1
