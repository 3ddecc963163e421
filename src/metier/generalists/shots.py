"""Worked examples shown before an item: drawn once, the same for every item, so that servers can keep the prefix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from metier.artefacts.datasets import Dataset
from metier.artefacts.tasks import OutputKind

Shot = tuple[str, str]

# The longest inputs would fill the context of every call.
_LONGEST_LEFT_OUT = 0.1


def shots_from(dataset: Dataset, n: int, seed: int) -> tuple[Shot, ...]:
    """`n` examples (input, answer) of the train split, the same for the same seed; fewer where there are fewer.

    Examples with a truth come before the teacher's own answers; the longest tenth is left out. Of a label task different
    labels come first.
    """
    train = dataset.split("train").filter(pl.col("output").is_not_null())
    if not n or not train.height:
        return ()
    lengths = train["input"].str.len_chars()
    limit = lengths.quantile(1 - _LONGEST_LEFT_OUT, "lower")
    pool = train.filter(lengths <= limit)
    order = np.random.default_rng(seed).permutation(pool.height)
    rows = pool[order].select("input", "output", "provenance").rows()
    rows.sort(key=lambda row: row[2] in (None, "teacher"))
    shots = [(str(text), str(output)) for text, output, _ in rows]
    return tuple(_varied(shots)[:n] if dataset.kind is OutputKind.LABEL else shots[:n])


def _varied(shots: Sequence[Shot]) -> list[Shot]:
    """The first of every label, then the others."""
    first: dict[str, Shot] = {}
    for shot in shots:
        first.setdefault(shot[1], shot)
    chosen = set(map(id, first.values()))
    return [*first.values(), *(shot for shot in shots if id(shot) not in chosen)]
