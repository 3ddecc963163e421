"""Takes secrets out of free text before it is logged. Stricter than for traces: nobody learns from a log line, so one word
too many that is masked does no harm."""

from __future__ import annotations

import re
from collections.abc import Callable

from metier.gateway.redaction.secrets import redact_secrets

MASK = "[REDACTED]"
_PATTERNS = (
    # scheme://user:password@host, up to the last @: passwords in URLs are often not escaped.
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,30}://[^\s:/@]*):\S*@"), rf"\1:{MASK}@"),
    # Whatever is assigned to such a name, even if it looks like a word.
    (
        re.compile(
            r"(?i)((?:authorization|cookie|api[-_ ]?key|access[-_]?token|token|secret|passw(?:or)?d|passphrase|pwd)"
            r"[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:(?:bearer|basic)\s+)?)(?!\[REDACTED)[^\s\"',;&]+"
        ),
        rf"\1{MASK}",
    ),
)


def masked(text: str, redact: Callable[[str], str] = redact_secrets) -> str:
    """The text as `redact` leaves it, without passwords in URLs and without what is assigned to a secret's name."""
    text = redact(text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
