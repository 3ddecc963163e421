"""Pairs as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metier.students.lm.coding import Coder
from metier.students.lm.preference.pairing import Pair

# An answer that never stopped is learnt from by its beginning: it is bad before it has gone on for so long, and what
# repeats has little to teach.
_ENDLESS = 2.0
_ENDLESS_MORE = 32


@dataclass(frozen=True)
class CodedPair:
    """The ids of a prompt and of both answers; those that ended carry their end token."""

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]

    @property
    def n_tokens(self) -> int:
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


def coded_pairs(coder: Coder, pairs: Sequence[Pair], max_tokens: int) -> list[CodedPair]:
    """The pairs of at most `max_tokens`, in order; those that are longer, or whose answers differ in no token, are left
    out. Of an answer without an end the first twice as many tokens as the chosen one has, and 32, are taken."""
    texts = [pair.input for pair in pairs]
    chosen = coder.encode(texts, [pair.chosen for pair in pairs])
    rejected = coder.encode(texts, [pair.rejected for pair in pairs])
    found = []
    for pair, good, bad in zip(pairs, chosen, rejected, strict=True):
        wanted, unwanted = good.ids[good.n_prompt :], bad.ids[bad.n_prompt :]
        if not pair.has_end:
            unwanted = unwanted[:-1][: int(_ENDLESS * len(wanted)) + _ENDLESS_MORE]
        one = CodedPair(good.ids[: good.n_prompt], wanted, unwanted)
        if unwanted and wanted != unwanted and one.n_tokens <= max_tokens:
            found.append(one)
    return found
