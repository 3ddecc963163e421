"""Takes secrets out of free text before it is logged. Stricter than for traces: nobody learns from a log line, so one word
too many that is masked does no harm."""

from __future__ import annotations

import re
from collections.abc import Callable

from metier.gateway.redaction.secrets import redact_secrets

MASK = "[REDACTED]"
_RUN = re.compile(r"\S+")
_USER = re.compile(r"\b[a-z][a-z0-9+.-]{0,30}://[^\s:/@]*:", re.IGNORECASE)
# Whatever is assigned to such a name, even if it looks like a word.
_ASSIGNED = re.compile(
    r"((?:authorization|cookie|api[-_ ]?key|access[-_]?token|token|secret|passw(?:or)?d|passphrase|pwd)"
    r"[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:(?:bearer|basic)\s+)?)(?!\[REDACTED)[^\s\"',;&]+",
    re.IGNORECASE,
)


def masked(text: str, redact: Callable[[str], str] = redact_secrets) -> str:
    """The text as `redact` leaves it, without passwords in URLs and without what is assigned to a secret's name."""
    text = redact(text)
    if "@" in text and "://" in text:
        text = _RUN.sub(_without_password, text)
    return _ASSIGNED.sub(rf"\1{MASK}", text)


def _without_password(run: re.Match[str]) -> str:
    """What has no spaces, without the password in scheme://user:password@host: all up to the last @, for passwords in URLs
    are often not escaped. That @ is looked for first: a pattern would go to the end of the text from each scheme in it."""
    at = run[0].rfind("@")
    user = _USER.search(run[0], 0, at) if at > 0 else None
    return run[0] if user is None else f"{run[0][: user.end()]}{MASK}{run[0][at:]}"
