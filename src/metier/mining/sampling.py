"""A fixed-size sample of the distinct prompts of a traffic, drawn in one streaming pass."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from metier.artefacts.traffic import Traffic
from metier.mining.prompts import Prompt, read_prompt, text_key
from metier.progress import Progress

_COLUMNS = ("messages", "response", "dataset")
_SCRAMBLE = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
# Answers are read for their form only, so a long one need not be held whole.
_ANSWER_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Sampled:
    """One sampled call: a prompt that no other sampled call has, with the answer it got the first time."""

    prompt: Prompt
    response: str | None


@dataclass(frozen=True)
class Sample:
    """`calls` in a fixed random order; `datasets` are the names of the labelled record files met on the way."""

    calls: list[Sampled]
    datasets: tuple[str, ...]
    n_calls: int


def sample_prompts(traffic: Traffic, size: int, seed: int, progress: Progress) -> Sample:
    """At most `size` distinct prompts, each equally likely (bottom-k sampling: the smallest seeded hashes are kept).

    Distinct prompts, not calls: a prompt that is sent a thousand times tells no more about its template than once.
    """
    salt = (seed * _SCRAMBLE) & _MASK
    kept: dict[int, tuple[str, str | None]] = {}
    bound = _MASK
    datasets: dict[str, None] = {}
    done = 0
    for batch in traffic.batches(_COLUMNS):
        log = batch.filter(pl.col("dataset").is_null())
        datasets.update(dict.fromkeys(batch["dataset"].drop_nulls().unique(maintain_order=True)))
        for messages, response in zip(log["messages"], log["response"], strict=True):
            rank = ((text_key(messages or "") ^ salt) * _SCRAMBLE) & _MASK
            if rank <= bound and rank not in kept:
                kept[rank] = (messages, response[:_ANSWER_CHARS] if response else response)
        if len(kept) > 2 * size:
            kept = dict(sorted(kept.items())[:size])
            bound = max(kept)
        done += batch.height
        progress("Sampling prompts", done, len(traffic))
    chosen = [kept[rank] for rank in sorted(kept)[:size]]
    return Sample([Sampled(read_prompt(messages), response) for messages, response in chosen], tuple(datasets), done)
