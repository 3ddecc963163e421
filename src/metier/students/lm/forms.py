"""What the values of a field look like: dates, amounts and numbers are written in a few forms, names are not."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

# Share of new groups that may bring a new form. The tune split then decides whether holding answers to the forms pays.
_MOST_NEW = 0.1
_LEAST_GROUPS = 20
_RUNS = re.compile(r"(\d+)|([^\W\d_]+)|(.)", re.DOTALL)
_DIGIT, _LETTER = r"\d", r"[^\W\d_]"
_Template = tuple[str, ...]
_Lengths = tuple[int, ...]


def forms_of(values: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    r"""The forms of these values, each given with its group, the most frequent first; none where they are so many that the
    values of a new group would often be of none of them.

    A form is a regular expression: runs of digits and of letters, as long as the values have them, and all other signs as
    they are: `\d{1,2}/\d{2}/\d{2,4}`. Words alone are no form: another name is another word. How often a new group brings
    a new form is estimated after Good and Turing (Good, 1953): by the share of groups with a value that would be of no
    form without them, one more counted.
    """
    lengths: dict[_Template, dict[str, list[_Lengths]]] = defaultdict(lambda: defaultdict(list))
    for value, group in values:
        template, runs = _parted(value)
        lengths[template][group].append(runs)
    groups = {group for _, group in values}
    words = {group for template in lengths if _DIGIT not in template for group in lengths[template]}
    alone = words | {group for by_group in lengths.values() for group in _alone(by_group)}
    if len(groups) < _LEAST_GROUPS or len(alone) + 1 > _MOST_NEW * len(groups):
        return ()
    often = Counter(_parted(value)[0] for value, _ in values)
    return tuple(
        _pattern(template, _ranges(lengths[template].values()))
        for template, _ in often.most_common()
        if _DIGIT in template
    )


def shape_of(text: str) -> str:
    """The regular expression of what looks like this text: any digits where it has some, any letters where it has some."""
    return "".join(f"{sign}+" if sign in (_DIGIT, _LETTER) else sign for sign in _parted(text)[0])


def _parted(text: str) -> tuple[_Template, _Lengths]:
    """The text's signs with a class in place of every run of digits or letters, and how long those runs are."""
    template, lengths = [], []
    for digits, letters, sign in _RUNS.findall(" ".join(text.split())):
        template.append(_DIGIT if digits else _LETTER if letters else re.escape(sign))
        if digits or letters:
            lengths.append(len(digits or letters))
    return tuple(template), tuple(lengths)


def _ranges(some: Iterable[Sequence[_Lengths]]) -> list[tuple[int, int]]:
    every = [lengths for one in some for lengths in one]
    return [(min(runs), max(runs)) for runs in zip(*every, strict=True)]


def _alone(by_group: dict[str, list[_Lengths]]) -> set[str]:
    """The groups that have a value of this template which the other groups' values would not make room for."""
    if len(by_group) == 1:
        return set(by_group)
    found: set[str] = set()
    # (groups, runs, values): how long each run is in the values of each group.
    for run in zip(*(zip(*lengths, strict=True) for lengths in by_group.values()), strict=True):
        for extreme in (min, max):
            each = dict(zip(by_group, map(extreme, run), strict=True))
            having = [group for group, length in each.items() if length == extreme(each.values())]
            found.update(having if len(having) == 1 else ())
    return found


def _pattern(template: _Template, ranges: list[tuple[int, int]]) -> str:
    left = iter(ranges)
    return "".join(part + _times(*next(left)) if part in (_DIGIT, _LETTER) else part for part in template)


def _times(least: int, most: int) -> str:
    return f"{{{least}}}" if least == most else f"{{{least},{most}}}"
