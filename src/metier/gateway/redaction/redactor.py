"""What takes secrets, and personal data where that is wanted, out of all that is written down."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from metier.gateway.redaction.assignments import PASSWORD_WORDS, is_password, is_token
from metier.gateway.redaction.secrets import mark, redact_secrets

_TOKEN_KEYS = ("apikey", "accesskey", "secretkey", "privatekey", "secret", "token", "credential", "credentials")
_AUTH_KEYS = ("authorization", "proxyauthorization", "cookie", "setcookie")
# Deeper than any message; what is deeper still is taken as text.
_MAX_DEPTH = 60


@dataclass(frozen=True)
class Redactor:
    """Call it on a text; `value` does the same for whatever JSON can hold, and knows a secret by the name of its field.

    Both take texts that are JSON (arguments of tools, whole messages) and give JSON back. Safe in threads.
    """

    scrub: Callable[[str], str] | None = None

    def __call__(self, text: str) -> str:
        text = redact_secrets(text)
        return text if self.scrub is None else self._scrubbed(text)

    def value(self, value: Any, depth: int = 0) -> Any:
        """A copy of dicts, lists and strings without secrets; the very same object where there is nothing to take out."""
        if isinstance(value, str):
            done = self(value)
            return value if done == value else done
        if depth > _MAX_DEPTH:
            return self(json.dumps(value, ensure_ascii=False)) if isinstance(value, dict | list) else value
        if isinstance(value, dict):
            return self._fields(value, depth)
        if isinstance(value, list):
            items = [self.value(item, depth + 1) for item in value]
            return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
        return value

    def _fields(self, fields: dict[str, Any], depth: int) -> dict[str, Any]:
        done: dict[str, Any] = {}
        is_changed = False
        for name, old in fields.items():
            new = _by_name(name, old)
            if new is old:
                new = self.value(old, depth + 1)
            new_name = redact_secrets(name)
            is_changed = is_changed or new is not old or new_name != name
            done[new_name] = new
        return done if is_changed else fields

    def _scrubbed(self, text: str) -> str:
        """Personal data out of a text. Of JSON, out of its strings: an escape before a name would hide it."""
        assert self.scrub is not None
        if text.startswith("data:"):
            return text  # a picture: digits by the thousand, and none of them anybody's
        if text[:1] in ("{", "["):
            try:
                parsed = json.loads(text)
            except (ValueError, RecursionError):
                return self.scrub(text)
            scrubbed = Redactor(self.scrub).value(parsed)
            return text if scrubbed is parsed else json.dumps(scrubbed, ensure_ascii=False, separators=(",", ":"))
        scrubbed = self.scrub(text)
        return text if scrubbed == text else scrubbed


def redactor(*, pii: bool = False) -> Redactor:
    """The redactor of a process. With `pii`, names, addresses and numbers of people go too (curation.pii).

    Raises MissingExtra where the 'pii' extra is wanted but not installed: at start-up, not at the first call.
    """
    if not pii:
        return Redactor()
    from metier.curation.pii import Scrubber

    return Redactor(Scrubber())


def _by_name(name: str, value: Any) -> Any:
    """The value of a field whose name says that it is a secret, replaced; every other value as it is."""
    if not isinstance(value, str):
        return value
    plain = name.lower().replace("_", "").replace("-", "")
    if plain.endswith(PASSWORD_WORDS) and is_password(value, True):
        return mark("password")
    if plain.endswith(_TOKEN_KEYS) and is_token(value):
        return mark("token")
    return mark("authorization") if plain in _AUTH_KEYS and value and not value.startswith("[REDACTED") else value
