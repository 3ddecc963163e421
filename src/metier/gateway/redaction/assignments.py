"""Secrets known by what stands before them: `api_key=…`, `"password": "…"`, `Authorization: Bearer …`, `//user:…@host`.

Such a value has no form of its own, so it is judged: words, placeholders and names of variables stay.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from metier.gateway.redaction.kinds import looks_random
from metier.gateway.redaction.places import Assigned, ends

PASSWORD_WORDS = ("password", "passwort", "passwd", "passphrase", "passcode", "pwd", "senha", "contraseña")
_TOKEN_WORDS = ("key", "secret", "token", "credential", "credentials")
# "key" alone is a word of every other sentence.
_BEFORE_KEY = re.compile(r"(?:api|access|secret|private|auth|account|encryption|signing|master)[_\- ]?$", re.IGNORECASE)
_BEFORE_KEY_CHARS = 11
# A keyword must end right before the sign: `max_tokens: 100` and `password_field = x` assign no secrets.
_SIGN = r"""(?P<key_quote>\\*["'`])?\s{0,4}(?:=>|:=|==?|:)\s{0,4}"""
# In quotes (escaped ones in JSON inside JSON), or bare up to what ends a word in code, JSON, URLs and shells.
_QUOTED = r"""(?P<quote>\\*["'`])(?P<quoted>[^\s"'`\\]{4,2000})(?=(?P=quote))"""
_BARE = r"""(?P<bare>[^\s"'`\\,;&<>(){}\[\]|]{4,2000})(?![(\[{])"""
_ASSIGNED = re.compile(rf"{_SIGN}(?:{_QUOTED}|{_BARE})")
_TOLD = re.compile(rf"\s{{1,4}}(?:is|was|ist|é|es)\s{{0,4}}:?\s{{1,4}}{_BARE}", re.IGNORECASE)
# What _TOLD may match, in lower case (to it, a dotless i is an i). Begins with a rare letter: `re` is quick to find one.
_TELLS = re.compile(r"w(?<=passw)or[dt]\s{1,4}[iıwée]\S{0,2}[\s:]")
_BEARER = re.compile(r"\s{1,4}(?P<bare>[A-Za-z0-9._~+/=-]{16,4000})")
_AUTHORIZATION = re.compile(
    r"""(?:\\*["'])?\s{0,4}[:=]\s{0,4}(?:\\*["'])?(?:basic|bearer|token|apikey|api-key)\s{1,4}"""
    r"(?P<bare>[A-Za-z0-9._~+/=-]{6,4000})",
    re.IGNORECASE,
)
# The name may be empty (redis://:password@host) or a secret that was found before, and the password hold an at sign.
_URL = re.compile(
    r"""(?:\\{0,8}/){2}(?:\[REDACTED:\w{1,40}\]|[^\s/:@"'\\<>?#]){0,256}(?<!\[REDACTED):(?P<bare>[^\s/"'\\<>]{1,256})(?=@)"""
)

_PLACEHOLDER = re.compile(
    r"(?:[x*•.…_-]+|[<$%{].*|\[redacted.*|n/?a|none|null|true|false|string|your[-_ ].*|my[-_ ].*|os\.environ.*|"
    r"process\.env.*|required|optional|passwor[dt]|secret|token|example|changeme|redacted|hidden)",
    re.IGNORECASE,
)
# What stands between two strings in JSON holds one of these.
_STRUCTURE = re.compile(r"[{}\[\],:]")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_SIGNS = frozenset("!@#$%^&*+?~")
_LONG_CHARS = 64
_MIN_PASSWORD_CHARS = 4
_MIN_BARE_PASSWORD_CHARS = 6
_MIN_TOKEN_CHARS = 12
_MIN_BITS_PER_CHAR = 2.75  # 16 random hexadecimal digits have about 3.3; words and repetitions have less


def entropy_bits(value: str) -> float:
    """Shannon's entropy of a value's characters, in bits a character (Shannon 1948, section 6)."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def is_password(value: str, is_quoted: bool) -> bool:
    """In quotes anything but a placeholder; bare where digits or signs tell it from a word."""
    if _PLACEHOLDER.fullmatch(value):
        return False
    if is_quoted:
        return len(value) >= _MIN_PASSWORD_CHARS
    value = value.rstrip(".!?:")
    return len(value) >= _MIN_BARE_PASSWORD_CHARS and any(char.isdigit() or char in _SIGNS for char in value)


def is_token(value: str, _is_quoted: bool = True) -> bool:
    """Letters and digits mixed, and as random as a key is."""
    if len(value) < _MIN_TOKEN_CHARS or _PLACEHOLDER.fullmatch(value) or "://" in value:
        return False
    has_digit, has_letter = any(char.isdigit() for char in value), any(char.isalpha() for char in value)
    return has_digit and has_letter and entropy_bits(value) >= _MIN_BITS_PER_CHAR


@dataclass(frozen=True, slots=True)
class Rule:
    """After one of `words` (in lower case, whatever the text's) comes what `pattern` matches, and a secret is what
    `is_secret` says of its value and whether it stands in quotes.

    Where `may_hold` finds nothing in a text in lower case, there is no match. Without it the pattern begins with a sign of
    assignment, after a quote or spaces, and the words are found from the signs.
    """

    kind: str
    words: tuple[str, ...]
    pattern: re.Pattern[str]
    is_secret: Callable[[str, bool], bool]
    may_hold: Callable[[str], bool] | None = None


def _any(_value: str, _is_quoted: bool) -> bool:
    return True


def _random(value: str, _is_quoted: bool) -> bool:
    return looks_random(value)


def _no_placeholder(value: str, _is_quoted: bool) -> bool:
    return _PLACEHOLDER.fullmatch(value) is None


def _may_bear(lowered: str) -> bool:
    return "bearer" in lowered


def _may_tell(lowered: str) -> bool:
    """Many speak of their password, few tell it."""
    return _TELLS.search(lowered) is not None or "senha" in lowered or "ñ" in lowered


_URL_PASSWORD = Rule("url_password", (":",), _URL, _no_placeholder)
_RULES = (
    Rule("authorization", ("authorization",), _AUTHORIZATION, _any),
    Rule("authorization", ("bearer",), _BEARER, _random, _may_bear),
    Rule("password", PASSWORD_WORDS, _ASSIGNED, is_password),
    Rule("password", ("password", "passwort", "senha", "contraseña"), _TOLD, is_password, _may_tell),
    Rule("token", _TOKEN_WORDS, _ASSIGNED, is_token),
)
KINDS = tuple(dict.fromkeys(rule.kind for rule in (_URL_PASSWORD, *_RULES)))
_ASSIGNED_WORDS = Assigned(word for rule in _RULES if rule.may_hold is None for word in rule.words)
_GATES = tuple(rule.may_hold for rule in _RULES if rule.may_hold is not None)
# The only letter whose lower case has two characters.
_LONGER_IN_LOWER_CASE = "İ"


def redact_urls(text: str, mark: Callable[[str], str]) -> str:
    """`text` without the passwords in its URLs; `mark` says what to write for a secret of a kind."""
    if "@" not in text or (":/" not in text and ":\\" not in text):
        return text
    return _without(_URL_PASSWORD, text, ends(_URL_PASSWORD.words, text), mark)


def redact_named(text: str, mark: Callable[[str], str]) -> str:
    """`text` without the secrets that a keyword names; `mark` says what to write for a secret of a kind."""
    lowered = lower(text)
    assigned = _assigned_ends(lowered)
    if not assigned and not [gate for gate in _GATES if gate(lowered)]:
        return text
    for rule in _RULES:
        if rule.may_hold is None:
            places = [end for end in assigned if lowered.endswith(rule.words, 0, end)]
        else:
            places = ends(rule.words, lowered) if rule.may_hold(lowered) else []
        if places and (done := _without(rule, text, places, mark)) is not text:
            text, lowered = done, lower(done)
            assigned = _assigned_ends(lowered)
    return text


def lower(text: str) -> str:
    """`text` in lower case, every character in its place."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text.replace(_LONGER_IN_LOWER_CASE, "I").lower()


def _assigned_ends(lowered: str) -> list[int]:
    return [end for end in _ASSIGNED_WORDS.ends(lowered) if _stands_for_itself(lowered, end)]


def _without(rule: Rule, text: str, places: list[int], mark: Callable[[str], str]) -> str:
    """`text` with the rule's secrets replaced; `places` is where its words end. The very same text where there are none."""
    parts: list[str] = []
    words = mark(rule.kind)
    # `copied` of the text is in `parts`; `done` is looked at. They part after a long value that is no secret: what it holds
    # is none either, and a text of nothing but keywords would otherwise be read again from each of them.
    done = copied = 0
    for end in places:
        match = rule.pattern.match(text, end) if end >= done else None
        if match is None:
            continue
        span, new = _secret(match, rule.is_secret, words)
        if span is not None:
            parts += [text[copied : span[0]], new]
            done = copied = span[1]
        elif match.end() - end > _LONG_CHARS:
            done = match.end()
    return "".join([*parts, text[copied:]]) if parts else text


def _stands_for_itself(lowered: str, end: int) -> bool:
    """Whether the keyword that ends here names a secret: "key" does only after "api" and its like."""
    start = end - len("key")
    return (
        not lowered.startswith("key", start)
        or _BEFORE_KEY.search(lowered[max(0, start - _BEFORE_KEY_CHARS) : start]) is not None
    )


def _secret(
    match: re.Match[str], is_secret: Callable[[str, bool], bool], mark: str
) -> tuple[tuple[int, int] | None, str]:
    """Where the secret stands, None where it is none, and what to write instead."""
    groups = match.groupdict()
    quoted, key_quote = groups.get("quoted"), groups.get("key_quote")
    if quoted is not None:
        # Without quotes around the keyword, the quote may be the one that ends a JSON string, and what follows it the
        # commas and brackets before the next.
        is_structure = key_quote is None and _STRUCTURE.search(quoted) is not None
        return (None if is_structure or not is_secret(quoted, True) else match.span("quoted")), mark
    bare = match["bare"]
    if not is_secret(bare, False):
        return None, mark
    # In JSON, where a number stood there must be a string.
    is_number = key_quote is not None and _NUMBER.fullmatch(bare) is not None
    return match.span("bare"), f"{key_quote}{mark}{key_quote}" if is_number else mark
