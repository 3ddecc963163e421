"""Finds secrets in a text and puts `[REDACTED:kind]` in their place.

Why not a library: detect-secrets, the best known, says on which line of a file a secret may be, not from where to where,
and took 5 ms for a kilobyte of prose, a thousand times what a call can spare (docs/keys.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from metier.gateway.redaction import assignments, private_keys
from metier.gateway.redaction.kinds import GATED, TOKENS, Kind

KINDS = tuple(dict.fromkeys([*(kind.name for kind in TOKENS), private_keys.KIND, *assignments.KINDS]))


def mark(kind: str) -> str:
    """What stands for a secret. Nothing of the secret is in it, not even whether two of them are the same."""
    return f"[REDACTED:{kind}]"


def redact_secrets(text: str) -> str:
    """`text` without its secrets. Done twice, it changes nothing more; JSON text stays JSON text of the same shape."""
    if private_keys.GATE in text and private_keys.TRIGGER in text:
        text = private_keys.redact_private_keys(text, mark(private_keys.KIND))
    # Before the tokens: a password that is a token goes as a whole.
    text = assignments.redact_urls(text, mark)
    for sign, gate, kinds in GATED:
        if sign in text and gate.search(text):
            for kind in kinds:
                if any(trigger in text for trigger in kind.triggers):
                    text = kind.pattern.sub(_replacer(kind), text)
    return assignments.redact_named(text, mark)


def _replacer(kind: Kind) -> Callable[[re.Match[str]], str]:
    words = mark(kind.name)

    def replaced(match: re.Match[str]) -> str:
        return words if kind.is_secret(match[0]) else match[0]

    return replaced
