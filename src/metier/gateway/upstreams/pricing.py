"""What a call costs at an upstream: by its settings, else by the model's list price."""

from __future__ import annotations

from collections.abc import Iterable

from metier.gateway.upstreams.options import Options
from metier.generalists.prices import list_price

_TOKENS_PER_MILLION = 1_000_000
_ANY_MODEL = "gpt-4.1"


class Prices:
    """A price that the settings leave open is the list price; both must be known."""

    def __init__(self, upstreams: Iterable[Options]) -> None:
        self._set = {each.name: (each.input_usd_per_million, each.output_usd_per_million) for each in upstreams}
        if any(None in prices for prices in self._set.values()):
            list_price(_ANY_MODEL)  # loads the table, which takes longer than a call should wait for it

    def price_usd(self, upstream: str, model: str | None, input_tokens: int, output_tokens: int) -> float | None:
        per_input, per_output = self._set.get(upstream, (None, None))
        if per_input is None or per_output is None:
            listed = list_price(model) if model else None
            if listed is None:
                return None
            per_input = listed.input_usd_per_million if per_input is None else per_input
            per_output = listed.output_usd_per_million if per_output is None else per_output
        return (input_tokens * per_input + output_tokens * per_output) / _TOKENS_PER_MILLION
