"""Which inputs may be learnt from: none that is known already, and none that resembles what is held out to be tested on."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from metier.artefacts.datasets import Dataset
from metier.curation import reasons as curated
from metier.curation.duplicates import components, near_pairs
from metier.curation.texts import clean, duplicate_key
from metier.progress import Progress, silent
from metier.teaching import reasons

TEACHER = "teacher"
VARIED = "teacher, varied"
_TRAIN = "train"
_ID_CHARS = 16
# Takes personal data out of a text.
Scrub = Callable[[str], str]


@dataclass(frozen=True)
class Candidate:
    """An input that may become an example; `provenance` says whether it was given or written by the teacher."""

    id: str
    text: str
    provenance: str = TEACHER


@dataclass(frozen=True)
class Rejected:
    """An input that did not, with the reason; `kept_id` is the example that stands in its place, where one does."""

    id: str
    text: str
    reason: str
    kept_id: str | None = None
    output: str | None = None


@dataclass(frozen=True)
class Screened:
    """The candidates that may be asked about, the group of each by id, and those that may not."""

    kept: tuple[Candidate, ...]
    groups: dict[str, str]
    rejected: tuple[Rejected, ...]


def candidates(texts: Iterable[str], provenance: str = TEACHER, scrub: Scrub | None = None) -> list[Candidate]:
    """Inputs as they will be stored, cleaned and then scrubbed as curation does, with ids that depend on the text alone."""
    cleaned = [clean(text) if scrub is None else scrub(clean(text)) for text in texts]
    return [Candidate(candidate_id(text), text, provenance) for text in cleaned]


def candidate_id(text: str) -> str:
    """The id of a taught example."""
    return f"taught-{hashlib.sha256(text.encode()).hexdigest()[:_ID_CHARS]}"


def unanswered(dataset: Dataset) -> list[str]:
    """The inputs of the task's calls that curation left out only because they have no answer to learn from."""
    removed = dataset.removed.filter(pl.col("reason").is_in(sorted(reasons.UNANSWERED)) & pl.col("input").is_not_null())
    return list(removed["input"])


def screen(dataset: Dataset, proposed: Sequence[Candidate], threshold: float, progress: Progress = silent) -> Screened:
    """Leave out empty inputs, those that are examples already, near-duplicates of held-out inputs, and variations that are
    near-duplicates of anything. The others join the group of the train examples that they resemble, or found their own."""
    known = _Known.of(dataset)
    fresh, rejected = _distinct(proposed, known)
    keys = [*known.keys, *(duplicate_key(one.text) for one in fresh)]
    n = len(known.keys)
    pairs = near_pairs(keys, threshold, progress)
    pairs = pairs[(pairs >= n).any(axis=1)]
    near: dict[int, set[int]] = defaultdict(set)
    for low, high in pairs.tolist():
        near[low].add(high)
        near[high].add(low)
    alive: dict[int, Candidate] = {}
    for place, one in enumerate(fresh, start=n):
        held = sorted(other for other in near[place] if other < n and known.held[other])
        seen = sorted(other for other in near[place] if other < n or other in alive)
        if held:
            rejected.append(Rejected(one.id, one.text, reasons.NEAR_HELD_OUT, known.ids[held[0]]))
        elif one.provenance == VARIED and seen:
            kept_id = known.ids[seen[0]] if seen[0] < n else alive[seen[0]].id
            rejected.append(Rejected(one.id, one.text, reasons.NEAR_KNOWN, kept_id))
        else:
            alive[place] = one
    # Held-out neighbours are gone, so that what is joined here lies in train alone.
    lives = np.array([place < n and not known.held[place] for place in range(n)] + [False] * len(fresh), dtype=np.bool_)
    lives[list(alive)] = True
    parts = components(len(keys), pairs[lives[pairs].all(axis=1)])
    founders: dict[int, str] = {}
    for place in np.flatnonzero(lives).tolist():
        founders.setdefault(int(parts[place]), known.groups[place] if place < n else alive[place].id)
    groups = {one.id: founders[int(parts[place])] for place, one in alive.items()}
    return Screened(tuple(alive.values()), groups, tuple(rejected))


@dataclass(frozen=True)
class _Known:
    """The distinct inputs of a dataset by their key: an id and a group for each, and whether any copy is held out."""

    keys: list[str]
    ids: list[str]
    groups: list[str]
    held: list[bool]

    @classmethod
    def of(cls, dataset: Dataset) -> _Known:
        rows: dict[str, tuple[str, str, bool]] = {}
        columns = dataset.examples.select("id", "input", pl.coalesce("group", "id").alias("group"), "split")
        for id_, text, group, split in columns.iter_rows():
            key = duplicate_key(text)
            first, home, held = rows.get(key, (id_, group, False))
            rows[key] = (first, home, held or split != _TRAIN)
        ids, groups, held_out = zip(*rows.values(), strict=True) if rows else ((), (), ())
        return cls(list(rows), list(ids), list(groups), list(held_out))


def _distinct(proposed: Sequence[Candidate], known: _Known) -> tuple[list[Candidate], list[Rejected]]:
    owner = dict(zip(known.keys, known.ids, strict=True))
    fresh: list[Candidate] = []
    rejected: list[Rejected] = []
    for one in proposed:
        key = duplicate_key(one.text)
        # The same text has the same id; what is left out is told under an id of its own.
        own_id = f"{one.id}-copy{len(rejected) + 1}"
        if not key:
            rejected.append(Rejected(own_id, one.text, curated.EMPTY_INPUT))
        elif key in owner:
            rejected.append(Rejected(own_id, one.text, curated.EXACT_DUPLICATE, owner[key]))
        else:
            owner[key] = one.id
            fresh.append(one)
    return fresh, rejected
