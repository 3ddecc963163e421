"""The kinds of secrets that are known by their form, and how each is found.

A kind is looked for only in a text that holds its `sign`, a rare character, and opens the sign's gate: one search for the
`triggers` of all its kinds, so that a text without secrets costs a few microseconds. Every pattern is linear in the text:
it begins with a fixed string, and no part of it can match in more than one way or for more than a bounded number of
characters.

Patterns never cross a double quote, and never take half of a JSON escape: JSON text stays JSON text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from metier.gateway.redaction.gates import gate

# Where a word begins: after anything but a letter or digit, or after the escape of a line break or sign in JSON text.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4}))"
_END = r"(?![A-Za-z0-9_-])"


def anything(_value: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Kind:
    """Every match of `pattern` that `is_secret` takes for one is a secret. It holds one of `triggers`, and these `sign`."""

    name: str
    sign: str
    triggers: tuple[str, ...]
    pattern: re.Pattern[str]
    is_secret: Callable[[str], bool] = anything


def looks_random(value: str) -> bool:
    """Digits and letters mixed as in a key, not words joined by hyphens: a capital, or a long run without a hyphen."""
    has_digit = any(char.isdigit() for char in value)
    has_capital = any("A" <= char <= "Z" for char in value)
    return has_digit and (has_capital or max(map(len, re.split(r"[-_.]", value))) >= 16)


def _after_prefix(value: str) -> bool:
    return looks_random(value.partition("-")[2])


def _kind(name: str, sign: str, triggers: str, pattern: str, is_secret: Callable[[str], bool] = anything) -> Kind:
    return Kind(name, sign, tuple(triggers.split()), re.compile(pattern), is_secret)


# The forms are those that the vendors give to secret scanners. Lengths have room: vendors change them.
TOKENS: tuple[Kind, ...] = (
    _kind("metier", "_", "mtr_", rf"{_START}mtr_[0-9A-Za-z]{{8}}_[0-9A-Za-z]{{20,200}}"),
    _kind("anthropic", "-", "sk-ant-", rf"{_START}sk-ant-[A-Za-z0-9_-]{{16,400}}"),
    _kind("openrouter", "-", "sk-or-", rf"{_START}sk-or-[A-Za-z0-9_-]{{20,400}}", _after_prefix),
    _kind("openai", "-", "sk-", rf"{_START}sk-(?!ant-|or-)[A-Za-z0-9_-]{{20,400}}", _after_prefix),
    _kind("google", "z", "AIza", rf"{_START}AIza[0-9A-Za-z_-]{{35,60}}"),
    _kind("google", "9", "ya29.", rf"{_START}ya29\.[0-9A-Za-z_-]{{20,2000}}"),
    _kind("google", "-", "GOCSPX-", rf"{_START}GOCSPX-[0-9A-Za-z_-]{{20,80}}"),
    _kind(
        "aws",
        "A",
        "AKIA ASIA ABIA",
        r"(?:(?<![A-Z0-9])|(?<=\\u[0-9A-F]{4}))A(?:KIA|SIA|BIA)[A-Z2-7]{16}(?![A-Za-z0-9])",
    ),
    _kind("github", "_", "ghp_ gho_ ghu_ ghs_ ghr_", rf"{_START}gh[pousr]_[A-Za-z0-9]{{30,255}}"),
    _kind("github", "_", "github_pat_", rf"{_START}github_pat_[A-Za-z0-9_]{{40,255}}"),
    _kind(
        "gitlab",
        "-",
        "glpat- gldt- glrt- glptt- glcbt- glft- glsoat- glimt- glagent- gloas-",
        rf"{_START}gl(?:pat|dt|rt|ptt|cbt|ft|soat|imt|agent|oas)-[A-Za-z0-9_-]{{20,300}}",
    ),
    _kind(
        "slack",
        "-",
        "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xapp-",
        rf"{_START}(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{{10,300}}",
        looks_random,
    ),
    _kind("slack", "/", "/services", r"hooks\.slack\.com\\?/services(?:\\?/[A-Za-z0-9]{1,60}){3}"),
    _kind("stripe", "_", "sk_live_ sk_test_ rk_live_ rk_test_", rf"{_START}[sr]k_(?:live|test)_[A-Za-z0-9]{{16,255}}"),
    _kind("stripe", "_", "whsec_", rf"{_START}whsec_[A-Za-z0-9+/=]{{24,255}}"),
    _kind("huggingface", "_", "hf_ api_org_", rf"{_START}(?:hf|api_org)_[A-Za-z0-9]{{30,100}}"),
    _kind("groq", "_", "gsk_", rf"{_START}gsk_[A-Za-z0-9]{{40,100}}"),
    _kind("replicate", "_", "r8_", rf"{_START}r8_[A-Za-z0-9]{{30,60}}"),
    _kind("npm", "_", "npm_", rf"{_START}npm_[A-Za-z0-9]{{36}}{_END}"),
    _kind("xai", "-", "xai-", rf"{_START}xai-[A-Za-z0-9]{{60,120}}"),
    _kind("perplexity", "-", "pplx-", rf"{_START}pplx-[A-Za-z0-9]{{40,80}}"),
    _kind("nvidia", "-", "nvapi-", rf"{_START}nvapi-[A-Za-z0-9_-]{{40,120}}"),
    _kind("pypi", "-", "pypi-AgE", rf"{_START}pypi-AgE[A-Za-z0-9_-]{{50,1000}}"),
    _kind("sendgrid", "G", "SG.", rf"{_START}SG\.[A-Za-z0-9_-]{{16,32}}\.[A-Za-z0-9_-]{{32,64}}"),
    _kind(
        "jwt",
        "J",
        "eyJ",
        rf"{_START}eyJ[A-Za-z0-9_-]{{10,4000}}\.[A-Za-z0-9_-]{{8,16000}}(?:\.[A-Za-z0-9_-]{{0,16000}}){{1,3}}",
    ),
)
# Hyphens and underscores are common, long words behind them are not: a token with one has this much after its first.
_FOLLOWS = {"-": "[A-Za-z0-9_-]{10}", "_": "[A-Za-z0-9_+/=]{16}"}


def _gated(sign: str) -> tuple[str, re.Pattern[str], tuple[Kind, ...]]:
    kinds = tuple(kind for kind in TOKENS if kind.sign == sign)
    triggers = [trigger for kind in kinds for trigger in kind.triggers]
    return sign, gate(sign, triggers, _FOLLOWS.get(sign, "")), kinds


# Each sign with its gate and the kinds behind it, in the order in which they are looked for.
GATED = tuple(_gated(sign) for sign in "-_/9AGJz")
