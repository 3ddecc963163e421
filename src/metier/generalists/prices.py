"""List prices of generalists, from the table inside genai-prices: no network, dated by that package's version."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version

# Prices with tiers by context length are read at this prompt size: below every tier's first step.
_PROBE_TOKENS = 1_000
_TOKENS_PER_MILLION = 1_000_000


@dataclass(frozen=True)
class ListPrice:
    """US dollars per million tokens, before any discount for caching, batches or volume; `source` names the table."""

    model: str
    provider: str
    input_usd_per_million: float
    output_usd_per_million: float
    source: str

    def cost_usd(self, input_tokens: float, output_tokens: float) -> float:
        """The price of one call (or of many, given the sums of their tokens)."""
        spent = input_tokens * self.input_usd_per_million + output_tokens * self.output_usd_per_million
        return spent / _TOKENS_PER_MILLION


@lru_cache(maxsize=4096)
def list_price(model: str) -> ListPrice | None:
    """Today's list price of a model as its provider, or a router such as `openai/gpt-4o`, names it; None if unknown."""
    if not model.strip():
        return None
    return _look_up(model.strip(), None) or _look_up_prefixed(model.strip())


def _look_up_prefixed(model: str) -> ListPrice | None:
    """Routers write `provider/model` and deployments `provider/region/model`: the last part names the model."""
    provider, slash, rest = model.partition("/")
    if not slash:
        return None
    return _look_up(rest, provider) or _look_up(rest.rpartition("/")[2], None)


def _look_up(model: str, provider: str | None) -> ListPrice | None:
    from genai_prices import Usage, calc_price

    usage = Usage(input_tokens=_PROBE_TOKENS, output_tokens=_PROBE_TOKENS)
    try:
        price = calc_price(usage, model_ref=model, provider_id=provider)
    except LookupError:
        return None
    scale = _TOKENS_PER_MILLION / _PROBE_TOKENS
    return ListPrice(
        model=price.model.id,
        provider=price.provider.id,
        input_usd_per_million=float(price.input_price) * scale,
        output_usd_per_million=float(price.output_price) * scale,
        source=f"genai-prices {version('genai-prices')}",
    )
