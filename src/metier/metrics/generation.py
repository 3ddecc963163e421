"""What can go wrong in the writing of an answer, whatever it says."""

from __future__ import annotations

# The names that `students.Answers.failures` and evaluations use.
DEGENERATE = "degenerate"
CUT_OFF = "cut off"
INVALID = "invalid"
TOO_LONG = "too long"
# Of students that read through a view: the input is none that it can read.
UNREADABLE = "unreadable"

_TAIL_CHARS = 15
_REPEATS = 4


def is_degenerate(text: str, *, hit_limit: bool) -> bool:
    """Whether an answer ran into the token limit repeating itself: its last 15 characters occur four times or more
    (DharmaOCR, arXiv 2604.14314)."""
    tail = text[-_TAIL_CHARS:]
    return hit_limit and len(tail) == _TAIL_CHARS and _occurrences(tail, text) >= _REPEATS


def _occurrences(part: str, text: str) -> int:
    """How often `part` occurs in `text`, overlaps counted: a tail of one repeated letter is a loop too."""
    n, at = 0, text.find(part)
    while at >= 0:
        n, at = n + 1, text.find(part, at + 1)
    return n
