"""Takes secrets out of free text before it is logged: passwords in URLs, keys, tokens, credentials in headers."""

from __future__ import annotations

import re

MASK = "[redacted]"
_PATTERNS = (
    # scheme://user:password@host, up to the last @: passwords in URLs are often not escaped.
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s:/@]*):\S*@"), rf"\1:{MASK}@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {MASK}"),
    (
        re.compile(
            r"(?i)((?:authorization|cookie|x-api-key|api[-_]?key|access[-_]?token|token|secret|passw(?:or)?d)"
            r"[\"']?\s*[:=]\s*[\"']?)(?!\[redacted\]|bearer\b|basic\b)[^\s\"',;&]+"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"\b(?:sk|pk|rk|mtk|mk|ghp|gho|xox[abp]|hf|AKIA|AIza)[-_]?[A-Za-z0-9_-]{16,}"), MASK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MASK),
)


def masked(text: str) -> str:
    """The text without what looks like a secret."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
