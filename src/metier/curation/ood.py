"""Inputs that do not belong to the task: the user's own, else those of the other tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from metier.artefacts.tasks import Audit, Task
from metier.curation import reasons
from metier.curation.texts import clean, duplicate_key

# Inputs of other tasks that are near-duplicates of the task's own are dropped later; so many more are drawn.
_SPARE = 1.2


@dataclass(frozen=True)
class Gathered:
    """`rows` with the out-of-scope records among them cleared of reasons that concern labels; `extras` are further
    out-of-scope inputs, `foreign` says that they come from other tasks, of which at most `limit` are to be kept."""

    rows: pl.DataFrame
    extras: tuple[str, ...]
    foreign: bool
    limit: int | None
    source: str


def gather(
    audit: Audit,
    task: Task,
    rows: pl.DataFrame,
    given: Sequence[str] | None,
    n: int,
    scrub: Callable[[str], str] | None,
    rng: np.random.Generator,
) -> Gathered:
    """Collect out-of-scope inputs: records given as such and `given`; where there are none, other tasks' inputs.

    Out-of-scope records given for training or validation are used only where the user has no others.
    """
    marked = {side: int((rows["side"] == side).sum()) for side in ("ood", "ood_training")}
    extras = [clean(text) for text in given or ()]
    extras = [text for text in extras if text]
    source = [f"{len(extras)} given inputs"] if extras else []
    spare = bool(marked["ood"] or extras)
    if marked["ood"] or (marked["ood_training"] and not spare):
        source.append("records given as out of scope")
    if not source:
        extras, names = other_inputs(audit, task, round(_SPARE * n), rng)
        source = [f"inputs of other tasks ({', '.join(names)})" if extras else "none"]
    extras = [scrub(text) for text in extras] if scrub else extras
    foreign = not spare and not marked["ood_training"]
    return Gathered(_cleared(rows, spare), tuple(extras), foreign, n if foreign else None, " and ".join(source))


def _cleared(rows: pl.DataFrame, spare: bool) -> pl.DataFrame:
    unusable = pl.col("reason").is_in([reasons.NOT_IN_TRAFFIC, reasons.EMPTY_INPUT])
    training = pl.when(pl.lit(spare)).then(pl.lit(reasons.OUT_OF_SCOPE_TRAINING))
    return rows.with_columns(
        reason=pl.when(unusable).then(pl.col("reason"))
        .when(pl.col("side") == "ood").then(None)
        .when(pl.col("side") == "ood_training").then(training)
        .otherwise(pl.col("reason")),
        side=pl.col("side").replace("ood_training", "ood"),
    )  # fmt: skip


def other_inputs(audit: Audit, task: Task, n: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """At most `n` distinct inputs of the audit's other tasks, in equal parts as far as the tasks go.

    Returns:
        The inputs, and the names of the tasks that they come from.
    """
    pools = []
    names = {row.task.id: row.task.name for row in audit.tasks if row.task.id != task.id}
    assigned = audit.assignments.filter(pl.col("task_id").is_in(list(names)) & pl.col("input").is_not_null())
    for (task_id,), rows in sorted(assigned.group_by("task_id"), key=lambda item: str(item[0][0])):
        inputs = rows["input"].unique().sort().to_list()
        pools.append((names[str(task_id)], [inputs[i] for i in rng.permutation(len(inputs))]))
    chosen: list[str] = []
    used: set[str] = set()
    for pool, quota in zip(pools, _quotas([len(inputs) for _, inputs in pools], n), strict=True):
        chosen += [text for text in map(clean, pool[1][:quota]) if text]
        used |= {pool[0]} if quota else set()
    unique = distinct(chosen)
    return [unique[i] for i in rng.permutation(len(unique))], sorted(used)


def _quotas(sizes: Sequence[int], n: int) -> list[int]:
    """Shares of `n` as equal as `sizes` allow; what small pools leave goes to the larger ones."""
    quotas = [0] * len(sizes)
    left = n
    for rank, index in enumerate(sorted(range(len(sizes)), key=lambda i: sizes[i])):
        quotas[index] = min(sizes[index], left // (len(sizes) - rank))
        left -= quotas[index]
    return quotas


def distinct(texts: Sequence[str]) -> list[str]:
    """`texts` without exact duplicates, the first of each kept."""
    first: dict[str, str] = {}
    for text in texts:
        first.setdefault(duplicate_key(text), text)
    return list(first.values())
