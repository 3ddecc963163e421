"""What calls cost: recorded costs, missing ones filled from tokens and list prices, scaled to a month of 30 days."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import polars as pl

from metier.artefacts.outcomes import FAILED

DAYS_A_MONTH = 30.0
SECONDS_A_DAY = 86_400.0
# English text has about four characters a token in the tokenisers of the large models (OpenAI, "What are tokens").
CHARS_A_TOKEN = 4.0
# A log shorter than this is not scaled up any further: an hour says how busy an hour is, a minute says nothing.
MIN_SPAN_DAYS = 1.0 / 24.0
# From so many calls on, the outermost hundredth of the times is cut off, so that one wrong clock cannot stretch the span.
_N_ROBUST = 500
COST_COLUMNS = ("model", "time", "input_tokens", "output_tokens", "cost_usd")


class CostBasis(IntEnum):
    RECORDED = 0
    LIST_PRICE = 1
    ESTIMATED_TOKENS = 2
    ASSUMED_MODEL = 3
    NO_CALL = 4
    KEPT = 5
    FAILED = 6


@dataclass(frozen=True)
class Priced:
    """US dollars a token of input and of output; `assumed` where the model's own price is not known."""

    input_usd: float
    output_usd: float
    assumed: bool


def add_costs(
    batch: pl.DataFrame, n_prompt_chars: npt.NDArray[np.int64], price_of: Callable[[str], Priced]
) -> pl.DataFrame:
    """Columns time (finite or null), cost_usd and cost_basis of a batch with `fault` and `saved_usd` (read_outcomes).

    Labelled records are no calls and cost nothing; neither do calls that failed. An answer that a specialist gave is
    charged as the frontier model would have charged it: the bill is that of the job, whoever did it last.
    """
    prices = {model: price_of(model or "") for model in batch["model"].unique().to_list()}
    table = pl.DataFrame(
        {
            "model": list(prices),
            "input_usd": [price.input_usd for price in prices.values()],
            "output_usd": [price.output_usd for price in prices.values()],
            "assumed": [price.assumed for price in prices.values()],
        },
        schema={"model": pl.String(), "input_usd": pl.Float64(), "output_usd": pl.Float64(), "assumed": pl.Boolean()},
    )
    rows = batch.select(*COST_COLUMNS, "dataset", "response", "provenance", "fault", "saved_usd").with_columns(
        n_prompt=pl.Series(n_prompt_chars)
    )
    rows = rows.join(table, on="model", how="left", nulls_equal=True, maintain_order="left")
    recorded = pl.col("cost_usd").is_finite() & (pl.col("cost_usd") >= 0)
    n_input = pl.coalesce("input_tokens", pl.col("n_prompt") / CHARS_A_TOKEN)
    n_output = pl.coalesce("output_tokens", pl.col("response").str.len_chars().fill_null(0) / CHARS_A_TOKEN)
    estimated = pl.col("input_tokens").is_null() | pl.col("output_tokens").is_null()
    priced = n_input * pl.col("input_usd") + n_output * pl.col("output_usd")
    is_record = pl.col("dataset").is_not_null()
    recorded = recorded.fill_null(False)
    is_kept = (pl.col("provenance") == "specialist").fill_null(False)
    # What a kept call itself cost is next to nothing; a broken-off one may have been charged, so it is estimated.
    is_failed = (pl.col("fault") == FAILED).fill_null(False) & ~recorded
    return rows.select(
        time=pl.when(pl.col("time").is_finite()).then("time"),
        cost_usd=pl.when(is_record)
        .then(0.0)
        .when(is_kept)
        .then(pl.coalesce("saved_usd", priced))
        .when(is_failed)
        .then(0.0)
        .when(recorded)
        .then("cost_usd")
        .otherwise(priced),
        cost_basis=pl.when(is_record)
        .then(int(CostBasis.NO_CALL))
        .when(is_kept)
        .then(int(CostBasis.KEPT))
        .when(is_failed)
        .then(int(CostBasis.FAILED))
        .when(recorded)
        .then(int(CostBasis.RECORDED))
        .when(pl.col("assumed"))
        .then(int(CostBasis.ASSUMED_MODEL))
        .when(estimated)
        .then(int(CostBasis.ESTIMATED_TOKENS))
        .otherwise(int(CostBasis.LIST_PRICE))
        .cast(pl.Int8),
    )


@dataclass(frozen=True)
class Span:
    """How long a log is. `scale` turns sums over the log into sums a month; `note` says what was assumed."""

    days: float
    scale: float
    note: str


def measure_span(times: pl.Series) -> Span:
    """The span of the calls' times (seconds), whatever their order; 30 days where fewer than two times are known."""
    known = times.drop_nulls()
    n_missing = len(times) - len(known)
    if len(known) < 2:
        return Span(DAYS_A_MONTH, 1.0, "No times: the log is taken as one month.")
    if len(known) >= _N_ROBUST:
        low, high = np.quantile(known.to_numpy(), (0.01, 0.99))
        seconds = float(high - low) / 0.98
    else:
        # n calls span n - 1 gaps: the mean gap counts once more.
        seconds = float(np.ptp(known.to_numpy())) * len(known) / (len(known) - 1)
    days = seconds / SECONDS_A_DAY
    notes = []
    if days < MIN_SPAN_DAYS:
        notes.append(f"The calls span {days * 24 * 60:.1f} minutes: scaled as if they were an hour's.")
    elif days < 1:
        notes.append(f"The calls span {days * 24:.1f} hours: a month is scaled from less than a day, nights included.")
    elif days < 7:
        notes.append(f"The calls span {days:.1f} days: a month is scaled from less than a week.")
    if n_missing:
        notes.append(f"{n_missing} calls have no time.")
    return Span(days, DAYS_A_MONTH / max(days, MIN_SPAN_DAYS), " ".join(notes))


def cost_note(basis: pl.Series, reference_model: str, source: str) -> str:
    """One sentence on where the costs come from."""
    counts = dict(basis.value_counts().iter_rows())
    phrases = {
        CostBasis.RECORDED: "{n} recorded",
        CostBasis.LIST_PRICE: "{n} from tokens at list price",
        CostBasis.ESTIMATED_TOKENS: "{n} at list price with tokens estimated at {chars:g} characters each",
        CostBasis.ASSUMED_MODEL: "{n} of unknown models at the list price of {model}",
        CostBasis.KEPT: "{n} answered by a specialist, at what the frontier model would have charged (an estimate)",
        CostBasis.FAILED: "{n} failed calls, which cost nothing",
        CostBasis.NO_CALL: "{n} labelled records, which are no calls and cost nothing",
    }
    said = [
        text.format(n=counts[int(kind)], chars=CHARS_A_TOKEN, model=reference_model)
        for kind, text in phrases.items()
        if counts.get(int(kind))
    ]
    return f"Costs: {'; '.join(said)} ({source})." if said else "No calls, no costs."
