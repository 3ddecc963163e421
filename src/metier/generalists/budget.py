"""Budget: no call starts unless its worst case still fits, counting what is under way and all earlier calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from metier.generalists.cache import AnswerCache

# Byte-level tokenizers never make more tokens than there are bytes; chat formats add a few a message.
_TOKENS_PER_MESSAGE = 16


def most_input_tokens(messages: list[dict[str, str]], schema: Mapping[str, Any] | None = None) -> int:
    """An upper bound on the tokens of a request, without its tokenizer; a schema is billed as if it were a message, and
    may be written longer than it is given."""
    told = sum(len(message["content"].encode()) + _TOKENS_PER_MESSAGE for message in messages)
    return told + (2 * len(json.dumps(schema).encode()) + _TOKENS_PER_MESSAGE if schema else 0)


class Budget:
    """US dollars: spent, reserved by calls under way, and the cap on both. For one event loop.

    Sums are compared with a tolerance far below a token's price, so that rounding never blocks an exact fit.
    """

    def __init__(self, cap_usd: float, spent_usd: float) -> None:
        self.cap_usd = cap_usd
        self.spent_usd = spent_usd
        self._reserved_usd = 0.0
        self._n_under_way = 0
        self._changed = asyncio.Condition()

    async def reserve(self, worst_usd: float) -> bool:
        """Set the worst case aside; waits while calls under way may still return some. False where it cannot fit."""
        async with self._changed:
            while not self._fits(worst_usd):
                if self._n_under_way == 0:
                    return False
                await self._changed.wait()
            self._reserved_usd += worst_usd
            self._n_under_way += 1
            return True

    async def settle(self, worst_usd: float, cost_usd: float) -> None:
        """Replace a reserve by what the call did cost."""
        async with self._changed:
            self._reserved_usd -= worst_usd
            self._n_under_way -= 1
            self.spent_usd += cost_usd
            self._changed.notify_all()

    def _fits(self, worst_usd: float) -> bool:
        return self.spent_usd + self._reserved_usd + worst_usd <= self.cap_usd + 1e-12


@dataclass
class Ledger:
    """What one generalist has asked and spent, over all its calls: the keys of its requests, whose spending the cache
    holds, and the US dollars spent where nothing is kept."""

    keys: set[str] = field(default_factory=set)
    unkept_usd: float = 0.0

    @contextmanager
    def budget(self, cap_usd: float, keys: Iterable[str], cache: AnswerCache, *, is_kept: bool) -> Iterator[Budget]:
        """The budget of one more call of the generalist, about the requests of these `keys`."""
        self.keys.update(keys)
        before_usd = cache.spent_usd(sorted(self.keys)) + self.unkept_usd
        budget = Budget(cap_usd, before_usd)
        try:
            yield budget
        finally:
            if not is_kept:
                self.unkept_usd += budget.spent_usd - before_usd
