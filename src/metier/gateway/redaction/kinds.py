"""The kinds of secrets that are known by their form, and how each is found.

A kind is looked for only where its `gate` opens and one of its `triggers` stands in the text: searches for a character or a
short string, so that a text without secrets costs a few microseconds. Every pattern is linear in the text: it begins with a
fixed string, and no part of it can match in more than one way or for more than a bounded number of characters.

Patterns never cross a double quote, and never take half of a JSON escape: JSON text stays JSON text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import methodcaller

# Where a word begins: after anything but a letter or digit, or after the escape of a line break or sign in JSON text.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4}))"
_END = r"(?![A-Za-z0-9_-])"


def anything(_value: str) -> bool:
    return True


# By the rarest sign of a kind's secrets. Hyphens and underscores are common, long words behind them are not.
GATES: dict[str, Callable[[str], object]] = {
    "-": re.compile(r"-[A-Za-z0-9_-]{10}").search,
    "_": re.compile(r"_[A-Za-z0-9_+/=]{16}").search,
    **{sign: methodcaller("__contains__", sign) for sign in "/9AGJz"},
}


@dataclass(frozen=True, slots=True)
class Kind:
    """Every match of `pattern` that `is_secret` takes for one is a secret. `gate` is one of GATES."""

    name: str
    gate: str
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


def _kind(name: str, gate: str, triggers: str, pattern: str, is_secret: Callable[[str], bool] = anything) -> Kind:
    return Kind(name, gate, tuple(triggers.split()), re.compile(pattern), is_secret)


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
        "IA",
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
    _kind("slack", "-", "xox xapp-", rf"{_START}(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{{10,300}}", looks_random),
    _kind("slack", "/", "hooks.slack.com", r"hooks\.slack\.com\\?/services(?:\\?/[A-Za-z0-9]{1,60}){3}"),
    _kind("stripe", "_", "_live_ _test_", rf"{_START}[sr]k_(?:live|test)_[A-Za-z0-9]{{16,255}}"),
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
