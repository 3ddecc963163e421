"""Where in a text the keywords stand that a secret may follow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from metier.gateway.redaction.gates import behind

# Signs by which a value is assigned; ":=", "=>" and "==" begin with one.
SIGNS = (":", "=")
_TAIL_CHARS = 3
_MAX_SPACES = 4
_QUOTES = frozenset("\"'`")
# Between a keyword and the sign: nothing, one quote or space, or the quote of JSON inside JSON. Where there may be more of
# the same, the pattern matches whatever stands before it: _word_end looks closer.
_BETWEEN = ("", r"[\"'`\s]", r"\\[\"'`]")
_MORE = r"(?<=\\\\[\"'`]{sign})|(?<=[\"'`\s]\s{sign})"


class Assigned:
    """Finds the keywords `words` (lower case) that stand before a sign: from the signs, which are few, back to the words.
    Looking for each of the words takes five times as long."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = tuple(words)
        tails = {word[-_TAIL_CHARS:] for word in self._words}
        self._tailed = {sign: _tailed(sign, tails) for sign in SIGNS}

    def ends(self, lowered: str) -> list[int]:
        """Where each keyword ends that has at most a quote and four spaces between it and a sign, in order."""
        found = []
        for sign, tailed in self._tailed.items():
            if sign in lowered:
                for match in tailed.finditer(lowered):
                    end = _word_end(lowered, match.start())
                    if lowered.endswith(self._words, 0, end):
                        found.append(end)
        found.sort()
        return found


def ends(words: Sequence[str], lowered: str) -> list[int]:
    """Where each of the words ends in the text, in order."""
    found = []
    for word in words:
        at = lowered.find(word)
        while at >= 0:
            found.append(at + len(word))
            at = lowered.find(word, at + len(word))
    found.sort()
    return found


def _tailed(sign: str, tails: Iterable[str]) -> re.Pattern[str]:
    """Matches a sign with one of `tails` before it."""
    ways = [behind(tails, between + sign) for between in _BETWEEN]
    return re.compile(f"{sign}(?:{'|'.join(ways)}|{_MORE.format(sign=sign)})")


def _word_end(text: str, at: int) -> int:
    """Where a keyword ends that has spaces, and before them a quote with its backslashes, between it and position `at`."""
    spaces = text[max(0, at - _MAX_SPACES) : at]
    end = at - len(spaces) + len(spaces.rstrip())
    if end and text[end - 1] in _QUOTES:
        end -= 1
        while end and text[end - 1] == "\\":
            end -= 1
    return end
