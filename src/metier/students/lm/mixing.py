"""Values that nobody wrote, made of those that people wrote: what a model copies without having learnt it by heart."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

# Chances: of a value to be put together from two, to have other words and numbers; then of each word and number.
_JOINED, _REWORDED, _OTHER_WORD = 0.35, 0.5, 0.5
# How often a made-up value that is somebody's after all is made again.
_TRIES = 5
# A word in the values of this many groups is the field's, not one sender's; one in this share of them marks its values.
_COMMON_GROUPS, _MARK_SHARE = 3, 0.1
# Values of more lines than this, on the mean, are put together of lines, and have no marks.
_LINES = 1.5
# Words that are exchanged; words that may be marks ("AG").
_WORD, _MARK = re.compile(r"[^\W\d_]{3,}"), re.compile(r"[^\W\d_]{2,}")
_NUMBER = re.compile(r"\d+")
_EMPTY = re.compile(r"\([\W_]*\)|\[[\W_]*\]")
# What a value is not left to end with where it was cut.
_LOOSE = " \t\n-,;:/&(["

# A value as it is written in the record, and as it stands in the input.
Value = tuple[str, str]


class Mixer:
    """The values of one field by group, and values made of them."""

    def __init__(self, values: Mapping[str, Sequence[Value]]) -> None:
        self._values = {group: list(dict.fromkeys(some)) for group, some in values.items()}
        self._groups = list(self._values)
        self._texts = frozenset(text for some in self._values.values() for _, text in some)

    @property
    def n_senders(self) -> int:
        """How many groups have a value, or how many values there are, whichever is less."""
        return min(len(self._groups), len({value for some in self._values.values() for value, _ in some}))

    def drawn(self, group: str, rng: random.Random) -> Value:
        """Another group's value, or one that nobody has: put together from the lines of two where the field's values have
        several, with other words and numbers."""
        value, text = self._other(group, rng)
        is_joined, is_reworded = self._has_lines and rng.random() < _JOINED, rng.random() < _REWORDED
        for _ in range(_TRIES if is_joined or is_reworded else 0):
            made = _joined(text, self._other(group, rng)[1], rng) if is_joined else text
            made = self._reworded(made, rng) if is_reworded else made
            if made not in self._texts:
                return " ".join(made.split()), made
        return value, text

    def unmarked(self, group: str, value: str, rng: random.Random) -> str | None:
        """Another group's value without its marks ("SDN BHD", "GmbH"), to stand beside a value that has one: a trade name
        beside a registered one. None where the field has no marks or the value none of them."""
        if not self._marks.intersection(_words(value, _MARK)):
            return None
        bare = _MARK.sub(lambda word: "" if word[0].upper() in self._marks else word[0], self._other(group, rng)[1])
        bare = _EMPTY.sub("", bare)
        if bare.count("(") != bare.count(")"):
            bare = bare.replace("(", "").replace(")", "")
        bare = " ".join(bare.split()).strip(_LOOSE + ".")
        return bare if _WORD.search(bare) else None

    def _other(self, group: str, rng: random.Random) -> Value:
        return rng.choice(self._values[rng.choice([other for other in self._groups if other != group])])

    def _reworded(self, text: str, rng: random.Random) -> str:
        """Words that are a sender's own exchanged for others' own, numbers for any of as many digits."""

        def word(found: re.Match[str]) -> str:
            if not self._own or found[0].upper() in self._common or rng.random() >= _OTHER_WORD:
                return found[0]
            other = rng.choice(self._own)
            return other.title() if found[0].istitle() else other.lower() if found[0].islower() else other

        def number(found: re.Match[str]) -> str:
            if rng.random() >= _OTHER_WORD:
                return found[0]
            return "".join(rng.choice("123456789" if at == 0 else "0123456789") for at in range(len(found[0])))

        return _NUMBER.sub(number, _WORD.sub(word, text))

    @cached_property
    def _n_groups_of(self) -> Counter[str]:
        """In the values of how many groups each word stands, in capitals."""
        return Counter(
            word for some in self._values.values() for word in {w for _, text in some for w in _words(text, _MARK)}
        )

    @cached_property
    def _common(self) -> frozenset[str]:
        return frozenset(word for word, n in self._n_groups_of.items() if n >= _COMMON_GROUPS)

    @cached_property
    def _own(self) -> list[str]:
        """The words of one sender or two."""
        return sorted(word for word in self._n_groups_of if word not in self._common and _WORD.fullmatch(word))

    @cached_property
    def _has_lines(self) -> bool:
        return sum(text.count("\n") + 1 for text in self._texts) > _LINES * len(self._texts)

    @cached_property
    def _marks(self) -> frozenset[str]:
        if self._has_lines:
            return frozenset()
        least = max(_COMMON_GROUPS, _MARK_SHARE * len(self._groups))
        return frozenset(word for word, n in self._n_groups_of.items() if n >= least)


def _words(text: str, pattern: re.Pattern[str]) -> list[str]:
    return [word.upper() for word in pattern.findall(text)]


def _joined(text: str, other: str, rng: random.Random) -> str:
    """The first lines of one, at least one, and some last lines of the other, no more than the longer of them has."""
    head, tail = text.split("\n"), other.split("\n")[1:]
    most = max(len(head), len(tail) + 1)
    head = head[: rng.randint(1, len(head))]
    n_tail = rng.randint(0, min(len(tail), most - len(head)))
    return "\n".join([*head, *tail[len(tail) - n_tail :]]).rstrip(_LOOSE)
