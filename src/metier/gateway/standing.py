"""How each policy stands by the traffic: what it kept, or would have kept, and how often the frontier model differed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from metier.gateway.calls import Reason, Route
from metier.statistics.intervals import Interval
from metier.statistics.sequential import confidence_sequence

COLUMNS = ("task", "route", "evidence")
_SUMS = ("n_calls", "n_kept", "n_shadowed", "n_would_keep", "n_compared", "n_differing")


@dataclass(frozen=True)
class Standing:
    """Counts of the calls of one task under one policy (None: no champion was asked).

    Of `n_calls`, `n_kept` were answered by the specialist. Of `n_shadowed` calls in shadow mode the policy would have kept
    `n_would_keep`; `n_compared` of these have an answer of both, and the frontier model's differs in `n_differing`.
    """

    task: str
    policy_id: str | None
    n_calls: int
    n_kept: int
    n_shadowed: int
    n_would_keep: int
    n_compared: int
    n_differing: int

    def difference(self, level: float = 0.95) -> Interval:
        """The share of the answers it would have kept that differ, with bounds that hold however often they are looked at,
        as long as the rate stays the same."""
        return confidence_sequence(self.n_differing, self.n_compared, level)


def standings(batches: Iterable[pl.DataFrame]) -> list[Standing]:
    """One a task and policy, sorted by both, from traces with COLUMNS; calls that were taken for no task are left out."""
    frames = [_counted(batch) for batch in batches]
    if not frames:
        return []
    total = pl.concat(frames).group_by("task", "policy_id").agg(pl.col(_SUMS).sum())
    return [Standing(**row) for row in total.sort("task", "policy_id").iter_rows(named=True)]


def _counted(batch: pl.DataFrame) -> pl.DataFrame:
    rows = batch.filter(pl.col("task").is_not_null()).select(
        "task",
        "route",
        **{
            name: pl.col("evidence").str.json_path_match(f"$.{name}")
            for name in ("policy", "reason", "label", "is_wrong")
        },
    )
    is_shadowed = pl.col("route") == Route.SHADOW.value
    would_keep = is_shadowed & (pl.col("reason") == Reason.SHADOW.value) & pl.col("label").is_not_null()
    found = {
        "n_calls": pl.lit(True),
        "n_kept": pl.col("route") == Route.KEPT.value,
        "n_shadowed": is_shadowed,
        "n_would_keep": would_keep,
        "n_compared": would_keep & pl.col("is_wrong").is_not_null(),
        "n_differing": would_keep & (pl.col("is_wrong") == "true"),
    }
    counts = [is_true.fill_null(False).cast(pl.Int64).sum().alias(name) for name, is_true in found.items()]
    counts[0] = pl.len().cast(pl.Int64).alias("n_calls")
    return rows.group_by(pl.col("task"), pl.col("policy").alias("policy_id")).agg(counts)
