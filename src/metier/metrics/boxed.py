r"""The last `\boxed{...}` of an answer: how models that reason at length mark what they conclude.

The notation is LaTeX's (amsmath), and the convention of benchmarks with worked answers (MATH, TeleLogs): whatever stands
before it is the reasoning, and of several boxes the last one counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPEN = re.compile(r"\\boxed\s*\{")
# What may stand between the box and its content: a second pair of braces (prompts written for str.format double them), or a
# font command.
_WRAPPING = re.compile(r"\s*(?:\\(?:text(?:bf|rm|tt|sf|it)?|math(?:bf|rm|tt|sf|it)|mbox)\s*)?\{(.*)\}\s*", re.DOTALL)


@dataclass(frozen=True)
class Boxed:
    """A box: its content, the `prefix` and `suffix` that stand around that within the box, and `start`, the box's place."""

    content: str
    prefix: str
    suffix: str
    start: int

    @property
    def written(self) -> str:
        """The box as it stands in the answer."""
        return f"{self.prefix}{self.content}{self.suffix}"


def last_box(text: str) -> Boxed | None:
    """The last box of a text that is closed and holds something; None where there is none."""
    for found in reversed(list(_OPEN.finditer(text))):
        stop = _closing(text, found.end())
        if stop is not None:
            first, last = _inner(text, found.end(), stop)
            content = text[first:last]
            if content:
                return Boxed(content, text[found.start() : first], text[last : stop + 1], found.start())
    return None


def _closing(text: str, begin: int) -> int | None:
    """The place of the brace that closes one opened just before `begin`."""
    depth = 1
    for place in range(begin, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if not depth:
            return place
    return None


def _inner(text: str, first: int, last: int) -> tuple[int, int]:
    """Where the content stands, without further braces, font commands and white space around it."""
    while wrapped := _WRAPPING.fullmatch(text, first, last):
        if _closing(text, wrapped.start(1)) != wrapped.end(1):
            break
        first, last = wrapped.span(1)
    inside = text[first:last]
    return first + len(inside) - len(inside.lstrip()), last - len(inside) + len(inside.rstrip())
