"""A task's calls: what the audit assigned to it, joined with what the traffic holds about each call."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import polars as pl

from metier.artefacts.outcomes import read_outcomes
from metier.artefacts.tasks import Audit, Task
from metier.artefacts.traffic import TRACE_SCHEMA, Traffic
from metier.errors import NotFound
from metier.progress import Progress, silent

_COLUMNS = (
    "id", "response", "time", "input_tokens", "output_tokens", "latency_s", "cost_usd",
    "feedback", "correction", "provenance", "group", "split", "dataset", "parameters", "reference", "evidence",
)  # fmt: skip
_BATCH = 20_000
# From this share of the traffic on, one pass over all of it is cheaper than looking calls up by id.
_SCAN_SHARE = 0.25


def find_task(audit: Audit, name: str) -> Task:
    """The task of that name or id.

    Raises:
        NotFound: there is none; names the nearest ones.
    """
    tasks = [row.task for row in audit.tasks]
    for task in tasks:
        if name in (task.name, task.id):
            return task
    names = [task.name for task in tasks]
    folded = {known.casefold(): known for known in names}
    near = [folded[hit] for hit in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)]
    if not names:
        raise NotFound(f"No task {name!r}: the audit found no tasks. Import more calls and run `metier audit` again.")
    hint = f"Did you mean {_either(near)}?" if near else f"The tasks are: {', '.join(sorted(names)[:20])}."
    raise NotFound(f"No task {name!r} in the audit. {hint} `metier audit` lists all {len(names)}.")


def _either(names: Sequence[str]) -> str:
    return " or ".join(repr(name) for name in names)


def read_calls(audit: Audit, task: Task, traffic: Traffic, progress: Progress = silent) -> pl.DataFrame:
    """One row an assignment of `task`, in the traffic's order: trace_id, template_id, input, found, the trace's columns,
    and the fault that `read_outcomes` sees.

    `found` is false, and the trace's columns null, where the traffic no longer holds the trace.
    """
    assigned = audit.assignments.filter(pl.col("task_id") == task.id).select("trace_id", "template_id", "input")
    assigned = assigned.unique("trace_id", keep="first", maintain_order=True)
    traces = _fetch(traffic, assigned["trace_id"], progress).unique("id", keep="first", maintain_order=True)
    traces = traces.with_row_index("order").with_columns(found=pl.lit(True))
    rows = assigned.join(traces, left_on="trace_id", right_on="id", how="left", maintain_order="left")
    finite = [pl.col(name).fill_nan(None) for name in ("time", "latency_s", "cost_usd")]
    rows = rows.with_columns(pl.col("found").fill_null(False), *finite)
    rows = rows.sort("order", nulls_last=True, maintain_order=True).drop("order")
    return rows.hstack(read_outcomes(rows["evidence"])).drop("evidence", "saved_usd")


def _fetch(traffic: Traffic, ids: pl.Series, progress: Progress) -> pl.DataFrame:
    parts = [pl.DataFrame(schema={name: TRACE_SCHEMA[name] for name in _COLUMNS})]
    if len(ids) > _SCAN_SHARE * len(traffic):
        wanted = ids.to_frame("id")
        done = 0
        for batch in traffic.batches(_COLUMNS):
            parts.append(batch.join(wanted, on="id", how="semi", maintain_order="left"))
            done += batch.height
            progress("Reading calls", done, len(traffic))
    else:
        for start in range(0, len(ids), _BATCH):
            parts.append(traffic.select(ids[start : start + _BATCH], _COLUMNS))
            progress("Reading calls", min(start + _BATCH, len(ids)), len(ids))
    return pl.concat(parts, how="vertical_relaxed")
