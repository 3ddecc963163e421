"""Gates: one cheap search of a text that says whether any of many slower ones can find something.

`re` looks for a pattern's first character in a simple loop if it is a fixed one, and a look-behind then reads what stands
before it. One such pass for the rarest character of many strings costs a third of a microsecond a kilobyte, about as much
as looking for one of the strings.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable


def gate(sign: str, triggers: Iterable[str], follows: str = "") -> re.Pattern[str]:
    """A pattern that is found in every text with one of `triggers` in it, all of which hold the character `sign`, where
    the pattern `follows` matches after their first `sign`."""
    before: dict[str, set[str]] = defaultdict(set)
    for trigger in triggers:
        start, _, rest = trigger.partition(sign)
        before[rest].add(start + sign)
    ways = [behind(starts) + (f"(?={re.escape(rest)})" if rest else "") for rest, starts in before.items()]
    ahead = f"(?={follows})" if follows else ""
    return re.compile(f"{re.escape(sign)}{ahead}(?:{'|'.join(ways)})")


def behind(words: Iterable[str], between: str = "") -> str:
    """A pattern that matches right after one of `words` and what matches `between`, which has a fixed width. (A look-behind
    of Python's takes alternatives of one length only.)"""
    by_length: dict[int, list[str]] = defaultdict(list)
    for word in sorted(words):
        by_length[len(word)].append(re.escape(word))
    return f"(?:{'|'.join(_after(same, between) for same in by_length.values())})"


def _after(words: list[str], between: str) -> str:
    return f"(?<=(?:{'|'.join(words)}){between})"
