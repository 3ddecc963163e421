"""A fixed-size sample of the distinct prompts of a traffic, drawn in one streaming pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from metier.artefacts.traffic import Traffic
from metier.mining.prompts import Frame, Prompt, frame_of, read_prompt, text_key
from metier.progress import Progress

_COLUMNS = ("messages", "response", "dataset")
_SCRAMBLE = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
# Answers are read for their form only, so a long one need not be held whole.
_ANSWER_CHARS = 20_000
# Labelled chats have few prompts around their inputs; what is written afresh in each is no prompt of the task.
_MOST_FRAMES = 1_000
_LEAST_FRAME_SHARE = 0.02
_LEAST_FRAME_COUNT = 5


@dataclass(frozen=True, slots=True)
class Sampled:
    """One sampled call: a prompt that no other sampled call has, with the answer it got the first time."""

    prompt: Prompt
    response: str | None


@dataclass(frozen=True)
class Sample:
    """`calls` in a fixed random order; `datasets` are the names of the labelled record files met on the way, each with the
    prompts that recur around its inputs, the most frequent first."""

    calls: list[Sampled]
    datasets: dict[str, tuple[Frame, ...]]
    n_calls: int


def sample_prompts(traffic: Traffic, size: int, seed: int, progress: Progress) -> Sample:
    """At most `size` distinct prompts, each equally likely (bottom-k sampling: the smallest seeded hashes are kept).

    Distinct prompts, not calls: a prompt that is sent a thousand times tells no more about its template than once.
    """
    salt = (seed * _SCRAMBLE) & _MASK
    kept: dict[int, tuple[str, str | None]] = {}
    bound = _MASK
    frames: dict[str, Counter[Frame]] = {}
    done = 0
    for batch in traffic.batches(_COLUMNS):
        log = batch.filter(pl.col("dataset").is_null())
        _count_frames(batch.filter(pl.col("dataset").is_not_null()), frames)
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
    datasets = {name: tuple(_recurring(counts)) for name, counts in frames.items()}
    return Sample([Sampled(read_prompt(messages), response) for messages, response in chosen], datasets, done)


def _count_frames(records: pl.DataFrame, frames: dict[str, Counter[Frame]]) -> None:
    for name, messages in records.select("dataset", "messages").iter_rows():
        counts = frames.setdefault(name, Counter())
        frame = frame_of(read_prompt(messages))
        if frame in counts or len(counts) < _MOST_FRAMES:
            counts[frame] += 1


def _recurring(counts: Counter[Frame]) -> Iterable[Frame]:
    least = max(_LEAST_FRAME_COUNT, _LEAST_FRAME_SHARE * counts.total())
    return (frame for frame, n in counts.most_common() if n >= least and any(text is not None for _, text in frame))
