"""Private keys in PEM form: from the line that begins one to the line that ends it."""

from __future__ import annotations

import re

GATE = "V"  # rare in prose
TRIGGER = "PRIVATE KEY"
KIND = "private_key"
# The body ends at the next dashes or double quote at the latest, so that the search is linear and stays inside a JSON
# string.
_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?P<body>(?:[^\"-]|-(?!----))*)"
    r"(?P<end>-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
)
# Where the end is missing, the key was cut off: what follows is taken as far as it looks like base64 in lines.
_CUT_OFF = re.compile(r"(?:\s|\\+[nrt])*(?:(?:[A-Za-z0-9+/=]{16,}|(?<=[nrt\s])[A-Za-z0-9+/=]+$)(?:\s|\\+[nrt])*)*")


def redact_private_keys(text: str, replacement: str) -> str:
    """`text` with every private key replaced; a key without its end loses what is there of it."""

    def replaced(match: re.Match[str]) -> str:
        if match["end"] is not None:
            return replacement
        rest = match["body"]
        lines = _CUT_OFF.match(rest)
        assert lines is not None
        return match[0] if not lines[0].strip() else replacement + rest[lines.end() :]

    return _BLOCK.sub(replaced, text)
