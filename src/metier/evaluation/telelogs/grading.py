r"""How an answer is graded, as the benchmark's public harness does: by the last `\boxed{}`, softly by its first integer.

Soft: the first integers of answer and truth are equal ("C3", "3" and "cause 3" agree); where the truth has none (options
called A to H), the texts must be equal. Strict: the whole contents are equal. Both without regard to case, white space and
what LaTeX puts around a text. An answer without a box is wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from metier.metrics.boxed import last_box

_INTEGER = re.compile(r"\d+")
_SPACES = re.compile(r"\s+")
# Math marks and a full stop at the end say nothing about which option is meant.
_AROUND = " $.:\\"


def boxed(label: str) -> str:
    r"""A label as it is served: in a box, unless it comes with one."""
    return label if last_box(label) is not None else rf"\boxed{{{label}}}"


def content(written: str | None) -> str | None:
    """What the last box of an answer holds; None without one."""
    box = last_box(written) if written is not None else None
    return _folded(box.content) if box is not None else None


def is_right(given: str | None, accepted: Sequence[str]) -> bool:
    """Soft: whether `given` (a box's content) names any accepted answer."""
    return given is not None and any(_key(given, truth) == _key(truth, truth) for truth in map(_folded, accepted))


def is_exact(given: str | None, accepted: Sequence[str]) -> bool:
    """Strict: whether `given` (a box's content) is an accepted answer, letter by letter."""
    return given is not None and _folded(given) in {_folded(truth) for truth in accepted}


def majority(given: Sequence[str | None]) -> str | None:
    """The answer that most samples give; of several, the one given first. Samples without a box have no vote; answers
    with the same first integer are one answer."""
    votes = Counter(_key(one, one) for one in given if one is not None)
    if not votes:
        return None
    most = max(votes.values())
    return next(one for one in given if one is not None and votes[_key(one, one)] == most)


def _key(text: str, truth: str) -> str:
    """The first integer where the truth has one, else the text."""
    if _INTEGER.search(truth) is None:
        return text
    found = _INTEGER.search(text)
    return str(int(found[0])) if found is not None else text


def _folded(text: str) -> str:
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", text)).strip(_AROUND).casefold()
