"""The keys that clients call the gateway with: their form, their limits, and the hash that is all we keep of them.

A key is `mtr_` + id + `_` + secret. The id (8 characters) is public: it stands in lists, logs and metrics. The secret (43
characters of a 62-letter alphabet, 256 bits) is shown once. The fixed form lets secret scanners, and our own redaction,
recognise a key that leaks; letters and digits alone let a double-click select it whole.

What is stored is SHA-256 of the whole key. The slow hashes made for passwords (scrypt, Argon2) protect secrets that can be
guessed; 256 random bits cannot, however fast the hash, and a slow one would cost every call milliseconds.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
from dataclasses import dataclass

PREFIX = "mtr_"
ID_CHARS = 8
SECRET_CHARS = 43  # 62^43 > 2^256
_ALPHABET = string.digits + string.ascii_letters
KEY_CHARS = len(PREFIX) + ID_CHARS + 1 + SECRET_CHARS
_ID_END = len(PREFIX) + ID_CHARS


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the store knows it. Times are seconds since 1970; a limit that is None is none. `hash` is hex."""

    id: str
    name: str
    hash: str
    created_at: float
    revoked_at: float | None = None
    requests_per_minute: int | None = None
    budget_usd_month: float | None = None


def new_secret_key() -> str:
    """A key that nobody has seen, from the operating system's randomness."""
    return f"{PREFIX}{_random(ID_CHARS)}_{_random(SECRET_CHARS)}"


def key_id(text: str) -> str | None:
    """The id that a key names; None where `text` has not the form of a key."""
    if len(text) != KEY_CHARS or not text.startswith(PREFIX) or text[_ID_END] != "_" or not text.isascii():
        return None
    return text[len(PREFIX) : _ID_END]


def id_of(text: str) -> str:
    """The id of a text that is a key."""
    found = key_id(text)
    assert found is not None
    return found


def key_hash(text: str) -> str:
    """SHA-256 of the whole key, as hex: the id is part of it, so that one key's secret is no use under another's id."""
    return hashlib.sha256(text.encode()).hexdigest()


def is_key(text: str, expected_hash: str) -> bool:
    """Whether `text` is the key with this hash, in a time that does not depend on where they differ."""
    return hmac.compare_digest(key_hash(text), expected_hash)


def _random(n_chars: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(n_chars))
