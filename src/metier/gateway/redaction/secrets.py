"""Finds secrets in a text and puts `[REDACTED:kind]` in their place.

Why not a library: detect-secrets, the best known, says on which line of a file a secret may be, not from where to where,
and took 5 ms for a kilobyte of prose, a thousand times what a call can spare (docs/keys.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from metier.gateway.redaction import assignments, private_keys
from metier.gateway.redaction.kinds import GATES, TOKENS, Kind

_BY_GATE: dict[str, list[Kind]] = {gate: [kind for kind in TOKENS if kind.gate == gate] for gate in GATES}
KINDS = tuple(dict.fromkeys([
    *(kind.name for kind in TOKENS), private_keys.KIND, assignments.URL_PASSWORD.kind,
    *(rule.kind for rule in assignments.RULES),
]))  # fmt: skip
# The only letter whose lower case has two characters.
_LONGER_IN_LOWER_CASE = "İ"


def mark(kind: str) -> str:
    """What stands for a secret. Nothing of the secret is in it, not even whether two of them are the same."""
    return f"[REDACTED:{kind}]"


def redact_secrets(text: str) -> str:
    """`text` without its secrets. Done twice, it changes nothing more; JSON text stays JSON text of the same shape."""
    if private_keys.GATE in text and private_keys.TRIGGER in text:
        text = private_keys.redact_private_keys(text, mark(private_keys.KIND))
    # Before the tokens: a password that is a token goes as a whole.
    if "@" in text and ":" in text:
        text = _apply(assignments.URL_PASSWORD, text, text)
    for gate, opens in GATES.items():
        if opens(text):
            for kind in _BY_GATE[gate]:
                if any(trigger in text for trigger in kind.triggers):
                    text = kind.pattern.sub(_replacer(kind), text)
    has_sign = ":" in text or "=" in text
    lowered = lower(text)
    for rule in assignments.RULES:
        if has_sign or not rule.needs_sign:
            changed = _apply(rule, text, lowered)
            if changed is not text:
                text, lowered = changed, lower(changed)
    return text


def lower(text: str) -> str:
    """`text` in lower case, every character in its place."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text.replace(_LONGER_IN_LOWER_CASE, "I").lower()


def _apply(rule: assignments.Rule, text: str, lowered: str) -> str:
    return assignments.apply(rule, text, lowered, mark(rule.kind))


def _replacer(kind: Kind) -> Callable[[re.Match[str]], str]:
    words = mark(kind.name)

    def replaced(match: re.Match[str]) -> str:
        return words if kind.is_secret(match[0]) else match[0]

    return replaced
