"""Trace and Traffic: the calls a company made to its frontier model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import polars as pl

# One row a call. `messages` is the request's message list as JSON text; `parameters` the rest of the request that shapes
# the answer (response_format, tools, temperature ...) as JSON text or null. `time` is seconds since 1970-01-01 UTC.
TRACE_SCHEMA = pl.Schema(
    {
        "id": pl.String(),
        "messages": pl.String(),
        "parameters": pl.String(),
        "response": pl.String(),
        "model": pl.String(),
        "time": pl.Float64(),
        "input_tokens": pl.Int64(),
        "output_tokens": pl.Int64(),
        "latency_s": pl.Float64(),
        "cost_usd": pl.Float64(),
        "feedback": pl.String(),
        "correction": pl.String(),
        "provenance": pl.String(),
        "group": pl.String(),
        "split": pl.String(),
        "dataset": pl.String(),
        "response_id": pl.String(),
        "ttft_s": pl.Float64(),
        "task": pl.String(),
        "route": pl.String(),
        "reference": pl.String(),
        "evidence": pl.String(),
    }
)

Feedback = Literal["correct", "wrong"]
# Who gave `response`. A specialist's own answers are no labels: it would learn from itself.
Provenance = Literal["human", "teacher", "simulator", "feedback", "specialist"]


@dataclass(frozen=True, slots=True)
class Trace:
    """One call: request messages, response, model, tokens, latency, cost, time, optional feedback.

    A plain labelled record is a Trace too: its input is the only (user) message, its output the response, `provenance`
    says who gave the label and `dataset` names the file it came from (None for calls from a log). `feedback` judges
    `response`; `correction` is the right answer where someone gave it. `group` marks calls that belong together
    (customer, conversation, document) and must never be parted by a split; `split` is the user's own split, if any.

    What the gateway adds: `response_id` is the id in the answer that the client saw, `ttft_s` the seconds to the first
    streamed token, `task` the name of the task it took the call for, `route` what became of it (gateway.calls.Route),
    `reference` the generalist's answer where the client got the specialist's and both were asked (the audit share), and
    `evidence` the rest as JSON: score, threshold, policy, specialist, the specialist's answer, reason, upstream, status.
    """

    id: str
    messages: str
    parameters: str | None = None
    response: str | None = None
    model: str | None = None
    time: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_s: float | None = None
    cost_usd: float | None = None
    feedback: Feedback | None = None
    correction: str | None = None
    provenance: Provenance = "teacher"
    group: str | None = None
    split: str | None = None
    dataset: str | None = None
    response_id: str | None = None
    ttft_s: float | None = None
    task: str | None = None
    route: str | None = None
    reference: str | None = None
    evidence: str | None = None


class Traffic(Protocol):
    """Many traces, read in batches so that memory stays flat. `id` changes whenever a trace is added or judged."""

    @property
    def id(self) -> str: ...

    def __len__(self) -> int: ...

    def batches(self, columns: tuple[str, ...] = (), size: int = 20_000) -> Iterator[pl.DataFrame]:
        """Frames of at most `size` rows, always in the same order; all of TRACE_SCHEMA where `columns` is empty."""
        ...

    def select(self, ids: pl.Series, columns: tuple[str, ...] = ()) -> pl.DataFrame:
        """The traces with these ids, in the traffic's order."""
        ...


@dataclass(frozen=True)
class FrameTraffic:
    """Traffic held in memory: for the Python API, tests and small logs. `frame` has the columns of TRACE_SCHEMA."""

    frame: pl.DataFrame

    @property
    def id(self) -> str:
        digest = hashlib.sha256()
        for part in self.frame.hash_rows(seed=0).sort().to_numpy().tobytes(), str(len(self)).encode():
            digest.update(part)
        return digest.hexdigest()

    def __len__(self) -> int:
        return self.frame.height

    def batches(self, columns: tuple[str, ...] = (), size: int = 20_000) -> Iterator[pl.DataFrame]:
        chosen = self.frame.select(columns) if columns else self.frame
        yield from chosen.iter_slices(size)

    def select(self, ids: pl.Series, columns: tuple[str, ...] = ()) -> pl.DataFrame:
        kept = self.frame.filter(pl.col("id").is_in(ids.implode()))
        return kept.select(columns) if columns else kept
