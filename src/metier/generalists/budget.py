"""Budget: no call starts unless its worst case still fits, counting what is under way."""

from __future__ import annotations

import asyncio

# Byte-level tokenizers never make more tokens than there are bytes; chat formats add a few a message.
_TOKENS_PER_MESSAGE = 16


def most_input_tokens(messages: list[dict[str, str]]) -> int:
    """An upper bound on the tokens of a request, without its tokenizer."""
    return sum(len(message["content"].encode()) + _TOKENS_PER_MESSAGE for message in messages)


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
