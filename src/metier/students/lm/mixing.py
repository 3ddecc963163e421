"""Values that nobody wrote, made of those that people wrote: what a model copies without having learnt it by heart."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

# Chances: of a value to be put together from two, to have other words and numbers; then of each word and number.
_JOINED, _REWORDED, _OTHER_WORD = 0.35, 0.5, 0.5
# A word in the values of this many groups is the field's, not one sender's; one in this share of them marks its values.
_COMMON_GROUPS, _MARK_SHARE = 3, 0.1
# Values of more lines than this, on the mean, have no marks.
_MARKED_LINES = 1.5
_WORD = re.compile(r"[^\W\d_]{3,}")
_NUMBER = re.compile(r"\d+")
_EDGE = " \t-,.;:/&()[]"

# A value as it is written in the record, and as it stands in the input.
Value = tuple[str, str]


class Mixer:
    """The values of one field by group, and values made of them."""

    def __init__(self, values: Mapping[str, Sequence[Value]]) -> None:
        self._values = {group: list(dict.fromkeys(some)) for group, some in values.items()}
        self._groups = list(self._values)

    @property
    def n_senders(self) -> int:
        """How many groups have a value, or how many values there are, whichever is less."""
        return min(len(self._groups), len({value for some in self._values.values() for value, _ in some}))

    def drawn(self, group: str, rng: random.Random) -> Value:
        """Another group's value, now and then put together from two, or with other words and numbers."""
        value, text = self._other(group, rng)
        made = _joined(text, self._other(group, rng)[1], rng) if rng.random() < _JOINED else text
        if rng.random() < _REWORDED:
            made = self._reworded(made, rng)
        return (value, text) if made == text else (" ".join(made.split()), made)

    def unmarked(self, group: str, value: str, rng: random.Random) -> str | None:
        """Another group's value without its marks ("SDN BHD", "GmbH"), to stand beside a value that has one: a trade name
        beside a registered one. None where the field has no marks or the value none of them."""
        if not self._marks.intersection(_words(value)):
            return None
        bare = _WORD.sub(lambda word: "" if word[0].upper() in self._marks else word[0], self._other(group, rng)[1])
        bare = " ".join(bare.split()).strip(_EDGE)
        return bare if _WORD.search(bare) else None

    def _other(self, group: str, rng: random.Random) -> Value:
        return rng.choice(self._values[rng.choice([other for other in self._groups if other != group])])

    def _reworded(self, text: str, rng: random.Random) -> str:
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
        return Counter(word for some in self._values.values() for word in {w for _, text in some for w in _words(text)})

    @cached_property
    def _common(self) -> frozenset[str]:
        return frozenset(word for word, n in self._n_groups_of.items() if n >= _COMMON_GROUPS)

    @cached_property
    def _own(self) -> list[str]:
        """The words of one sender or two."""
        return sorted(word for word in self._n_groups_of if word not in self._common)

    @cached_property
    def _marks(self) -> frozenset[str]:
        texts = [text for some in self._values.values() for _, text in some]
        if sum(text.count("\n") + 1 for text in texts) > _MARKED_LINES * len(texts):
            return frozenset()
        return frozenset(word for word, n in self._n_groups_of.items() if n >= _MARK_SHARE * len(self._groups))


def _words(text: str) -> list[str]:
    return [word.upper() for word in _WORD.findall(text)]


def _joined(text: str, other: str, rng: random.Random) -> str:
    """The first lines of one and the last of another, neither whole if it has several; one line is never added to one."""
    head, tail = text.split("\n"), other.split("\n")[1:]
    if len(head) == 1 and not tail:
        return text
    head = head[: rng.randint(1, len(head))]
    return "\n".join([*head, *tail[rng.randint(0, len(tail)) :]])
