"""List prices, against the providers' published pages."""

from __future__ import annotations

import pytest

from metier.generalists.prices import list_price


# openai.com/api/pricing: gpt-4o 2.50 / 10 (2024-10), gpt-5 1.25 / 10 (2025-08); gpt-4-0613 30 / 60 USD a million tokens.
@pytest.mark.parametrize(
    ("model", "input_usd", "output_usd"),
    [("gpt-4o", 2.5, 10.0), ("gpt-5", 1.25, 10.0), ("gpt-4-0613", 30.0, 60.0), ("openai/gpt-4o", 2.5, 10.0)],
)
def test_published_prices(model: str, input_usd: float, output_usd: float) -> None:
    price = list_price(model)
    assert price is not None
    assert price.input_usd_per_million == pytest.approx(input_usd)
    assert price.output_usd_per_million == pytest.approx(output_usd)
    assert price.cost_usd(1_000_000, 100_000) == pytest.approx(input_usd + output_usd / 10)
    assert price.source.startswith("genai-prices ")


@pytest.mark.parametrize("model", ["", " ", "no-such-model", "no/such/model"])
def test_unknown_models_have_no_price(model: str) -> None:
    assert list_price(model) is None
